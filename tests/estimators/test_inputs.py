"""What `fit` and `transform` take, and what they refuse."""

import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from sklearn.exceptions import NotFittedError
from torch import nn

from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from sknca.metrics import entanglement_score


@pytest.fixture(params=[SNNLEmbedding, TripletEmbedding])
def embedding(request):
    return request.param(max_iter=3, random_state=0)


def as_memmap(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


def as_read_only(X, folder):
    X = X.copy()
    X.flags.writeable = False
    return X


LAYOUTS = {
    "read-only": as_read_only,
    "memory-mapped": as_memmap,
    "negative strides": lambda X, folder: X[::-1, ::-1].copy()[::-1, ::-1],
    "F-order": lambda X, folder: np.asfortranarray(X),
    "every second row": lambda X, folder: np.repeat(X, 2, axis=0)[::2],
    "list": lambda X, folder: X.tolist(),
    "pandas": lambda X, folder: pd.DataFrame(X),
    "polars": lambda X, folder: pl.DataFrame(X),
    "big-endian": lambda X, folder: X.astype(">f8"),
    "object": lambda X, folder: X.astype(object),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_changes_nothing(embedding, iris, layout, tmp_path):
    X, y = iris
    expected = embedding.fit(X, y).transform(X)
    given = LAYOUTS[layout](X, tmp_path)
    codes = embedding.fit(given, y).transform(given)
    assert codes.dtype == np.float64
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_answers_in_the_dtype_of_X(embedding, iris, dtype):
    X, y = iris
    codes = embedding.fit(X, y).transform(X.astype(dtype))
    assert codes.dtype == dtype
    np.testing.assert_allclose(codes, embedding.transform(X), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_other_numbers_answer_in_float64(embedding, iris, dtype):
    _, y = iris
    X = np.random.RandomState(0).randint(0, 2, (150, 6)).astype(dtype)
    assert embedding.fit(X, y).transform(X).dtype == np.float64


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", "b", "c"]),
        np.array(["a", "b", "c"], dtype=object),
        np.array([-1, 10**12, 5]),
        np.array([2, 1, 0], dtype=np.uint8),
    ],
    ids=["str", "object", "any int", "uint8"],
)
def test_labels(embedding, iris, labels):
    X, y = iris
    embedding.fit(X, labels[y])
    assert embedding.classes_.tolist() == sorted(labels.tolist())
    assert embedding.loss_ < embedding.loss_curve_[0]


def test_boolean_labels(embedding, iris):
    X, y = iris
    assert embedding.fit(X, y > 0).classes_.tolist() == [False, True]


def test_pandas_labels(embedding, iris):
    X, y = iris
    index = np.arange(150)[::-1]
    embedding.fit(pd.DataFrame(X, index=index), pd.Series(y, index=index))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_code_does_not_depend_on_its_company(embedding, iris, dtype):
    X, y = iris
    X = np.vstack([X] * 4).astype(dtype)  # more than a chunk
    embedding.fit(X, np.tile(y, 4))
    codes = embedding.transform(X)
    order = np.random.RandomState(0).permutation(len(X))
    np.testing.assert_array_equal(embedding.transform(X[order]), codes[order])
    np.testing.assert_array_equal(embedding.transform(X[300:307]), codes[300:307])
    np.testing.assert_array_equal(embedding.transform(X[5:6]), codes[5:6])


def convolutional(n_features, n_components):
    return nn.Sequential(
        *(nn.Unflatten(1, (1, n_features)), nn.Conv1d(1, 8, 3, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(8 * n_features, n_components)),
    )


def test_with_an_encoder_that_is_not_dense_it_does_not_but_for_rounding(embedding, iris):
    X, y = iris
    embedding.set_params(encoder=convolutional).fit(X, y)
    codes = embedding.transform(X)
    scale = np.abs(codes).max()
    for n in (1, 2, 7):
        alone = np.vstack([embedding.transform(X[i : i + n]) for i in range(0, 150 - n, n)])
        np.testing.assert_allclose(alone, codes[: len(alone)], rtol=0, atol=1e-6 * scale)
    np.testing.assert_array_equal(embedding.transform(X), codes)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float64, np.float64),
        (torch.float32, np.float32),
        (torch.float16, np.float16),
        (torch.bfloat16, np.float32),
        (torch.int32, np.float64),
    ],
)
@pytest.mark.parametrize("dispatch", [False, True])
def test_tensors_of_torch_keep_their_dtype(embedding, iris, dtype, expected, dispatch):
    X, y = torch.tensor(iris[0]).to(dtype), torch.tensor(iris[1])
    with sklearn.config_context(array_api_dispatch=dispatch):
        embedding.fit(X, y, X_val=X.requires_grad_(X.is_floating_point()), y_val=y)
        codes = embedding.transform(X)
        probabilities = SoftNeighborsClassifier().fit(X, y).predict_proba(X)
        assert entanglement_score(X, y) > 0
    assert isinstance(codes, np.ndarray)
    assert codes.dtype == expected
    assert probabilities.dtype == np.promote_types(expected, np.float32)


def test_a_tensor_is_not_copied_to_be_checked(embedding):
    X = torch.randn(4000, 50)
    embedding.set_params(max_iter=1).fit(X[:100], torch.arange(100) % 2)
    tracemalloc.start()
    embedding.transform(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.2 * 4 * 4000 * 32  # the codes


def test_harmless_underflow_is_no_error(embedding, iris):
    X, y = iris
    with np.errstate(all="raise"):
        embedding.fit(X, y, X_val=X * 1e-30 + X, y_val=y).transform(X * 1e-40)


def test_transform_changes_nothing(embedding, iris):
    X, y = iris
    embedding.fit(X, y)
    before, X_before = embedding.__dict__.copy(), X.copy()
    embedding.transform(X)
    assert embedding.__dict__ == before
    np.testing.assert_array_equal(X, X_before)


def test_not_fitted(embedding, iris):
    with pytest.raises(NotFittedError, match="Embedding instance is not fitted yet"):
        embedding.transform(iris[0])


X = np.random.RandomState(0).randn(10, 3)
Y = np.arange(10) % 2


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (X, None, "requires y to be passed, but the target y is None"),
        (X, np.zeros(10), "number of classes has to be greater than one; got 1 class"),
        (X[:1], Y[:1], "Found array with 1 sample.* while a minimum of 2 is required"),
        (X, np.arange(10), "only one training sample of each class"),
        (X, np.linspace(0, 1, 10), "Unknown label type: continuous"),
        (X, Y[:5], "inconsistent numbers of samples"),
        (X, np.where(Y == 0, np.nan, 1.0), "Input y contains NaN"),
        (np.where(X > 1, np.nan, X), Y, "Input X contains NaN"),
        (np.where(X > 1, np.inf, X), Y, "Input X contains infinity"),
        (X * 1e200, Y, "too large for dtype\\('float32'\\)"),
        (X[0], Y, "Expected 2D array, got 1D array"),
        (X[:, :0], Y, "0 feature"),
        (X.astype(complex), Y, "Complex data not supported"),
    ],
)
def test_fit_refuses(embedding, X, y, message):
    with pytest.raises(ValueError, match=message):
        embedding.fit(X, y)
    assert not hasattr(embedding, "n_features_in_")


def test_transform_refuses(embedding):
    embedding.fit(X, Y)
    with pytest.raises(
        ValueError, match=r"X has 2 features, but (SNNL|Triplet)Embedding is expecting 3"
    ):
        embedding.transform(X[:, :2])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        embedding.transform(np.full((1, 3), np.nan))
    with pytest.raises(ValueError, match="too large for dtype"):
        embedding.transform(np.full((1, 3), 1e200))
    with pytest.raises(ValueError, match="minimum of 1 is required"):
        embedding.transform(np.empty((0, 3)))


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        ("temperature", 0, "The 'temperature' parameter of SNNLEmbedding must be a str among"),
        ("temperature", -1.0, "Got -1.0 instead"),
        ("temperature", float("inf"), "temperature"),
        ("n_components", 0, "The 'n_components' parameter"),
        ("metric", "manhattan", "The 'metric' parameter"),
        ("batch_size", 3, "The 'batch_size' parameter"),
        ("hidden_layer_sizes", 10, "The 'hidden_layer_sizes' parameter"),
        ("hidden_layer_sizes", (3, 0), r"sequence of integers > 0, got \(3, 0\)"),
        ("hidden_layer_sizes", (3.7,), r"sequence of integers > 0, got \(3.7,\)"),
        ("hidden_layer_sizes", ("a",), "sequence of integers > 0, got"),
        ("hidden_layer_sizes", [[3, 4]], "sequence of integers > 0, got"),
        ("device", "gpu", "device='gpu' cannot be used here"),
        ("device", "meta", "device='meta' cannot be used here"),
        ("device", "cuda:99", "device='cuda:99' cannot be used here"),
    ],
)
def test_refuses_parameter(parameter, value, message):
    with pytest.raises(ValueError, match=message):
        SNNLEmbedding(**{parameter: value}).fit(X, Y)


class Tuple(nn.LSTM):
    def __init__(self, n_features, n_components):
        super().__init__(n_features, n_components)


class Asserting(nn.Linear):
    def forward(self, x):
        raise AssertionError("no images")


@pytest.mark.parametrize(
    ("parameters", "y", "message"),
    [
        ({"encoder": Tuple}, Y, "encoder must return a torch.Tensor, got tuple"),
        ({"encoder": Asserting}, Y, "encoder fails on samples of 3 features: no images"),
        (
            {"early_stopping": True, "validation_fraction": 0.5},
            np.repeat(np.arange(5), 2),
            "early_stopping with validation_fraction=0.5 leaves only one training sample of each",
        ),
        ({}, Y.astype(object), "Unknown label type: unknown"),
        (
            {"hidden_layer_sizes": np.array([8, 1.5])},
            Y,
            r"hidden_layer_sizes must be a sequence of integers > 0, got \(8.0, 1.5\)",
        ),
    ],
)
def test_errors_name_the_parameter(embedding, parameters, y, message):
    with pytest.raises(ValueError, match=message):
        embedding.set_params(**parameters).fit(X, y)


WORDS = ["a", "b"] * 5
MISSING = [*range(9), None]


@pytest.mark.parametrize("device", ["mps", "xpu", "hpu", "cuda:99", "meta", "gpu"])
def test_a_device_that_is_not_there_is_refused_in_one_line(embedding, device):
    with pytest.raises(ValueError) as raised:
        embedding.set_params(device=device).fit(X, Y)
    message = str(raised.value)
    assert message.startswith(f"device='{device}' cannot be used here: ")
    assert len(message.splitlines()) == 1
    assert len(message) < 250


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
@pytest.mark.parametrize("estimator", [SNNLEmbedding(max_iter=1), SoftNeighborsClassifier()])
class TestTables:
    """One line that says which columns are at fault, and which step to put in front."""

    def refused(self, call):
        with pytest.raises(ValueError) as raised:
            call()
        (line,) = str(raised.value).splitlines()
        return line

    def test_words(self, library, estimator):
        table = library.DataFrame({"n": range(10), "word": WORDS})
        line = self.refused(lambda: estimator.fit(table, Y))
        assert "X has columns that are not numbers: 'word'" in line
        assert "OneHotEncoder" in line

    def test_missing_values(self, library, estimator):
        table = library.DataFrame({"n": range(10), "m": MISSING})
        line = self.refused(lambda: estimator.fit(table, Y))
        assert line.startswith("Input X contains NaN, in the columns 'm'")
        assert "SimpleImputer" in line

    def test_at_prediction(self, library, estimator):
        table = library.DataFrame({"n": [*range(10)], "m": [float(i) for i in range(10)]})
        estimator.fit(table, Y)
        ask = getattr(estimator, "transform", None) or estimator.predict
        for column, step in ((MISSING, "SimpleImputer"), (WORDS, "OneHotEncoder")):
            worse = library.DataFrame({"n": [*range(10)], "m": column})
            assert step in self.refused(lambda table=worse: ask(table))

    def test_other_errors_keep_the_words_of_scikit_learn(self, library, estimator):
        table = library.DataFrame({"n": [*range(10)], "m": [float(i) for i in range(10)]})
        estimator.fit(table, Y)
        ask = getattr(estimator, "transform", None) or estimator.predict
        worse = library.DataFrame({"m": MISSING, "n": [*range(10)]})
        with pytest.raises(ValueError, match="Feature names must be in the same order"):
            ask(worse)
        with pytest.raises(ValueError, match="requires y to be passed"):
            estimator.fit(worse, None)

    def test_validation_rows(self, library, estimator):
        if isinstance(estimator, SoftNeighborsClassifier):
            return
        table = library.DataFrame({"n": [*range(10)], "m": [float(i) for i in range(10)]})
        worse = library.DataFrame({"n": [*range(10)], "m": MISSING})
        line = self.refused(lambda: estimator.fit(table, Y, X_val=worse, y_val=Y))
        assert line.startswith("Input X_val contains NaN, in the columns 'm'")


def test_categories_and_nullable_numbers_of_pandas(embedding):
    days = pd.date_range("2026-01-01", periods=10)
    table = pd.DataFrame(
        {"c": pd.Categorical(["a", "b"] * 5), "n": pd.array([1, None] * 5), "day": days}
    )
    with pytest.raises(ValueError, match="not numbers: 'c', 'day'"):
        embedding.fit(table, Y)
    with pytest.raises(ValueError, match="NaN, in the columns 'n'"):
        embedding.fit(table[["n"]], Y)
