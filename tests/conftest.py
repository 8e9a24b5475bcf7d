import os

# Read when scipy is imported: lets scikit-learn check array API inputs too.
os.environ["SCIPY_ARRAY_API"] = "1"

# Pictures are drawn, and no window opens.
os.environ["MPLBACKEND"] = "Agg"

import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale


@pytest.fixture
def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y


#: What takes longest, begun first, so that several workers end together.
LONG = ("on_a_pretended_device", "tests/processes/", "docs/tour.md", "docs/guide/few_labels.md")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not any(name in item.nodeid for name in LONG))  # stable
    for item in items:
        if "tests/processes/" in item.nodeid:  # which start their processes once
            item.add_marker(pytest.mark.xdist_group("processes"))
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="needs a CUDA device, and torch sees none")
        for item in items:
            if "cuda" in item.keywords:
                item.add_marker(skip)
