"""The classifier, against loops over all pairs, and scikit-learn's checks."""

import math
import pickle

import numpy as np
import pytest
import reference
import torch
from live_memory import LiveMemory
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch.utils._python_dispatch import TorchDispatchMode

from sknca import SNNLEmbedding, SoftNeighborsClassifier
from sknca.functional import soft_nearest_neighbor_loss
from sknca.functional._log_sums import exp_rows_

METRICS = ["sqeuclidean", "euclidean", "cosine"]
ESTIMATORS = [
    SoftNeighborsClassifier(),
    SoftNeighborsClassifier(metric="cosine", temperature=0.1),
    SoftNeighborsClassifier(metric="euclidean"),
]


@parametrize_with_checks(ESTIMATORS)
def test_given_checks(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:X (does not have|has).* feature names:UserWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
@pytest.mark.parametrize(
    "name",
    [
        "check_param_validation",
        "check_dataframe_column_names_consistency",
        "check_inplace_ensure_writeable",
    ],
)
def test_checks_that_are_left_out(estimator, name):
    getattr(estimator_checks, name)("SoftNeighborsClassifier", estimator)


@pytest.fixture
def data():
    """Twenty training rows of three classes in disorder, their weights, and eight queries."""
    random = np.random.RandomState(0)
    return random.randn(20, 3), np.arange(20) % 3, random.randint(0, 3, 20), random.randn(8, 3)


def log_probabilities(X, y, weight, queries, temperature, metric):
    result = []
    for query in queries:
        terms = [
            (label, -reference.distance(query, row, metric) / temperature + math.log(w))
            for row, label, w in zip(X, y, weight, strict=True)
            if w > 0
        ]
        total = reference.log_sum_exp([term for _, term in terms])
        result.append(
            [
                reference.log_sum_exp([term for label, term in terms if label == k]) - total
                for k in np.unique(y)
            ]
        )
    return np.array(result)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("temperature", [1e-4, 0.1, 1, 1e4])
@pytest.mark.parametrize("weighted", [False, True])
def test_reference(data, metric, temperature, weighted):
    X, y, weight, queries = data
    classifier = SoftNeighborsClassifier(temperature=temperature, metric=metric)
    classifier.fit(X, y, sample_weight=weight if weighted else None)
    if not weighted:
        weight = np.ones(20)
    expected = log_probabilities(X, y, weight, queries, temperature, metric)
    given = classifier.predict_log_proba(queries)
    assert np.isfinite(given).all()
    np.testing.assert_allclose(given, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(classifier.predict_proba(queries), np.exp(expected), atol=1e-9)
    np.testing.assert_array_equal(classifier.predict(queries), expected.argmax(1))


@pytest.mark.parametrize("metric", METRICS)
def test_is_what_the_loss_of_held_out_rows_minimizes(data, metric):
    X, y, _, queries = data
    y_queries = np.arange(8) % 3
    losses = soft_nearest_neighbor_loss(
        *map(torch.tensor, (queries, y_queries)),
        0.3,
        metric=metric,
        reduction="none",
        neighbors=torch.tensor(X),
        neighbor_labels=torch.tensor(y),
    )
    classifier = SoftNeighborsClassifier(temperature=0.3, metric=metric).fit(X, y)
    right = classifier.predict_log_proba(queries)[np.arange(8), y_queries]
    np.testing.assert_allclose(-right, losses)


def test_cold_is_the_nearest_neighbor_and_hot_the_frequencies(iris):
    X, y = iris[0][::2], iris[1][::2]
    queries = iris[0][1::2]
    nearest = KNeighborsClassifier(1).fit(X, y).predict(queries)
    cold = SoftNeighborsClassifier(temperature=1e-4).fit(X, y)
    np.testing.assert_array_equal(cold.predict(queries), nearest)
    hot = SoftNeighborsClassifier(temperature=1e6).fit(X, y)
    np.testing.assert_allclose(hot.predict_proba(queries), 1 / 3, atol=1e-4)


@pytest.mark.parametrize(
    ("metric", "expected"), [("sqeuclidean", 1.0), ("euclidean", 0.3), ("cosine", 0.1)]
)
def test_the_default_temperature_is_that_of_the_metric(iris, metric, expected):
    X, y = iris
    given = SoftNeighborsClassifier(metric=metric, temperature=expected).fit(X, y)
    for temperature in ({}, {"temperature": "auto"}):
        classifier = SoftNeighborsClassifier(metric=metric, **temperature).fit(X, y)
        np.testing.assert_array_equal(classifier.predict_proba(X), given.predict_proba(X))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
class TestNothingElseMatters:
    def test_order_of_training_rows(self, iris, metric, dtype):
        X, y = iris[0].astype(dtype), iris[1]
        order = np.random.RandomState(0).permutation(150)
        classifier = SoftNeighborsClassifier(metric=metric, temperature=0.1)
        expected = classifier.fit(X, y).predict_log_proba(X)
        given = classifier.fit(X[order], y[order]).predict_log_proba(X)
        rtol = 1e-3 if dtype == np.float32 else 1e-10
        np.testing.assert_allclose(given, expected, rtol=rtol, atol=rtol)

    def test_company(self, iris, metric, dtype):
        X, y = np.tile(iris[0], (40, 1)).astype(dtype), iris[1]  # two blocks
        X[7] = 1e6  # from where a common center would be far from all the others
        classifier = SoftNeighborsClassifier(metric=metric, temperature=0.1)
        together = classifier.fit(X[150:300], y).predict_proba(X)
        assert np.isfinite(together).all()
        rtol = 1e-4 if dtype == np.float32 else 1e-10
        np.testing.assert_allclose(together[150:300], together[-150:], rtol=rtol, atol=rtol)
        alone = np.vstack([classifier.predict_proba(X[i : i + 1]) for i in range(10)])
        np.testing.assert_allclose(alone, together[:10], rtol=rtol, atol=rtol)

    def test_extreme_rows(self, metric, dtype):
        X = np.array([[0, 0], [1e-12, 0], [1e6, 1], [-1e6, 1e6]], dtype=dtype)
        queries = np.vstack([X, [[1e12, -1e12], [1e-30, 1e-30]]]).astype(dtype)
        for temperature in (1e-4, 1.0, 1e4):
            classifier = SoftNeighborsClassifier(metric=metric, temperature=temperature)
            probabilities = classifier.fit(X, [0, 1, 0, 1]).predict_proba(queries)
            np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
            assert np.isfinite(classifier.predict_log_proba(queries)).all()

    def test_modes_of_the_program(self, iris, metric, dtype):
        X, y = iris[0].astype(dtype), iris[1]
        classifier = SoftNeighborsClassifier(metric=metric).fit(X, y)
        expected = classifier.predict_proba(X)
        try:
            torch.set_default_device("meta")  # where nothing could be computed
            with torch.autocast("cpu", dtype=torch.bfloat16):
                given = classifier.predict_proba(X)
        finally:
            torch.set_default_device(None)
        np.testing.assert_array_equal(given, expected)


def test_logarithms_where_the_probabilities_vanish():
    classifier = SoftNeighborsClassifier(temperature=1e-4).fit([[0.0], [1.0]], ["a", "b"])
    assert classifier.predict_proba([[0.0]]).tolist() == [[1, 0]]
    np.testing.assert_allclose(classifier.predict_log_proba([[0.0]]), [[0, -1e4]])


def test_shared_offset_costs_nothing():
    X = np.random.RandomState(0).randint(0, 5, (40, 3)).astype(np.float32)
    y = np.arange(40) % 3
    expected = SoftNeighborsClassifier().fit(X, y).predict_proba(X)
    given = SoftNeighborsClassifier().fit(X + 2**20, y).predict_proba(X + 2**20)
    np.testing.assert_allclose(given, expected, rtol=0.1, atol=1e-6)


@pytest.mark.parametrize(
    ("fitted", "asked", "expected"),
    [
        (np.float64, np.float64, np.float64),
        (np.float64, np.float32, np.float64),
        (np.float32, np.float64, np.float64),
        (np.float32, np.float32, np.float32),
        (np.float16, np.float16, np.float32),
        (np.int64, np.int64, np.float64),
    ],
)
def test_dtypes(iris, fitted, asked, expected):
    X, y = 4 * iris[0], iris[1]
    probabilities = (
        SoftNeighborsClassifier().fit(X.astype(fitted), y).predict_proba(X.astype(asked))
    )
    assert probabilities.dtype == expected
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_labels(iris):
    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])
    classifier = SoftNeighborsClassifier(temperature=0.1)
    expected = classifier.fit(X, y).predict(X)
    classifier.fit(X, names[y])
    assert classifier.classes_.tolist() == names.tolist()
    np.testing.assert_array_equal(classifier.predict(X), names[expected])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_denormal_numbers(dtype):
    # Terms of e^-100 beside one of 1, in either precision: slow if they were computed.
    logits = torch.tensor([[0.0, -100.0, -1000.0]], dtype=dtype)
    largest, sums = exp_rows_(logits)
    assert (largest.item(), sums.item()) == (0, 1)
    assert (logits >= torch.finfo(dtype).tiny).all()


def test_class_of_no_weight(iris):
    X, y = iris
    classifier = SoftNeighborsClassifier().fit(X, y, sample_weight=y != 1)
    assert classifier.classes_.tolist() == [0, 1, 2]
    assert (classifier.predict_proba(X)[:, 1] == 0).all()
    np.testing.assert_allclose(classifier.predict_proba(X).sum(1), 1)


def test_one_class(iris):
    X, _ = iris
    classifier = SoftNeighborsClassifier().fit(X, np.full(150, "a"))
    assert (classifier.predict_proba(X) == 1).all()
    assert set(classifier.predict(X)) == {"a"}


def test_training_rows_are_copied(iris):
    X, y = iris
    classifier = SoftNeighborsClassifier().fit(X, y)
    expected = classifier.predict_proba(iris[0][::10])
    queries = X[::10].copy()
    X[:] = 0
    np.testing.assert_array_equal(classifier.predict_proba(queries), expected)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(queries), expected)


def test_behind_the_embedding(iris):
    X, y = iris
    pipeline = make_pipeline(SNNLEmbedding(max_iter=5, random_state=0), SoftNeighborsClassifier())
    grid = {"softneighborsclassifier__temperature": [0.1, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=3, scoring="neg_log_loss").fit(X, y)
    assert search.best_score_ > -0.5


class Calls(TorchDispatchMode):
    """Counts the operations of torch."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.n += 1
        return function(*args, **kwargs or {})


def test_many_classes_are_no_more_work_than_few():
    X = np.random.RandomState(0).randn(4000, 4)
    calls = []
    for n_classes in (2, 2000):
        classifier = SoftNeighborsClassifier().fit(X, np.arange(4000) % n_classes)
        with Calls() as counted:
            classifier.predict(X[:5])
        calls.append(counted.n)
    assert calls[0] == calls[1]


def test_classes_of_any_sizes(data):
    # In no order of their sizes, some of them alike, one without any row that weighs.
    X, _, _, queries = data
    y = np.repeat([0, 1, 2, 3, 4, 5], [5, 1, 6, 1, 5, 2])
    weight = np.where(y == 5, 0, 1 + np.arange(20) % 3)
    classifier = SoftNeighborsClassifier(temperature=0.5).fit(X, y, sample_weight=weight)
    given = classifier.predict_log_proba(queries)
    expected = log_probabilities(X[y < 5], y[y < 5], weight[y < 5], queries, 0.5, "sqeuclidean")
    np.testing.assert_allclose(given[:, :5], expected, rtol=1e-9, atol=1e-9)
    assert (given[:, 5] == -np.inf).all()


def test_harmless_underflow_is_no_error(data):
    X, y, _, queries = data
    with np.errstate(all="raise"):
        SoftNeighborsClassifier(temperature=1e-4).fit(X, y).predict_proba(queries)


def test_memory():
    X = np.random.RandomState(0).randn(8192, 4).astype(np.float32)
    classifier = SoftNeighborsClassifier(device="cpu").fit(X, np.arange(8192) % 10)
    with LiveMemory() as memory:
        classifier.predict_proba(X[:4096])
    assert memory.peak < 0.15 * 4 * 4096 * 8192


X = np.random.RandomState(0).randn(10, 3)
Y = np.arange(10) % 2


@pytest.mark.parametrize(
    ("X", "y", "weight", "message"),
    [
        (X, None, None, "requires y to be passed, but the target y is None"),
        (X, np.linspace(0, 1, 10), None, "Unknown label type: continuous"),
        (X, Y[:5], None, "inconsistent numbers of samples"),
        (X[:0], Y[:0], None, "minimum of 1 is required"),
        (np.where(X > 1, np.nan, X), Y, None, "Input X contains NaN"),
        (X.astype(complex), Y, None, "Complex data not supported"),
        (X, Y, -np.ones(10), "Negative values in data passed to `sample_weight`"),
        (X, Y, np.zeros(10), "at least one non-zero number"),
        (X, Y, np.ones(9), "sample_weight.shape"),
    ],
)
def test_fit_refuses(X, y, weight, message):
    classifier = SoftNeighborsClassifier()
    with pytest.raises(ValueError, match=message):
        classifier.fit(X, y, sample_weight=weight)
    assert vars(classifier) == vars(SoftNeighborsClassifier())


def test_predict_refuses():
    with pytest.raises(NotFittedError, match="SoftNeighborsClassifier instance is not fitted yet"):
        SoftNeighborsClassifier().predict(X)
    classifier = SoftNeighborsClassifier().fit(X, Y)
    with pytest.raises(ValueError, match="X has 2 features, but SoftNeighborsClassifier is exp"):
        classifier.predict(X[:, :2])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        classifier.predict_proba(np.full((1, 3), np.nan))
    classifier.fit(X * 1e200, Y)
    with pytest.raises(ValueError, match="too large for dtype..float64"):
        classifier.predict(X)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("temperature", 0), ("temperature", float("inf")), ("metric", "manhattan")],
)
def test_refuses_parameter(parameter, value):
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of SoftNeighborsClassif"):
        SoftNeighborsClassifier(**{parameter: value}).fit(X, Y)
