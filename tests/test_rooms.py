"""Which room of the package may import what: see docs/design.md."""

import ast
from pathlib import Path

import pytest

import sknca

PACKAGE = Path(sknca.__file__).parent

NEVER = {
    "functional": {"sklearn", "numpy", "networks", "objectives", "training", "estimators"},
    "networks": {"sklearn", "objectives", "training", "estimators"},
    "objectives": {"sklearn", "training", "estimators"},
    "training": {"sklearn", "networks", "functional", "objectives", "estimators"},
    "metrics": {"networks", "objectives", "training", "estimators", "matplotlib"},
    "estimators": {"matplotlib", "safetensors", "plotting", "persistence"},
    "persistence": {"pickle", "joblib", "matplotlib", "plotting"},
    "plotting": {"torch", "networks", "objectives", "training", "estimators"},
}


def imports(path):
    """Top-level packages, and rooms of sknca, that a file names in its imports."""
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == depth:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from (name.split(".")[0] for name in names)


@pytest.mark.parametrize("room", NEVER)
def test_room(room):
    files = sorted((PACKAGE / room).glob("*.py")) or [PACKAGE / f"{room}.py"]
    for path in files:
        assert not NEVER[room] & set(imports(path)), path


def test_it_reads_imports():
    assert {"functional", "torch"} <= set(imports(PACKAGE / "networks" / "_encoders.py"))
    assert {"training", "sklearn"} <= set(imports(PACKAGE / "estimators" / "_base.py"))
