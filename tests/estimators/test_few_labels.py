"""Labels that spread to samples without one."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.semi_supervised import SelfTrainingClassifier

import sknca
from sknca import SNNLEmbedding, TripletEmbedding

X, Y = load_digits(return_X_y=True)
X, X_TEST, Y, Y_TEST = X[:600] / 16, X[600:1000] / 16, Y[:600], Y[600:1000]


def few_of(y, n_labels, seed=0):
    few = np.full(len(y), -1)
    for label in np.unique(y):
        rows = np.random.RandomState(seed).permutation(np.flatnonzero(y == label))[:n_labels]
        few[rows] = label
    return few


def accuracy(embedding, few, X_test=X_TEST, y_test=Y_TEST):
    labeled = few >= 0
    knn = KNeighborsClassifier(1).fit(embedding.transform(X[labeled]), few[labeled])
    return knn.score(embedding.transform(X_test), y_test)


def make(cls=SNNLEmbedding, **parameters):
    return cls(unlabeled=-1, random_state=0, **parameters)


@pytest.mark.parametrize("cls", [SNNLEmbedding, TripletEmbedding])
def test_samples_without_a_label_teach(cls):
    few = few_of(Y, 3)
    embedding = make(cls, scale=False, max_iter=30).fit(X, few)
    alone = make(cls, scale=False, max_iter=30, spread_labels=False).fit(X, few)
    assert accuracy(embedding, few) > accuracy(alone, few) + 0.05
    assert np.mean(embedding.transduction_ == Y) > 0.8
    np.testing.assert_array_equal(embedding.transduction_[few >= 0], few[few >= 0])
    assert not hasattr(alone, "transduction_")


@pytest.mark.parametrize("cls", [SNNLEmbedding, TripletEmbedding])
def test_one_label_of_each_class(cls):
    few = few_of(Y, 1)
    embedding = make(cls, scale=False, max_iter=20).fit(X, few)
    nearest = KNeighborsClassifier(1).fit(X[few >= 0], few[few >= 0])
    assert np.mean(embedding.transduction_ == Y) > nearest.score(X, Y) + 0.05
    for alone in (
        make(cls, spread_labels=False),
        make(cls, early_stopping=True),
        make(cls, spread_labels=False, early_stopping=True),
    ):
        with pytest.raises(ValueError, match="only one training sample of each class"):
            alone.fit(X, few)
    with pytest.raises(ValueError, match="only one training sample of each class"):
        make(cls).fit(X[few >= 0], few[few >= 0])


def test_classes_without_any_label_do_no_harm():
    few = few_of(Y, 5)
    few[few >= 7] = -1
    known = Y_TEST < 7
    embedding = make(scale=False).fit(X, few)
    alone = make(scale=False, spread_labels=False).fit(X, few)
    scores = [accuracy(e, few, X_TEST[known], Y_TEST[known]) for e in (embedding, alone)]
    assert scores[0] >= scores[1] - 0.01


def test_all_labels_given_change_nothing():
    codes = [make(max_iter=2, spread_labels=s).fit_transform(X, Y) for s in (True, False)]
    np.testing.assert_array_equal(*codes)


def test_samples_of_weight_zero_teach_nothing():
    few = few_of(Y, 3)
    weight = np.ones(len(X))
    weight[few < 0] = np.arange(np.count_nonzero(few < 0)) % 2
    strange = np.where(weight[:, None] > 0, X, 100)
    embeddings = [make(max_iter=3).fit(rows, few, weight) for rows in (X, strange)]
    codes = [embedding.transform(X_TEST) for embedding in embeddings]
    np.testing.assert_array_equal(*codes)
    assert len(embeddings[0].transduction_) == len(X)


@pytest.mark.parametrize(
    "parameters",
    [
        {"primary_loss": "reconstruction", "snnl_weight": 0.1},
        {"primary_loss": "classification"},
        {"metric": "cosine", "temperature": 0.1},
        {"layers": "all", "class_weight": "balanced"},
        {"hidden_layer_sizes": ()},
        {"early_stopping": True, "tol": 1e3, "n_iter_no_change": 2},
    ],
)
def test_it_goes_with_other_parameters(parameters):
    few = few_of(Y, 4)
    embedding = make(max_iter=6, **parameters)
    embedding.fit(X, few)
    assert np.mean(embedding.transduction_ == Y) > 0.6


@pytest.mark.parametrize("snnl_weight", [0, -0.1])
def test_labels_are_not_spread_if_classes_are_not_to_be_separated(snnl_weight):
    embedding = make(
        metric="cosine", primary_loss="reconstruction", snnl_weight=snnl_weight, max_iter=2
    )
    assert not hasattr(embedding.fit(X, few_of(Y, 3)), "transduction_")


class WithMoreUnits(torch.nn.Module):
    def __init__(self, n_features, n_units):
        super().__init__()
        self.code = torch.nn.Linear(n_features, 8)
        self.n_more = n_units - 8

    def forward(self, x):
        return torch.cat([self.code(x), 100 * x[:, : self.n_more]], dim=1)


def test_labels_are_spread_among_the_units_that_the_loss_compares():
    few = few_of(Y, 3)
    settings = {"encoder": WithMoreUnits, "code_units": 8, "max_iter": 5}
    without, with_more = (make(n_components=n, **settings).fit(X, few) for n in (8, 60))
    np.testing.assert_array_equal(with_more.transduction_, without.transduction_)


def test_validation_samples():
    few = few_of(Y, 3)
    embedding = make(max_iter=6).fit(X, few, X_val=X_TEST, y_val=Y_TEST)
    assert len(embedding.validation_loss_curve_) == 6
    assert embedding.transduction_.shape == Y.shape


def test_names_and_missing_values():
    few = few_of(Y, 3)
    names = np.array([f"digit {label}" for label in Y], dtype=object)
    names[few < 0] = None
    embedding = SNNLEmbedding(unlabeled=np.nan, max_iter=3, random_state=0).fit(X, names)
    assert set(embedding.transduction_) <= set(embedding.classes_)


def test_warm_start_and_a_stream_after_it():
    few = few_of(Y, 3)
    embedding = make(max_iter=5, warm_start=True).fit(X, few)
    first = np.mean(embedding.transduction_ == Y)
    embedding.fit(X, few)
    assert np.mean(embedding.transduction_ == Y) > first - 0.1
    embedding.partial_fit(X, Y)
    assert not hasattr(embedding, "transduction_")


@pytest.mark.parametrize("cls", [SNNLEmbedding, TripletEmbedding])
def test_a_stream_leaves_samples_without_a_label_out(cls):
    few = few_of(Y, 20)
    labeled = few >= 0
    streams = [make(cls).partial_fit(X[rows], few[rows]) for rows in (slice(None), labeled)]
    streams[0].partial_fit(X_TEST, np.full(len(X_TEST), -1))  # changes nothing
    codes = [stream.transform(X_TEST) for stream in streams]
    np.testing.assert_array_equal(*codes)
    assert streams[0].n_iter_ == 1
    assert not hasattr(streams[0], "transduction_")


def test_autocast_around_a_fit_changes_no_label():
    few = few_of(Y, 3)
    expected = make(max_iter=2).fit(X, few).transduction_
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = make(max_iter=2).fit(X, few).transduction_
    np.testing.assert_array_equal(found, expected)


def test_a_file_keeps_them(tmp_path):
    embedding = make(max_iter=2).fit(X, few_of(Y, 3))
    sknca.save(embedding, tmp_path / "few")
    again = sknca.load(tmp_path / "few")
    np.testing.assert_array_equal(again.transduction_, embedding.transduction_)
    assert again.spread_labels


def test_grid_search_scored_on_labeled_samples():
    few = few_of(Y, 4)
    labeled, unlabeled = np.flatnonzero(few >= 0), np.flatnonzero(few < 0)
    folds = StratifiedKFold(2).split(labeled, few[labeled])
    cv = [(np.append(labeled[train], unlabeled), labeled[test]) for train, test in folds]
    pipeline = make_pipeline(make(max_iter=10), SelfTrainingClassifier(KNeighborsClassifier(1)))
    search = GridSearchCV(pipeline, {"snnlembedding__scale": [True, False]}, cv=cv)
    search.fit(X, few)
    assert search.best_score_ > 0.6
    assert search.score(X_TEST, Y_TEST) > 0.7
