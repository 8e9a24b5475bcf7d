"""What is public: that it has a page in the reference, and that it needs no optional package."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import sknca

REFERENCE = Path(__file__).parents[1] / "docs" / "api.rst"

#: Rooms that users have no business in; see docs/design.md.
INTERIOR = {
    "sknca.data",
    "sknca.estimators",
    "sknca.networks",
    "sknca.objectives",
    "sknca.persistence",
    "sknca.training",
}

OPTIONAL = [
    "matplotlib",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "pandas",
    "polars",
    "rich",
    "skl2onnx",
]


def modules():
    walked = pkgutil.walk_packages(sknca.__path__, "sknca.")
    return ["sknca", *(module.name for module in walked if "._" not in module.name)]


def public_modules():
    return [name for name in modules() if name not in INTERIOR]


def test_each_public_module_is_in_the_reference():
    lines = REFERENCE.read_text().splitlines()
    listed = [line.strip() for line in lines if line.startswith("   sknca")]
    assert listed == public_modules()


@pytest.mark.parametrize("name", public_modules())
def test_public_names_are_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for public in module.__all__:  # each of them gets a page
        assert inspect.getdoc(getattr(module, public)), public


def test_importing_needs_no_optional_package():
    blocked = f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL}))"
    subprocess.run([sys.executable, "-c", f"{blocked}; import {', '.join(modules())}"], check=True)
