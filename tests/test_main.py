"""`python -m sknca`: what a bug report needs."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import sknca
import sknca.__main__ as main


def test_it_prints_versions():
    command = [sys.executable, "-m", "sknca"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = dict(line.split(": ", 1) for line in printed.splitlines())
    assert lines["sknca"] == sknca.__version__
    assert {"torch", "scikit-learn", "CUDA", "accelerators"} <= set(lines)


def test_what_is_not_installed_is_left_out(monkeypatch):
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(main, "version", version)
    named = {"sknca", "python", "platform", "torch threads", "CUDA", "accelerators"}
    assert set(main.versions()) == named
