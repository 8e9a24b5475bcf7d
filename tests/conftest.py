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


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="needs a CUDA device, and torch sees none")
        for item in items:
            if "cuda" in item.keywords:
                item.add_marker(skip)
