import os
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = Path(__file__).with_name("worker.py")

#: First two processes. Then three, and pairs of which one process fails.
STAGES = [
    "2:functional,exact,agree,resume,refuse,example",
    "3:exact,refuse_others+2:die+2:fail",
    "2:go_on",
]


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    """The folder with what the processes have found."""
    folder = tmp_path_factory.mktemp("processes")
    path = os.pathsep.join([str(WORKER.parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    command = [sys.executable, str(WORKER), str(folder), *STAGES]
    subprocess.run(command, check=True, env=environment, timeout=240)
    return folder
