"""The example, by its one command."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).parents[2] / "examples" / "distributed" / "train.py"


def test_the_example_runs_by_its_command(done, tmp_path):
    codes = tmp_path / "codes.npy"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    ended = subprocess.run(
        [*command, str(EXAMPLE), "--max-iter=3", f"--codes={codes}"],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("epoch 3/3") == 1  # one process shows what all do
    assert "accuracy 0.9" in ended.stdout
    np.testing.assert_array_equal(np.load(codes), np.load(done / "example.npy"))
