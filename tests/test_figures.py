"""Each marked table of README and of the pages is that of its file of figures."""

import json
import re
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def tables():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(DOCS), *sys.path])
        import figure_tables as tables

        yield tables


def test_tables_are_those_of_the_files(tables):
    for page in tables.pages():
        text = page.read_text()
        assert tables.with_tables(text) == text, f"{page.name}: run python docs/figure_tables.py"


def test_each_file_is_in_one_page(tables):
    used = [name for page in tables.pages() for name in tables.marked(page.read_text())]
    assert sorted(used) == sorted(path.stem for path in tables.FIGURES.glob("*.json"))


def test_a_wrong_figure_is_noticed(tables):
    text = (DOCS.parent / "README.md").read_text()
    wrong = re.sub(r"(<!-- figures: quickstart -->\n(?:\|.*\n)*?\| raw \| )", r"\g<1>1", text)
    assert wrong != text
    assert tables.with_tables(wrong) == text


def test_files_name_their_versions_and_no_folder(tables):
    for path in tables.FIGURES.glob("*.json"):
        text = path.read_text()
        figures = json.loads(text)
        assert {"python", "torch", "sknca"} <= set(figures["versions"]), path.name
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", figures["date"])
        assert not re.search(r"/(home|root|tmp|work|usr)", text), path.name
