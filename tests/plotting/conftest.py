import matplotlib.pyplot as plt
import pytest
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from sknca import SNNLEmbedding


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def split():
    """Rows for training, rows for testing, and the labels of both."""
    X, y = load_iris(return_X_y=True)
    return train_test_split(scale(X), y, random_state=0)


@pytest.fixture(scope="session")
def embedding(split):
    X_train, X_test, y_train, y_test = split
    embedding = SNNLEmbedding(max_iter=3, random_state=0)
    return embedding.fit(X_train, y_train, X_val=X_test, y_val=y_test)
