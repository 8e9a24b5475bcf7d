"""The example, by its one command: it goes on after a process was killed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from versions import needs_callbacks

EXAMPLE = Path(__file__).parents[2] / "examples" / "distributed" / "train.py"

#: Runs the example, but in the first attempt a process is killed after the second epoch.
KILLED = """
import os, runpy, signal, sys
from sknca.fitting._checkpoint import Checkpoint

write = Checkpoint.end_epoch

def end_epoch(self, n_epochs, state):
    write(self, n_epochs, state)
    is_first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if is_first and n_epochs == 2 and os.environ["RANK"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)

Checkpoint.end_epoch = end_epoch
runpy.run_path({example!r}, run_name="__main__")
"""


@needs_callbacks
def test_the_example_goes_on_after_a_restart(done, tmp_path):
    script, codes = tmp_path / "killed.py", tmp_path / "codes.npy"
    script.write_text(KILLED.format(example=str(EXAMPLE)))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    arguments = ["--max-iter=3", f"--codes={codes}", f"--checkpoint={tmp_path / 'run.sknca'}"]
    ended = subprocess.run(
        [*command, "--max-restarts=1", str(script), *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    for epoch in ("1/3", "2/3", "3/3"):  # each once, and one process shows it
        assert ended.stdout.count(f"epoch {epoch}") == 1
    assert "accuracy 0.9" in ended.stdout
    np.testing.assert_array_equal(np.load(codes), np.load(done / "example.npy"))
