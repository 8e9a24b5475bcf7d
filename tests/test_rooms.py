"""Which room of the package may import what: see docs/design.md."""

import ast
import sys
from pathlib import Path

import pytest

import sknca

PACKAGE = Path(sknca.__file__).parent

#: All that a room may import, beside itself and the standard library.
MAY = {
    "functional": {"torch"},
    "networks": {"_random", "functional", "numpy", "torch"},
    "objectives": {"_random", "functional", "networks", "torch"},
    "training": {"_random", "_threads", "torch"},
    "metrics": {
        *("_arrays", "_devices", "_typing", "functional", "numpy", "scipy", "sklearn", "torch"),
    },
    "estimators": {
        *("_arrays", "_devices", "_threads", "_typing", "_warnings"),
        *("functional", "metrics", "networks", "objectives", "training"),
        *("numpy", "sklearn", "torch", "tqdm"),
    },
    "persistence": {
        *("__version__", "_devices", "estimators", "networks", "objectives", "training"),
        *("numpy", "onnx", "safetensors", "skl2onnx", "sklearn", "torch"),
    },
    "plotting": {"matplotlib", "numpy", "sklearn"},
    "_arrays": {"torch"},
    "_devices": {"_warnings", "torch"},
    "_random": {"torch"},
    "_threads": {"joblib", "torch"},
    "_typing": set(),
    "_warnings": {"joblib", "sklearn"},
    "__init__": {"estimators", "objectives", "persistence"},
}

#: Of the standard library, what runs whatever is in a file.
NEVER = {"pickle", "marshal", "shelve"}


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


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=str(path.relative_to(PACKAGE)))
        for path in sorted(PACKAGE.rglob("*.py"))
    ],
)
def test_a_file_imports_what_its_room_may(path):
    imported = set(imports(path))
    assert not imported & NEVER
    standard = sys.stdlib_module_names - {"_random", "_typing", "_warnings"}
    assert imported - standard <= MAY[room_of(path)]


def test_it_reads_imports():
    assert {"functional", "torch"} <= set(imports(PACKAGE / "networks" / "_encoders.py"))
    assert {"training", "sklearn"} <= set(imports(PACKAGE / "estimators" / "_base.py"))
