"""Learning from portions."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

import sknca
from sknca import SNNLEmbedding, TripletEmbedding
from sknca.fitting._stream import KeptRows
from sknca.tables import DenseTable

X, y = load_digits(return_X_y=True)
EMBEDDINGS = [SNNLEmbedding, TripletEmbedding]
PORTIONS = [slice(0, 120), slice(120, 200), slice(200, 350)]


def encoder(n_features, n_components):
    return nn.Sequential(
        nn.Linear(n_features, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, n_components)
    )


def make(cls=SNNLEmbedding, **parameters):
    settings = {"hidden_layer_sizes": (16,), "batch_size": 48, "random_state": 0}
    return cls(**settings | parameters)


def stream(embedding, portions=PORTIONS, y=y, weight=None, **options):
    for portion in portions:
        some = None if weight is None else weight[portion]
        embedding.partial_fit(X[portion], y[portion], some, **options)
    return embedding


def knn_score(embedding, X_train, y_train, X_test, y_test):
    codes, queries = embedding.transform(X_train), embedding.transform(X_test)
    return KNeighborsClassifier().fit(codes, y_train).score(queries, y_test)


KINDS = {
    "default": {},
    "q": {"q": 0.5},
    "learned temperatures": {"temperature_schedule": "learned", "layers": "all"},
    "annealed": {"temperature_schedule": "annealed", "metric": "cosine"},
    "reconstruction": {"primary_loss": "reconstruction"},
    "classification": {"primary_loss": "classification"},
    "custom encoder": {"encoder": encoder, "n_components": 4, "adversarial_radius": 0.5},
    "linear": {"hidden_layer_sizes": ()},
    "class weights": {"class_weight": "balanced"},
    "triplets": {"cls": TripletEmbedding, "mining": "random"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_between_portions_goes_on_alike(kind):
    """By pickle and deepcopy, as all that changes is on the estimator."""
    options = {"classes": np.arange(10)} if kind == "classification" else {}
    one = stream(make(**KINDS[kind]), **options)
    again = make(**KINDS[kind])
    for i, portion in enumerate(PORTIONS):
        again.partial_fit(X[portion], y[portion], **options)
        again = copy.deepcopy(again) if i % 2 else pickle.loads(pickle.dumps(again))
    assert one.history_ == again.history_
    np.testing.assert_array_equal(one.transform(X), again.transform(X))
    assert np.isfinite(one.transform(X)).all()


@pytest.mark.parametrize(("cls", "tolerance"), [(SNNLEmbedding, 0.005), (TripletEmbedding, 0.01)])
def test_many_passes_are_as_good_as_a_fit(cls, tolerance):
    """`examples/benchmarks/streaming.py` does it with more and smaller portions."""
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, train_size=600, stratify=y, random_state=0
    )
    embedding = cls(random_state=0)
    fitted = clone(embedding).fit(X_train, y_train)
    shuffles = np.random.RandomState(0)
    for _ in range(fitted.n_iter_):
        for portion in np.array_split(shuffles.permutation(len(X_train)), 3):
            embedding.partial_fit(X_train[portion], y_train[portion])
    scores = [knn_score(e, X_train, y_train, X_test, y_test) for e in (embedding, fitted)]
    assert scores[0] > scores[1] - tolerance


def test_what_a_portion_leaves():
    embedding = stream(make(cls=SNNLEmbedding))
    assert embedding.n_iter_ == len(embedding.history_) == 3
    assert [record["epoch"] for record in embedding.history_] == [0, 1, 2]
    assert embedding.loss_curve_ == [record["loss"] for record in embedding.history_]
    assert embedding.validation_loss_curve_ is None
    assert embedding.overfits_ is None
    assert embedding.classes_.tolist() == list(range(10))
    assert embedding.n_features_in_ == 64


def test_new_classes_may_come():
    embedding = make()
    for classes in ([1, 2], [7, 1], [0, 2]):
        portion = np.isin(y, classes)
        embedding.partial_fit(X[portion], y[portion])
    assert embedding.classes_.tolist() == [0, 1, 2, 7]
    embedding.partial_fit(X[:50], y[:50], classes=[20])
    assert embedding.classes_.tolist() == [*range(10), 20]


def test_a_classification_wants_all_classes_first():
    embedding = make(primary_loss="classification")
    with pytest.raises(ValueError, match="classes must be passed on the first call to partial_fit"):
        embedding.partial_fit(X[:50], y[:50])
    assert not hasattr(embedding, "classes_")
    embedding.partial_fit(X[:50], y[:50], classes=np.arange(10))
    embedding.partial_fit(X[:50], y[:50], classes=np.arange(10))
    embedding.partial_fit(X[:50], y[:50])
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit, was"):
        embedding.partial_fit(X[:50], y[:50], classes=np.arange(9))
    with pytest.raises(ValueError, match=r"The target label\(s\) \[11\] in y do not exist in the"):
        embedding.partial_fit(X[:50], np.where(y[:50] == 3, 11, y[:50]))
    assert embedding.n_iter_ == 3


def test_after_fit_and_before_it():
    embedding = make(max_iter=3).fit(X[:200], y[:200])
    expected, center = embedding.transform(X), embedding._center
    embedding.partial_fit(X[200:300] + 1, y[200:300])
    assert embedding.n_iter_ == 4
    np.testing.assert_array_equal(embedding._center, center)
    assert not np.allclose(embedding.transform(X), expected)
    np.testing.assert_array_equal(embedding.fit(X[:200], y[:200]).transform(X), expected)
    assert embedding.n_iter_ == 3
    assert not hasattr(embedding, "_stream")


def test_center_and_spread_follow_the_stream():
    """As of features that are constant in the first portion."""
    rows = X[:400].copy()
    rows[:100, :32] = 5.0
    embedding = make()
    for start in range(0, 400, 100):
        embedding.partial_fit(rows[start : start + 100], y[start : start + 100])
    np.testing.assert_array_equal(embedding._center, np.quantile(rows, 0.5, 0, method="lower"))
    varies = rows.std(0) > 0
    np.testing.assert_array_equal(embedding.network_.scale.numpy() > 0, varies)


def test_kept_rows_are_a_random_sample(monkeypatch):
    from sknca.fitting import _stream

    monkeypatch.setattr(_stream, "ROWS_TO_START_FROM", 20)
    counts = np.zeros(100)
    for seed in range(400):
        kept = KeptRows(DenseTable(np.empty((0, 1))), 0)
        for start in range(0, 100, 10):
            portion = DenseTable(np.arange(start, start + 10.0)[:, None])
            kept = kept.with_more(portion, seed)
        assert kept.n_seen == 100
        assert len(set(kept.rows[:, 0])) == 20
        counts[kept.rows[:, 0].astype(int)] += 1
    assert abs(counts - 80).max() < 5 * 8  # standard deviation of a binomial
    assert abs(counts.reshape(10, 10).mean(1) - 80).max() < 12


def test_a_portion_may_lack_pairs():
    embedding = make().partial_fit(X[:100], y[:100])
    expected = embedding.transform(X)
    embedding.partial_fit(X[:1], y[:1])
    np.testing.assert_array_equal(embedding.transform(X), expected)
    embedding.partial_fit(X[y == 3][:20], y[y == 3][:20])
    assert embedding.n_iter_ == 2
    with pytest.raises(ValueError, match="needs two samples to learn from; got 1 of 50"):
        make(unlabeled=-1).partial_fit(X[:50], np.where(np.arange(50), -1, y[:50]))
    assert np.isfinite(embedding.transform(X)).all()


def test_samples_without_a_label():
    few = np.where(np.arange(len(y)) % 2, y, -1)
    embedding = stream(make(unlabeled=-1), y=few)
    assert embedding.classes_.tolist() == list(range(10))
    embedding = stream(make(unlabeled=-1, primary_loss="reconstruction"), y=few)
    assert "reconstruction" in embedding.history_[0]
    none = np.full(100, -1)
    n_iter = embedding.partial_fit(X[:100], none).n_iter_
    assert n_iter == 4
    stream(make(snnl_weight=0, primary_loss="reconstruction"), y=few)


def test_weights():
    weight = np.linspace(0, 1, len(y))
    codes = stream(make(), weight=weight).transform(X)
    np.testing.assert_array_equal(stream(make(), weight=4 * weight).transform(X), codes)
    assert not np.allclose(stream(make()).transform(X), codes)


@pytest.mark.parametrize("cls", EMBEDDINGS)
def test_an_error_leaves_all_as_it_was(cls):
    embedding = stream(make(cls))
    before = vars(embedding).copy()
    bad = X[:60].copy()
    bad[3, 5] = np.nan
    for rows, labels in ((bad, y[:60]), (X[:60, :5], y[:60]), (X[:60], y[:50])):
        with pytest.raises(ValueError):
            embedding.partial_fit(rows, labels)
    assert vars(embedding).keys() == before.keys()
    assert all(vars(embedding)[name] is value for name, value in before.items())


def test_a_divergence_is_an_error():
    embedding = make(learning_rate_init=1e9, hidden_layer_sizes=())
    with pytest.raises(ValueError, match="the training diverged.*learning_rate_init"):
        stream(embedding, PORTIONS * 30)


def test_nothing_is_held_out():
    codes = [stream(make(early_stopping=stop)).transform(X) for stop in (True, False)]
    np.testing.assert_array_equal(*codes)


def test_other_encoders_are_refused():
    embedding = stream(make(), PORTIONS[:1]).set_params(dropout=0.5)
    with pytest.raises(ValueError, match=r"partial_fit continues .* dropout=0\.2, .* Call fit to"):
        stream(embedding)


def test_other_parameters_are_refused():
    embedding = stream(make())
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        embedding.set_params(hidden_layer_sizes=(8,)).partial_fit(X[:50], y[:50])


CHANGES = {
    "other tensors": ({"primary_loss": "reconstruction"}, {"primary_loss": "classification"}),
    "fewer tensors": ({"temperature_schedule": "learned"}, {"temperature_schedule": "constant"}),
    "more tensors": ({}, {"primary_loss": "classification", "temperature_schedule": "learned"}),
    "more layers": ({"temperature_schedule": "learned"}, {"layers": "all"}),
    "code of others": ({}, {"decoder": nn.Linear(64, 64)}),
    "own code": ({"decoder": nn.Linear(64, 64)}, {"decoder": None}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_parameters_may_change_that_are_not_of_the_encoder(change):
    before, after = CHANGES[change]
    classes = np.arange(10)
    first = stream(make(**before), PORTIONS[:1], classes=classes)
    embedding = stream(first.set_params(**after), PORTIONS[1:], classes=classes)
    again = copy.deepcopy(embedding)
    assert np.isfinite(embedding.transform(X[:9])).all()
    assert np.isfinite(stream(again, PORTIONS[:1], classes=classes).transform(X[:9])).all()
    assert len(again.history_) == 4


def test_torch_is_left_as_it_was():
    before = torch.random.get_rng_state()
    stream(make())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_after_a_file_it_goes_on(tmp_path):
    embedding = stream(make())
    sknca.save(embedding, tmp_path / "stream.safetensors")
    again = sknca.load(tmp_path / "stream.safetensors")
    again.partial_fit(X[:100], y[:100])
    assert again.n_iter_ == 4
    assert knn_score(again, X[:800], y[:800], X[800:], y[800:]) > 0.8
