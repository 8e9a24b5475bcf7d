"""Which room of the package may import what: see docs/design.md."""

import ast
import collections
import re
import sys
from pathlib import Path

import pytest

import sknca

PACKAGE = Path(sknca.__file__).parent

#: All that a room may import, beside itself and the standard library.
MAY = {
    "functional": {"_warnings", "torch"},
    "networks": {"_random", "_sparse_rows", "_torch_compat", "functional", "numpy", "torch"},
    "distributed": {"_devices", "_torch_compat", "functional", "numpy", "torch"},
    "data": {"_sparse_rows", "distributed", "torch"},
    "objectives": {
        *("_random", "_sparse_rows", "data", "distributed", "functional", "networks", "torch"),
    },
    "training": {
        *("_devices", "_random", "_sparse_rows", "_threads", "_torch_compat"),
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
            "tables",
            "torch",
        ),
    },
    "tables": {
        *("_arrays", "_compat", "_devices", "_sparse_rows", "_warnings", "data", "distributed"),
        *("numpy", "scipy", "sklearn", "torch"),
    },
    "fitting": {
        *("__version__", "_devices", "_file", "_random", "_sparse_rows", "_threads", "_values"),
        *("_warnings", "data", "distributed", "functional", "networks", "objectives", "tables"),
        *("training", "numpy", "torch", "tqdm"),
    },
    "estimators": {
        *("__version__", "_arrays", "_compat", "_devices", "_threads", "_typing", "_warnings"),
        *("distributed", "fitting", "functional", "metrics", "networks", "objectives", "tables"),
        *("training", "numpy", "scipy", "sklearn", "torch"),
    },
    "persistence": {
        *(
            "__version__",
            "_compat",
            "_devices",
            "_file",
            "_torch_compat",
            "_values",
            "estimators",
            "fitting",
            "functional",
            "networks",
            "objectives",
            "training",
        ),
        *("numpy", "onnx", "onnxruntime", "safetensors", "scipy", "skl2onnx", "sklearn", "torch"),
    },
    "plotting": {"_compat", "matplotlib", "numpy", "sklearn", "tables"},
    "_arrays": {"numpy", "scipy", "torch"},
    "_compat": {"_typing", "sklearn"},
    "_devices": {"_warnings", "torch"},
    "_file": {"numpy", "safetensors"},
    "_random": {"torch"},
    "_sparse_rows": {"torch"},
    "_threads": {"joblib", "torch"},
    "_torch_compat": {"torch"},
    "_typing": set(),
    "_values": {"numpy", "torch"},
    "_warnings": set(),
    "__init__": {"estimators", "networks", "objectives", "persistence"},
    "__main__": {"__version__", "_devices", "torch"},
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


def imported_files(path):
    """The files of sknca that run before a file, because it imports them or is in their folder."""
    yield path.parent / "__init__.py"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            place = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for found in (place, *(place / alias.name for alias in node.names)):
                yield from filter(Path.is_file, (found / "__init__.py", found.with_suffix(".py")))


def reached(path):
    """The file and all files of sknca that it imports, directly or through others."""
    found, new = set(), {path}
    while new:
        found |= new
        new = {file for path in new for file in imported_files(path)} - found
        new.discard(PACKAGE / "__init__.py")
    return found


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


def private_files(path):
    """Files of other rooms, with an underscore, that a file imports from."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 2 and "._" in (node.module or ""):
            yield node.module


@pytest.mark.parametrize("room", [room for room in sorted(MAY) if (PACKAGE / room).is_dir()])
def test_what_other_rooms_use_is_exported_by_the_room(room):
    assert [name for path in (PACKAGE / room).rglob("*.py") for name in private_files(path)] == []


def test_the_name_of_a_file_occurs_once():
    names = collections.Counter(path.name for path in PACKAGE.rglob("*.py"))
    several = {name for name, count in names.items() if count > 1}
    assert several <= {"__init__.py", "_base.py"}


@pytest.mark.parametrize(
    "room",
    # `tables` is scikit-learn's validation, and `fitting` gets tables from there.
    [r for r in sorted(MAY) if (PACKAGE / r).is_dir() and not MAY[r] & {"sklearn", "tables"}],
)
def test_below_the_estimators_nothing_leads_to_scikit_learn(room):
    through = [
        file
        for path in (PACKAGE / room).rglob("*.py")
        for file in reached(path)
        if "sklearn" in imports(file)
    ]
    assert through == []


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
def test_private_names_of_others_stand_in_two_files(path):
    compat = {"_compat.py", "_torch_compat.py"}
    assert path.name in compat or not set(private_names(path.read_text()))


def test_it_reads_private_names():
    source = (PACKAGE / "_compat.py").read_text()
    assert {"_fit_context", "_skl_callbacks"} <= set(private_names(source))
    source = (PACKAGE / "_torch_compat.py").read_text()
    assert {"_fused_adamw_", "_forward_hooks"} <= set(private_names(source))


def test_it_reads_imports():
    assert {"functional", "torch"} <= set(imports(PACKAGE / "networks" / "_unit_code.py"))
    assert {"fitting", "sklearn"} <= set(imports(PACKAGE / "estimators" / "_base.py"))
    assert PACKAGE / "_compat.py" in reached(PACKAGE / "persistence" / "__init__.py")
    assert PACKAGE / "functional" / "_metrics.py" in reached(PACKAGE / "training" / "_loop.py")
