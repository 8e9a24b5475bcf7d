"""How features are centered and scaled: by what most of their values are."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from sknca import SNNLEmbedding, TripletEmbedding
from sknca.distributed import Alone
from sknca.tables import center_and_spread, common_unit


def of(column, dtype=np.float64):
    """Center and spread of a single feature."""
    X = np.array(column, dtype=dtype)[:, None]
    center, spread = center_and_spread(
        X, np.arange(len(X)), torch.Generator().manual_seed(0), Alone()
    )
    return center[0], spread[0]


def test_of_a_normal_distribution():
    x = np.random.default_rng(0).normal(5, 2, 100_000)
    center, spread = of(x)
    assert center == pytest.approx(5, abs=0.1)
    assert spread == pytest.approx(2, rel=0.05)


def test_no_fraction_of_wild_values_decides():
    x = np.random.default_rng(0).normal(size=1000)
    center, spread = of(x)
    for wild in (-999.0, 1e30):
        spoiled = x.copy()
        spoiled[:100] = wild
        moved, other = of(spoiled)
        assert abs(moved - center) < 0.3
        assert 0.7 < other / spread < 1.5


def test_what_is_mostly_one_value():
    assert of([0] * 90 + [4] * 10) == (0, 2)  # a count: the others are two units away
    assert of([1] * 90 + [0] * 10) == (1, 0.5)
    assert of([7] * 90 + [7, 8, 8, 9, 9, 10, 7, 7, 7, 7]) == (7, 1)
    assert of([0] * 97 + [1, 1, 1e9]) == (0, 0.5)  # one wild value among the rare ones


@pytest.mark.parametrize(("dtype", "eps"), [(np.float64, 2.2e-16), (np.float32, 1.2e-7)])
def test_constant_but_for_rounding(dtype, eps):
    wobble = 1 + eps * np.random.default_rng(0).integers(-1, 2, 150)
    for value in (1e6, -3e-12, 1.0):
        assert of(value * wobble, dtype)[1] == 0
    assert of(np.zeros(9), dtype) == (0, 0)
    assert of(1 + 100 * eps * np.arange(9), dtype)[1] > 0


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_whole_numbers_of_low_precision_are_no_rounding(dtype):
    years = np.random.default_rng(0).integers(2000, 2024, 300)
    assert of(years, dtype)[1] > 3
    assert of(1e7 + np.arange(10), np.float32)[1] > 1


def test_many_rows_in_an_order():
    alternating = np.arange(10_000) % 2
    assert of(alternating)[1] > 0
    rare = np.zeros(100_000)
    rare[::10_000] = 7.0  # most samples have none of these
    assert of(rare) == (0, 3.5)


def test_few_rows():
    assert of([3.0]) == (3, 0)
    assert of([1.0, 3.0])[1] > 0
    assert of([1.0, 2.0, 3.0])[0] == 2


def test_rows_that_are_left_out_do_not_count():
    X = np.array([[0.0], [1], [2], [3], [1e9], [1e9], [1e9], [1e9], [1e9]])
    center, spread = center_and_spread(X, np.arange(4), torch.Generator(), Alone())
    assert center[0] <= 3
    assert spread[0] <= 3


def test_common_unit():
    np.testing.assert_allclose(common_unit(np.array([3.0, 0.0, 4.0])), [12.5**0.5, 0, 12.5**0.5])
    np.testing.assert_array_equal(common_unit(np.zeros(2)), np.zeros(2))


def score(embedding, X, y, X_test, y_test):
    return make_pipeline(embedding, KNeighborsClassifier()).fit(X, y).score(X_test, y_test)


@pytest.mark.parametrize("Embedding", [SNNLEmbedding, TripletEmbedding])
def test_one_bad_row_costs_next_to_nothing(Embedding):
    X, y = load_wine(return_X_y=True)
    X[0] *= 1e4
    assert score(Embedding(random_state=0), X[::2], y[::2], X[1::2], y[1::2]) >= 0.95


def test_sentinel_values_cost_next_to_nothing():
    X, y = load_digits(return_X_y=True)
    A = np.where(np.random.default_rng(0).random(X[::2].shape) < 0.002, -999.0, X[::2])
    assert score(SNNLEmbedding(random_state=0), A, y[::2], X[1::2], y[1::2]) >= 0.97


def test_columns_that_are_constant_but_for_rounding_count_for_nothing():
    X, y = load_iris(return_X_y=True)
    wobble = np.random.default_rng(0).integers(0, 2, (150, 40)) * 2.2e-16
    constant = 1e6 * (1 + wobble)
    moved = np.full((150, 40), 1e6 + 1e-3)
    embedding = SNNLEmbedding(n_components=4, random_state=0).fit(np.hstack([X, constant]), y)
    codes = embedding.transform(np.hstack([X, moved]))
    np.testing.assert_array_equal(codes, embedding.transform(np.hstack([X, constant])))
    both = np.hstack([X, constant])
    beside = score(SNNLEmbedding(random_state=0), both[::2], y[::2], both[1::2], y[1::2])
    alone = score(SNNLEmbedding(random_state=0), X[::2], y[::2], X[1::2], y[1::2])
    assert beside >= alone - 0.03


def test_units_do_not_matter_unless_scale_is_false():
    X, y = load_iris(return_X_y=True)
    units = np.array([1.0, 1024.0, 1.0, 1 / 32])  # powers of two: no rounding

    def codes(X, **parameters):
        return SNNLEmbedding(max_iter=3, random_state=0, **parameters).fit_transform(X, y)

    np.testing.assert_allclose(codes(X), codes(X * units), atol=1e-4)
    assert np.abs(codes(X, scale=False) - codes(X * units, scale=False)).max() > 0.1
    np.testing.assert_allclose(codes(X, scale=False), codes(64 * X, scale=False), atol=1e-4)


def test_scale_is_no_matter_for_a_custom_encoder():
    X, y = load_iris(return_X_y=True)
    codes = [
        SNNLEmbedding(
            encoder=torch.nn.Linear, scale=scale, max_iter=2, random_state=0
        ).fit_transform(X, y)
        for scale in (True, False)
    ]
    np.testing.assert_array_equal(*codes)
