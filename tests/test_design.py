"""docs/design.md names what there is: files that exist, names that the code has."""

import re
from pathlib import Path

import pytest

import sknca

PACKAGE = Path(sknca.__file__).parent
REPOSITORY = Path(__file__).parents[1]
DESIGN = (REPOSITORY / "docs" / "design.md").read_text()

CODE = "\n".join(path.read_text() for path in sorted(PACKAGE.rglob("*.py")))
ROOMS = [PACKAGE, *(path for path in PACKAGE.iterdir() if path.is_dir())]


def is_there(name):
    """Whether it is a file or folder of the package or beside it, or a name in the code."""
    name = name.removesuffix("/")
    folders = (REPOSITORY, *(REPOSITORY / beside for beside in ("tests", "docs", ".ci")))
    paths = [folder / name for folder in folders]
    paths += [folder / suffix for folder in ROOMS for suffix in (name, f"{name}.py")]
    patterns = f"examples/{name}", f"tests/**/{name}"
    if any(path.exists() for path in paths) or any(map(any, map(REPOSITORY.glob, patterns))):
        return True
    return re.search(rf"\b{re.escape(name)}\b", CODE) is not None


#: What stands in backticks, without a formula, a call's arguments or a text.
SPANS = sorted({span.split("(")[0] for span in re.findall(r"`([^`\n]+)`", DESIGN)})
NAMES = [span for span in SPANS if re.fullmatch(r"\.?[\w./*]+", span)]


@pytest.mark.parametrize("name", NAMES)
def test_what_it_names_is_there(name):
    assert is_there(name)


def test_what_is_not_there_is_seen():
    assert len(NAMES) > 60
    assert not is_there("encode_rows")
    assert not is_there("training/_epochs.py")


def test_the_way_of_the_data_names_files():
    (diagram,) = re.findall(r"```\n(X, y.*?)```", DESIGN, re.DOTALL)
    for line in re.findall(r"^(\w+/\w*)", diagram, re.MULTILINE):
        assert is_there(line), line
    assert "backward()" in (PACKAGE / "training" / "_adversarial.py").read_text()
    assert "optimizer.step()" in (PACKAGE / "training" / "_step.py").read_text()


@pytest.mark.parametrize("room", [room.name for room in ROOMS[1:] if room.name[0] != "_"])
def test_every_file_has_its_line(room):
    for path in (PACKAGE / room).glob("_*.py"):
        assert path.name == "__init__.py" or re.search(rf"\b{path.stem}\b", DESIGN), path
