"""The names in a folder's wheel and source distribution, which must be these and no others."""

import sys
import tarfile
import zipfile
from pathlib import Path

dist = Path(sys.argv[1])
(wheel,) = dist.glob("*.whl")
(sdist,) = dist.glob("*.tar.gz")


def files(*patterns):
    """Of the working tree, without what was made there by running it."""
    found = (path for pattern in patterns for path in Path().glob(pattern) if path.is_file())
    made = {"__pycache__", "_build", "api", "auto_examples"}
    return {str(path) for path in found if not made & set(path.parts)}


def compare(archive, names, expected):
    print(archive.name, *sorted(names), sep="\n  ")
    if names != expected:
        sys.exit(
            f"{archive.name} should not hold {sorted(names - expected)}, "
            f"and lacks {sorted(expected - names)}"
        )


package = files("sknca/**/*.py") | {"sknca/py.typed"}
info = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
metadata = {"METADATA", "RECORD", "WHEEL", "licenses/LICENSE", "top_level.txt"}
with zipfile.ZipFile(wheel) as archive:
    compare(wheel, set(archive.namelist()), package | {f"{info}/{name}" for name in metadata})

root = sdist.name.removesuffix(".tar.gz")
with tarfile.open(sdist) as archive:
    names = {m.name.removeprefix(f"{root}/") for m in archive.getmembers() if m.isfile()}
made = {"PKG-INFO", "setup.cfg"} | {name for name in names if name.startswith("sknca.egg-info/")}
beside = files("*.md", "*.txt", "*.toml", "docs/**/*", "examples/**/*", "tests/**/*")
compare(sdist, names, package | beside | made | {"LICENSE", "MANIFEST.in"})
