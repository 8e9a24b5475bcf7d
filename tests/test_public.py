"""What is public: that it has a page in the reference, and that it needs no optional package."""

import importlib
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import sknca

DOCS = Path(__file__).parents[1] / "docs"
REFERENCE = DOCS / "api.rst"

#: Rooms that users have no business in; see docs/design.md.
INTERIOR = {
    "sknca.data",
    "sknca.estimators",
    "sknca.fitting",
    "sknca.networks",
    "sknca.objectives",
    "sknca.persistence",
    "sknca.tables",
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


def of_docs(name):
    """A module that builds the pages."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("embedding", [sknca.SNNLEmbedding, sknca.TripletEmbedding])
def test_each_parameter_is_in_one_group_of_the_reference(embedding):
    groups = of_docs("parameter_groups").parameter_groups()[f"sknca.{embedding.__name__}"]
    listed = [name for names in groups.values() for name in names]
    assert sorted(listed) == sorted(embedding().get_params(deep=False))


def test_names_and_examples_link_to_the_guide_and_back():
    pages = of_docs("guide_pages")
    back = {page: " ".join(lines) for page, lines in pages.links_back().items()}
    names = [f"{module}.{name}" for module in public_modules() for name in all_of(module)]
    assert sorted(pages.guide_pages()) == sorted(names)
    for name, of_name in pages.guide_pages().items():
        assert of_name
        for page in of_name:
            assert f"`~{name}`" in back[page.removeprefix("/")]
    for example in (DOCS.parent / "examples").glob("plot_*.py"):
        assert any(f"/{example.stem}`" in links for links in back.values())


def all_of(module):
    return importlib.import_module(module).__all__
