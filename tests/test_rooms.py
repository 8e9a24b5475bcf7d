"""Which room of the package may import what: see docs/design.md."""

import ast
import re
import sys
from pathlib import Path

import pytest

import sknca

PACKAGE = Path(sknca.__file__).parent

#: All that a room may import, beside itself and the standard library.
MAY = {
    "functional": {"torch"},
    "networks": {"_compat", "_random", "_sparse_rows", "functional", "numpy", "torch"},
    "distributed": {"_compat", "functional", "numpy", "torch"},
    "data": {"_sparse_rows", "distributed", "torch"},
    "objectives": {
        *("_random", "_sparse_rows", "data", "distributed", "functional", "networks", "torch"),
    },
    "training": {
        *("_compat", "_random", "_sparse_rows", "_threads"),
        *("data", "distributed", "functional", "torch"),
    },
    "metrics": {
        *(
            "_arrays",
            "_compat",
            "_devices",
            "_typing",
            "functional",
            "numpy",
            "scipy",
            "sklearn",
            "torch",
        ),
    },
    "estimators": {
        *("__version__", "_arrays", "_compat", "_devices", "_file", "_threads", "_typing"),
        *("_sparse_rows", "_values", "_warnings"),
        *("data", "distributed", "functional", "metrics", "networks", "objectives", "training"),
        *("numpy", "scipy", "sklearn", "torch", "tqdm"),
    },
    "persistence": {
        *(
            "__version__",
            "_compat",
            "_devices",
            "_file",
            "_values",
            "estimators",
            "networks",
            "objectives",
            "training",
        ),
        *("numpy", "onnx", "safetensors", "scipy", "skl2onnx", "sklearn", "torch"),
    },
    "plotting": {"_compat", "matplotlib", "numpy", "sklearn"},
    "_arrays": {"torch"},
    "_compat": {"_typing", "sklearn", "torch"},
    "_devices": {"_warnings", "torch"},
    "_file": {"numpy", "safetensors"},
    "_random": {"torch"},
    "_sparse_rows": {"torch"},
    "_threads": {"joblib", "torch"},
    "_typing": set(),
    "_values": {"numpy", "torch"},
    "_warnings": {"joblib", "sklearn"},
    "__init__": {"estimators", "objectives", "persistence"},
    "__main__": {"__version__", "torch"},
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


def private_names(source):
    """Private names of scikit-learn and torch in imports, attributes and texts."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [*node.module.split("."), *(alias.name for alias in node.names)]
            if names[0] in ("sklearn", "torch"):
                yield from (name for name in names if name.startswith("_"))
        elif isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr):
            if ast.unparse(node.value).split(".")[0] in ("sklearn", "torch"):
                yield node.attr
            if re.match("_(skl|validate|init_callback|forward|backward)", node.attr):
                yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"^_(?:skl|forward|backward)\w+$", node.value)
            yield from re.findall(r"^(?:torch|sklearn)[\w.]*\.(_\w+)", node.value)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_private_names_of_others_stand_in_one_file(path):
    assert path.name == "_compat.py" or not set(private_names(path.read_text()))


def test_it_reads_private_names():
    source = (PACKAGE / "_compat.py").read_text()
    assert {"_fit_context", "_fused_adamw_", "_skl_callbacks"} <= set(private_names(source))


def test_it_reads_imports():
    assert {"functional", "torch"} <= set(imports(PACKAGE / "networks" / "_encoders.py"))
    assert {"training", "sklearn"} <= set(imports(PACKAGE / "estimators" / "_base.py"))
