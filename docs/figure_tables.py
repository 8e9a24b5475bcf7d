"""Tables of the pages, made from docs/figures/NAME.json: one source for each figure.

python docs/figure_tables.py

rewrites each table below a comment `<!-- figures: NAME -->` in README and in the pages. A script in
`examples/` writes the file, with its option --json.
"""

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from _figures import table

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures"
_MARKED = re.compile(r"(<!-- figures: (\w+) -->\n)((?:\|.*\n)*)")


def pages():
    """README, and the pages that are written by hand."""
    built = {"_build", "api", "auto_examples"}
    written = (path for path in ROOT.glob("docs/**/*.md") if not built & set(path.parts))
    return [ROOT / "README.md", *sorted(written)]


def marked(text):
    """Names of the files of which the text of a page has tables."""
    return [name for _, name, _ in _MARKED.findall(text)]


def with_tables(text):
    """The text of a page, with each marked table made from its file."""
    return _MARKED.sub(lambda found: found[1] + _table_of(found[2]), text)


def _table_of(name):
    figures = json.loads((FIGURES / f"{name}.json").read_text())
    return table(figures["columns"], figures["rows"])


if __name__ == "__main__":
    for path in pages():
        path.write_text(with_tables(path.read_text()))
