"""The scores, against loops over all pairs and all matchings."""

from itertools import permutations

import numpy as np
import pytest
import reference
import torch
from live_memory import LiveMemory
from sklearn.metrics import accuracy_score

from sknca.metrics import clustering_accuracy, entanglement_score

METRICS = ["sqeuclidean", "euclidean", "cosine"]


@pytest.fixture
def rows():
    """Twelve rows of four classes, one of them with a single row."""
    y = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 3])
    return np.random.RandomState(0).randn(12, 3), y


class TestEntanglement:
    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("temperature", [0.01, 1, 50.0])
    def test_reference(self, rows, temperature, metric):
        X, y = rows
        score = entanglement_score(X, y, temperature=temperature, metric=metric)
        expected = reference.soft_nearest_neighbor_loss(X, y, temperature, metric)
        assert type(score) is float
        assert score == pytest.approx(expected, rel=1e-10)

    @pytest.mark.parametrize("metric", METRICS)
    def test_weights(self, rows, metric):
        X, y = rows
        weight = np.random.RandomState(1).randint(0, 4, 12)
        expected = reference.soft_nearest_neighbor_loss(X, y, 0.5, metric, weight)
        for given in (weight, weight.tolist(), weight * 4e307):
            score = entanglement_score(X, y, temperature=0.5, metric=metric, sample_weight=given)
            assert score == pytest.approx(expected, rel=1e-10)

    def test_rows_of_no_weight_are_no_rows(self, rows):
        X, y = rows
        X_with, y_with = np.vstack([X, np.full((1, 3), 1e100)]), np.append(y, 9)
        score = entanglement_score(X_with, y_with, sample_weight=[1] * 12 + [0])
        assert score == entanglement_score(X, y)

    def test_defaults(self, rows):
        X, y = rows
        assert entanglement_score(X, y) == entanglement_score(
            X, y, temperature=0.1, metric="cosine", sample_weight=np.ones(12)
        )
        assert entanglement_score(X, y, metric="sqeuclidean") == entanglement_score(
            X, y, temperature=1.0, metric="sqeuclidean"
        )

    def test_by_default_codes_far_apart_have_the_score_0(self):
        X = np.repeat(np.eye(4), 3, axis=0)
        assert 0 <= entanglement_score(X, np.repeat(range(4), 3)) < 1e-3

    def test_classes_apart_and_mixed(self):
        y = np.repeat([0, 1], 50)
        X = np.random.RandomState(0).randn(100, 2) + 20 * y[:, None]
        mixed = y[np.random.RandomState(1).permutation(100)]
        scores = [entanglement_score(X, labels, metric="sqeuclidean") for labels in (y, mixed)]
        assert 0 <= scores[0] < 1e-10
        assert scores[1] > 0.5

    def test_chance(self):
        X, y = np.ones((12, 3)), np.repeat([0, 1], 6)
        assert entanglement_score(X, y) == pytest.approx(np.log(11 / 5))

    def test_laws(self, rows):
        X, y = rows
        expected = entanglement_score(X, y)
        order = np.random.RandomState(0).permutation(12)
        assert entanglement_score(X[order], y[order]) == pytest.approx(expected)
        lengths = np.random.RandomState(0).uniform(1e-3, 1e3, (12, 1))
        assert entanglement_score(X * lengths, y) == pytest.approx(expected)
        expected = entanglement_score(X, y, metric="sqeuclidean")
        moved = entanglement_score(3 * X + 100, y, metric="sqeuclidean", temperature=9)
        assert moved == pytest.approx(expected)

    @pytest.mark.parametrize(
        "names",
        [
            ["a", "b", "c", "d"],
            np.array(["a", "b", "c", "d"], dtype=object),
            [-1, 10**12, 5, 0],
            [0.5, 0.25, 1e-300, 7.0],
        ],
        ids=["str", "object", "int", "float"],
    )
    def test_labels_of_any_kind(self, rows, names):
        X, y = rows
        score = entanglement_score(X.tolist(), np.asarray(names)[y])
        assert score == pytest.approx(entanglement_score(X, y))

    @pytest.mark.parametrize(
        ("dtype", "computed"),
        [
            (np.float16, np.float32),
            (np.float32, np.float32),
            (np.float64, np.float64),
            (np.int64, np.float64),
            (">f8", np.float64),
        ],
    )
    def test_dtypes(self, rows, dtype, computed):
        X, y = (4 * rows[0]).astype(dtype), rows[1]
        X.flags.writeable = False
        assert entanglement_score(X, y) == entanglement_score(X.astype(computed), y)
        expected = reference.soft_nearest_neighbor_loss(X.astype(float), y, 0.1, "cosine")
        tight = computed == np.float64
        assert entanglement_score(X, y) == pytest.approx(expected, rel=1e-12 if tight else 1e-5)

    def test_strides_and_modes_do_not_matter(self, rows):
        X, y = rows
        expected = entanglement_score(X[::-1].copy(), y[::-1].copy())
        assert entanglement_score(X[::-1], y[::-1]) == expected
        try:
            torch.set_default_device("meta")  # where nothing could be computed
            assert entanglement_score(X[::-1], y[::-1]) == expected
        finally:
            torch.set_default_device(None)

    def test_memory(self):
        X = np.random.RandomState(0).randn(4096, 4).astype(np.float32)
        with LiveMemory() as memory:
            entanglement_score(X, np.arange(4096) % 10, device="cpu")
        assert memory.peak < 0.2 * 4 * 4096**2

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"labels": np.zeros(12)}, "Number of labels is 1. There must be at least 2"),
            ({"labels": np.arange(12)}, "At least one label must occur twice"),
            ({"sample_weight": np.eye(12)[0]}, "Number of labels is 1"),
            ({"sample_weight": [1, 1] + [0] * 10}, "At least one label must occur twice"),
            ({"sample_weight": [0] * 12}, "at least one non-zero number"),
            ({"sample_weight": [-1] + [1] * 11}, "Negative values in data passed to `sample_w"),
            ({"sample_weight": [1, 2]}, "sample_weight.shape"),
            ({"labels": [0, 1]}, "inconsistent numbers of samples"),
            ({"X": np.full((12, 3), np.nan)}, "Input X contains NaN"),
            ({"X": np.zeros(12)}, "Expected 2D array, got 1D array"),
            ({"X": 1e200 * np.eye(12), "metric": "sqeuclidean"}, "too large for dtype..float64"),
            ({"temperature": 0}, "The 'temperature' parameter of entanglement_score must be"),
            ({"metric": "l1"}, "The 'metric' parameter of entanglement_score must be"),
        ],
    )
    def test_refuses(self, rows, changes, message):
        X, y = rows
        with pytest.raises(ValueError, match=message):
            entanglement_score(**{"X": X, "labels": y, **changes})


class TestClusteringAccuracy:
    @pytest.mark.parametrize("n_clusters", [2, 4, 5])
    def test_best_of_all_matchings(self, n_clusters):
        random = np.random.RandomState(n_clusters)
        y, clusters = random.randint(0, 4, 60), random.randint(0, n_clusters, 60)
        best = max(
            accuracy_score(y, np.array(names)[clusters])
            for names in permutations(range(max(4, n_clusters)), n_clusters)
        )
        assert clustering_accuracy(y, clusters) == pytest.approx(best)
        assert clustering_accuracy(clusters, y) == pytest.approx(best)

    def test_one_to_one(self):
        # Both clusters are mostly "a", but only one of them can be.
        assert clustering_accuracy(list("aaabaab"), [0, 0, 0, 0, 1, 1, 1]) == 4 / 7

    def test_names_do_not_matter(self):
        score = clustering_accuracy(["a", "b", "b", "c"], [7, -1, -1, 3])
        assert type(score) is float
        assert score == 1.0

    def test_extremes(self):
        assert clustering_accuracy([0, 1, 2, 3], [0, 0, 0, 0]) == 0.25
        assert clustering_accuracy([0, 0, 0, 0], [0, 1, 2, 3]) == 0.25
        assert clustering_accuracy([], []) == 1.0

    @pytest.mark.parametrize(
        ("labels_true", "labels_pred", "message"),
        [
            ([0, 1], [0, 1, 2], "inconsistent numbers of samples"),
            ([[0, 1]], [0, 1], "labels_true must be 1D"),
            ([0, 1], [[0], [1]], "labels_pred must be 1D"),
            (0, [0], "The 'labels_true' parameter of clustering_accuracy must be an array-like"),
        ],
    )
    def test_refuses(self, labels_true, labels_pred, message):
        with pytest.raises(ValueError, match=message):
            clustering_accuracy(labels_true, labels_pred)
