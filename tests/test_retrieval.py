"""Scores of retrieval, held against pytorch-metric-learning's and against plain loops."""

import numpy as np
import pandas as pd
import pytest
import torch
from live_memory import LiveMemory
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize

from sknca import SNNLEmbedding
from sknca.functional import _neighbors
from sknca.metrics import (
    make_embedding_scorer,
    mean_average_precision_at_r,
    mean_average_precision_at_r_score,
    recall_at_k,
    recall_at_k_score,
)


def codes(n=300, n_classes=20, seed=0):
    """Codes near the centers of their classes, which are of different sizes, a few of one."""
    random = np.random.RandomState(seed)
    y = random.geometric(0.1, n) % n_classes + 100
    y[:3] = 1, 2, 3  # the only ones of their class
    return (random.randn(400, 5)[y] + random.randn(n, 5)).astype(np.float32), y


def by_pytorch_metric_learning(*arrays):
    names = ("precision_at_1", "mean_average_precision_at_r")
    calculator = AccuracyCalculator(include=names, device=torch.device("cpu"))
    found = calculator.get_accuracy(*map(torch.from_numpy, arrays))
    return [found[name] for name in names]


@pytest.fixture(params=[2**21, 2000], ids=["one block", "many blocks"])
def blocks(request, monkeypatch):
    monkeypatch.setattr(_neighbors, "_BLOCK_ENTRIES", request.param)


@pytest.mark.usefixtures("blocks")
class TestTheyAreThoseOfPytorchMetricLearning:
    @pytest.mark.parametrize("seed", range(3))
    def test_among_themselves(self, seed):
        X, y = codes(seed=seed)
        expected = by_pytorch_metric_learning(X, y)
        given = [recall_at_k(X, y), mean_average_precision_at_r(X, y)]
        np.testing.assert_allclose(given, expected, rtol=1e-12)

    def test_in_a_gallery(self):
        X, y = codes()
        gallery, gallery_labels = codes(seed=1)
        expected = by_pytorch_metric_learning(X, y, gallery, gallery_labels)
        among = {"X_gallery": gallery, "labels_gallery": gallery_labels}
        given = [recall_at_k(X, y, **among), mean_average_precision_at_r(X, y, **among)]
        np.testing.assert_allclose(given, expected, rtol=1e-12)

    def test_by_the_cosine(self):
        X, y = codes()
        expected = by_pytorch_metric_learning(normalize(X), y)
        given = [f(X, y, metric="cosine") for f in (recall_at_k, mean_average_precision_at_r)]
        np.testing.assert_allclose(given, expected, rtol=1e-12)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("k", [1, 2, 5, 299, 1000])
@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cosine"])
def test_recall_matches_the_loop(k, metric):
    X, y = codes()
    neighbors = NearestNeighbors(n_neighbors=min(k, 299), metric=metric, algorithm="brute").fit(X)
    nearest = neighbors.kneighbors(return_distance=False)  # each without itself
    counts = [(y == label).sum() > 1 for label in y]
    expected = (y[nearest] == y[:, None]).any(1)[counts].mean()
    assert recall_at_k(X, y, k=k, metric=metric) == pytest.approx(expected)


def test_classes_apart_and_labels_at_random():
    y = np.repeat(np.arange(10), 20)
    X = np.eye(10)[y] * 100 + np.random.RandomState(0).randn(200, 10)
    assert recall_at_k(X, y) == mean_average_precision_at_r(X, y) == 1
    shuffled = np.random.RandomState(0).permutation(y)
    assert mean_average_precision_at_r(X, shuffled) < 0.1


def test_map_at_r_by_hand():
    X, y = [[0.0], [1.0], [2.1], [3.3], [4.6]], ["a", "a", "b", "a", "b"]
    # What each finds in its first R places: a, b | a, b | a | b, b | a.
    scores = [1 / 2, 1 / 2, 0, 0, 0]
    assert mean_average_precision_at_r(X, y) == pytest.approx(np.mean(scores))


def test_labels_of_any_kind():
    X, y = codes()
    expected = recall_at_k(X, y), mean_average_precision_at_r(X, y)
    for labels in (y.astype(str), y.astype(float), pd.Series(y), torch.from_numpy(y)):
        assert (recall_at_k(X, labels), mean_average_precision_at_r(X, labels)) == expected


def test_duplicates_of_a_query_are_others():
    X, y = np.zeros((4, 2)), [0, 0, 0, 0]
    assert recall_at_k(X, y) == mean_average_precision_at_r(X, y) == 1


def test_spelled_as_in_scikit_learn():
    assert recall_at_k_score is recall_at_k
    assert mean_average_precision_at_r_score is mean_average_precision_at_r


def test_memory_grows_with_the_rows_alone():
    X = np.random.RandomState(0).randn(20_000, 4).astype(np.float32)
    y = np.arange(20_000) % 1000
    with LiveMemory() as memory:
        mean_average_precision_at_r(X, y)
    assert memory.peak < 0.1 * 4 * 20_000**2


class TestScorer:
    def test_classes_that_were_not_trained_on(self):
        X, y = codes(n_classes=12)
        scorer = make_embedding_scorer(recall_at_k, k=2)
        pipeline = make_pipeline(StandardScaler(), SNNLEmbedding(max_iter=3, random_state=0))
        scores = cross_val_score(pipeline, X, y, groups=y, cv=GroupKFold(3), scoring=scorer)
        assert scores.min() > 0.5
        # Where a classifier has never heard of the class:
        knn = make_pipeline(pipeline, KNeighborsClassifier())
        assert cross_val_score(knn, X, y, groups=y, cv=GroupKFold(3)).max() == 0

    def test_in_a_search(self):
        X, y = codes()
        search = GridSearchCV(
            SNNLEmbedding(max_iter=1, random_state=0),
            {"n_components": [1, 4]},
            cv=3,
            scoring=make_embedding_scorer(mean_average_precision_at_r),
        )
        assert search.fit(X, y).best_params_ == {"n_components": 4}


X, Y = np.random.RandomState(0).randn(6, 2), [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("score", [recall_at_k, mean_average_precision_at_r])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "manhattan"}, "The 'metric' parameter of"),
        ({"X_gallery": X}, "X_gallery and labels_gallery must be given together"),
        ({"labels_gallery": Y}, "X_gallery and labels_gallery must be given together"),
        ({"X_gallery": X[:, :1], "labels_gallery": Y}, "X_gallery has 1 features, but X has 2"),
        (
            {"X_gallery": X, "labels_gallery": [7] * 6},
            "No query has a sample of its class in the gallery",
        ),
        ({"labels": range(6)}, "No query has a sample of its class among"),
        ({"labels": Y[:5]}, "inconsistent numbers of samples"),
        ({"X": X * np.nan}, "Input X contains NaN"),
    ],
)
def test_refused(score, options, message):
    with pytest.raises(ValueError, match=message):
        score(**{"X": X, "labels": Y, **options})


@pytest.mark.parametrize("k", [0, 1.5])
def test_refused_k(k):
    with pytest.raises(ValueError, match="The 'k' parameter of recall_at_k"):
        recall_at_k(X, Y, k=k)
