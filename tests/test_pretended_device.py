"""What a GPU asks of the code, without a GPU: see `pretended.device`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils import backend_registration

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="this torch has no devices in pure Python",
)
@pytest.mark.parametrize("role", ["gpu", "mps"])
def test_on_a_pretended_device(role):
    tests = ROOT / "tests" / "pretended"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests],
        cwd=ROOT,
        env=os.environ | {"SKNCA_PRETENDED_DEVICE": role},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
