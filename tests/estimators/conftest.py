import pytest
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale


@pytest.fixture
def iris():
    X, y = load_iris(return_X_y=True)
    return scale(X), y
