import numpy as np
import pytest

from sknca import SNNLEmbedding, TripletEmbedding


@pytest.fixture(scope="session")
def rows():
    """Rows (60, 5) far from zero, of three classes."""
    rng = np.random.RandomState(0)
    y = np.arange(60) % 3
    return rng.randn(60, 5) + y[:, None] + [0, 10, -10, 1e6, 0], y


@pytest.fixture
def small(rows):
    """An embedding whose file is short."""
    return SNNLEmbedding(2, hidden_layer_sizes=(3,), max_iter=2, random_state=0).fit(*rows)


@pytest.fixture(params=[SNNLEmbedding, TripletEmbedding])
def embedding_class(request):
    return request.param
