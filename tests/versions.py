"""What older versions of scikit-learn and torch lack: tests of it are skipped there."""

from importlib.util import find_spec

import pytest
import sklearn
import torch
from sklearn.utils.fixes import parse_version

SKLEARN = parse_version(sklearn.__version__)
TORCH = parse_version(torch.__version__)

HAS_CALLBACKS = find_spec("sklearn.callback") is not None

needs_callbacks = pytest.mark.skipif(not HAS_CALLBACKS, reason="callbacks need scikit-learn 1.9")


def needs_sklearn(version, what):
    """Skips a test of what scikit-learn does only from a version on."""
    return pytest.mark.skipif(
        parse_version(version) > SKLEARN, reason=f"{what} needs scikit-learn {version}"
    )


def needs_torch(version, what):
    return pytest.mark.skipif(
        parse_version(version) > TORCH, reason=f"{what} needs torch {version}"
    )


needs_exporter = pytest.mark.skipif(
    parse_version("2.11") > TORCH, reason="export to ONNX is tested with torch 2.11 and newer"
)
