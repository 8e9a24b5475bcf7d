"""The example, by its one command: it goes on after a process was killed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "distributed" / "train.py"

#: Run before the example: in the first attempt, a process is killed after the second epoch.
KILLED = """
import os, runpy, signal, sys
import sknca.estimators._checkpoint as file

write = file.Checkpoint.end_epoch

def end_epoch(self, n_epochs, state):
    write(self, n_epochs, state)
    if n_epochs == 2 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        if os.environ["RANK"] == "0":
            os.kill(os.getpid(), signal.SIGKILL)

file.Checkpoint.end_epoch = end_epoch
runpy.run_path(sys.argv[1], run_name="__main__")
"""


def torchrun(*arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_runs_and_goes_on_after_a_restart(done, tmp_path):
    more = ["--max-iter=3", "--codes"]
    script = tmp_path / "killed.py"
    script.write_text(KILLED.replace("sys.argv[1]", repr(str(EXAMPLE))))
    file = f"--checkpoint={tmp_path / 'run.sknca'}"
    resumed = torchrun("--max-restarts=1", script, *more, tmp_path / "resumed.npy", file)
    assert resumed.count("epoch 1/3") == 1
    assert resumed.count("epoch 3/3") == 1
    assert "accuracy 0.9" in resumed
    whole = np.load(done / "example.npy")
    np.testing.assert_array_equal(whole, np.load(tmp_path / "resumed.npy"))
