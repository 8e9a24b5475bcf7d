"""What comes in with the package, and what goes out of it: no network, few dependencies."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

#: Everything that a user may do, in a process in which no socket can be made and every file that is
#: opened for writing is printed.
SCRIPT = """
import os, socket, sys

def watch(event, args):
    if event.startswith("socket.") and event not in ("socket.gethostname",):
        raise RuntimeError(f"{event} {args}")
    if event in ("subprocess.Popen", "os.system", "os.posix_spawn", "os.exec"):
        raise RuntimeError(f"{event} {args}")
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        print("wrote", args[0])

import numpy, sklearn.neighbors, sklearn.datasets, torch  # theirs is theirs
sys.addaudithook(watch)
sys.dont_write_bytecode = True
import sknca, sknca.distributed, sknca.functional, sknca.metrics, sknca.plotting
from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding

X, y = sklearn.datasets.load_iris(return_X_y=True)
for kind in (SNNLEmbedding, TripletEmbedding):
    embedding = kind(max_iter=2, random_state=0).fit(X, y)
    SoftNeighborsClassifier().fit(embedding.transform(X), y).predict(embedding.transform(X))
    kind(random_state=0).partial_fit(X, y)
print("done")
"""


def test_no_network_no_process_and_no_file(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "done\n"
    assert list(tmp_path.iterdir()) == []


PROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.skipif(not PROJECT.exists(), reason="reads the file of the source distribution")
def test_dependencies_are_few_and_bounded_below():
    project = tomllib.loads(PROJECT.read_text())["project"]
    names = [requirement.split(">=")[0] for requirement in project["dependencies"]]
    assert names == ["numpy", "safetensors", "scikit-learn", "scipy", "torch", "tqdm"]
    optional = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *optional["onnx"], *optional["plot"]]:
        assert ">=" in requirement
        assert "<" not in requirement.replace(">=", "")
