"""These tests need the pretended device, which they cannot be rid of: see `device`.

tests/test_pretended_device.py runs them in a process of their own, which it tells by an environment
variable what the device is to be like.
"""

import os

import pytest

ROLE = os.environ.get("SKNCA_PRETENDED_DEVICE")

collect_ignore_glob = ["*.py"]

if ROLE is not None:
    from .device import DEVICE, install

    collect_ignore_glob = [] if ROLE == "gpu" else ["test_gpu.py"]
    collect_ignore_glob += ["test_mps.py"] if ROLE == "gpu" else []
    install(like_mps=ROLE == "mps")

    @pytest.fixture(autouse=True)
    def device(monkeypatch):
        """The device with its books empty; what a test sets of it does not last."""
        DEVICE.waits.clear()
        DEVICE.operators.clear()
        for name, value in vars(DEVICE.module).items():
            if name != "generators":
                monkeypatch.setattr(DEVICE.module, name, value)
        return DEVICE
