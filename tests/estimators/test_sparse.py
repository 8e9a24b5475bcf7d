"""Sparse matrices are learned from as they are: no array of all their entries is made."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from torch import nn

import sknca
from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from sknca._sparse_rows import SparseRows
from sknca.networks import SkipMLP
from sknca.tables import SparseTable, spread_of_entries

DIGITS, LABELS = load_digits(return_X_y=True)
X, y = DIGITS[:400] * (DIGITS[:400] > 4), LABELS[:400]
S = sparse.csr_array(X)
FORMATS = {
    f"{kind.__name__}": kind
    for kind in (
        *(sparse.csr_array, sparse.csc_array, sparse.coo_array),
        *(sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix, sparse.lil_matrix),
    )
}
FITS = {
    "defaults": (SNNLEmbedding, {}),
    "cosine": (SNNLEmbedding, {"metric": "cosine", "temperature": 0.1}),
    "euclidean": (SNNLEmbedding, {"metric": "euclidean"}),
    "linear": (SNNLEmbedding, {"hidden_layer_sizes": ()}),
    "one scale": (SNNLEmbedding, {"scale": False}),
    "early stopping": (SNNLEmbedding, {"early_stopping": True}),
    "all layers": (SNNLEmbedding, {"layers": "all"}),
    "unlabeled": (SNNLEmbedding, {"unlabeled": 3, "spread_labels": True}),
    "triplets": (TripletEmbedding, {}),
    "triplets, cosine": (TripletEmbedding, {"metric": "cosine"}),
}
pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations")


def make(cls=SNNLEmbedding, **parameters):
    defaults = {"hidden_layer_sizes": (16,), "max_iter": 3, "random_state": 0, "device": "cpu"}
    return cls(**defaults | parameters)


@pytest.fixture
def never_dense(monkeypatch):
    """No sparse rows are given all their entries."""

    def refuse(*_):
        raise AssertionError("sparse rows became dense")

    monkeypatch.setattr(SparseTable, "__getitem__", refuse)
    monkeypatch.setattr(SparseRows, "to_dense", refuse)


@pytest.mark.parametrize("name", FITS)
def test_dense_samples_have_the_same_codes(name, never_dense):
    cls, parameters = FITS[name]
    embedding = make(cls, **parameters).fit(S, y)
    codes = embedding.transform(S)
    assert codes.dtype == np.float64
    assert np.isfinite(codes).all()
    scale = abs(codes).max()
    np.testing.assert_allclose(embedding.transform(X), codes, atol=1e-5 * scale)


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("cls", [SNNLEmbedding, TripletEmbedding])
@pytest.mark.parametrize("n_filled", [0, 20])
def test_batches_without_an_entry(cls, metric, n_filled):
    """Some batches, or all, have only empty rows, and adversarial steps."""
    rows = np.where(np.arange(400)[:, None] < n_filled, X, 0)
    matrix = sparse.csr_array(rows)
    how = {"adversarial_radius": 0.5, "adversarial_fraction": 1.0, "batch_size": 32}
    for max_iter in (1, 9):  # with adversarial steps from the first epoch, or the second
        embedding = make(cls, metric=metric, max_iter=max_iter, **how).fit(matrix, y)
        codes = embedding.transform(matrix)
        assert np.isfinite(codes).all()
        np.testing.assert_allclose(embedding.transform(rows), codes, atol=1e-5 * abs(codes).max())


@pytest.mark.parametrize("cls", [SNNLEmbedding, TripletEmbedding])
def test_portions_without_an_entry(cls):
    embedding = make(cls, adversarial_radius=0.5, adversarial_fraction=1.0, batch_size=8)
    for _ in range(3):  # until the learning rate is that of adversarial steps
        embedding.partial_fit(S, y)
    before = embedding.transform(S)
    embedding.partial_fit(sparse.csr_array((16, 64)), y[:16])
    assert np.isfinite(embedding.transform(S)).all()
    assert embedding.n_iter_ == 4
    assert before.shape == (400, 32)


@pytest.mark.cuda
@pytest.mark.parametrize("cls", [SNNLEmbedding, TripletEmbedding])
def test_a_gpu_gives_the_same_bits_again(cls):
    first, second = (make(cls, device="cuda").fit(S, y).transform(S) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", FORMATS)
def test_formats_mean_the_same(name):
    expected = make().fit(S, y).transform(S)
    matrix = FORMATS[name](X)
    np.testing.assert_array_equal(make().fit(matrix, y).transform(matrix), expected)


@pytest.mark.parametrize("cls", [SNNLEmbedding, TripletEmbedding])
def test_accuracy_is_that_of_dense_samples(cls):
    accuracies = {}
    for kind, samples in (("sparse", sparse.csr_array(DIGITS)), ("dense", DIGITS)):
        embedding = make(cls, max_iter=15, hidden_layer_sizes=(64,)).fit(
            samples[:600], LABELS[:600]
        )
        knn = KNeighborsClassifier().fit(embedding.transform(samples[:600]), LABELS[:600])
        accuracies[kind] = knn.score(embedding.transform(samples[600:]), LABELS[600:])
    assert accuracies["sparse"] >= max(0.9, accuracies["dense"] - 0.02)


def test_a_batch_has_the_loss_and_the_gradient_of_the_same_rows_dense():
    network = SkipMLP(64, 4, hidden_layer_sizes=(16,), activation="relu", dropout=0.0, sparse=True)
    rows = SparseTable(S).gather(slice(0, 50))
    spread = torch.from_numpy(spread_of_entries(SparseTable(S).matrix, np.arange(50), None)).float()
    network.start_from(rows, spread)
    labels = torch.from_numpy(y[:50])
    gradients = []
    for x in (rows, rows.to_dense()):
        network.zero_grad(set_to_none=True)
        loss = sknca.functional.soft_nearest_neighbor_loss(network(x), labels)
        loss.backward()
        gradients.append([loss.detach(), *(p.grad for p in network.parameters())])
    is_sparse = [g.is_sparse for g in gradients[0]]
    assert sum(is_sparse) == 2  # of the first layer and of the skip connection
    for ours, expected in zip(*gradients, strict=True):
        ours = ours.to_dense() if ours.is_sparse else ours
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)


def test_products_and_their_gradients():
    generator = torch.Generator().manual_seed(0)
    starts = torch.tensor([0, 2, 2, 5, 5])  # with empty rows
    columns = torch.tensor([1, 4, 0, 1, 4])
    values = torch.randn(5, generator=generator, dtype=torch.float64).requires_grad_()
    matrix = torch.randn(6, 3, generator=generator, dtype=torch.float64).requires_grad_()

    def product(values, matrix):
        return SparseRows(values, columns, starts, 6).times(matrix)

    rows = SparseRows(values, columns, starts, 6)
    torch.testing.assert_close(product(values, matrix), rows.to_dense() @ matrix)
    upstream = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    ours = torch.autograd.grad(product(values, matrix), (values, matrix), upstream)
    theirs = torch.autograd.grad(rows.to_dense() @ matrix, (values, matrix), upstream)
    torch.testing.assert_close(ours[0], theirs[0])
    torch.testing.assert_close(ours[1].to_dense(), theirs[1])
    assert ours[1].coalesce().indices()[0].tolist() == [0, 1, 4]


def test_rows_without_an_entry():
    none = SparseRows(torch.zeros(0), torch.zeros(0, dtype=torch.long), torch.zeros(3).long(), 4)
    matrix = torch.ones(4, 2, requires_grad=True)
    product = none.times(matrix)
    product.sum().backward()
    assert torch.equal(product, torch.zeros(2, 2))
    assert not matrix.grad.to_dense().any()


def test_the_spread_is_half_the_median_entry():
    matrix = sparse.csr_array([[2.0, 0, -1, 0], [-4, 0, 0, 0], [6, 0, 3, 0], [0, 8, 0, 0]])
    found = spread_of_entries(SparseTable(matrix).matrix, np.arange(4), None)
    np.testing.assert_allclose(found, [2, 4, 1.5, 0])


def test_features_that_are_rare_among_many_samples(monkeypatch):
    monkeypatch.setattr("sknca.tables._features.ROWS_TO_START_FROM", 4)
    matrix = sparse.lil_array((100, 3))
    matrix[:, 0], matrix[17, 1] = 2.0, 50.0
    array = SparseTable(matrix.tocsr()).matrix
    found = spread_of_entries(array, np.arange(100), torch.Generator().manual_seed(0))
    np.testing.assert_allclose(found, [1, 1, 0])  # the median of the others; no entry at all


def test_the_matrix_stays_as_it_is():
    matrix = sparse.csr_array(
        (np.array([1.0, 2, 0, 3]), np.array([2, 2, 0, 1]), np.array([0, 3, 4, 4, 4])), shape=(4, 3)
    )
    before = pickle.dumps(matrix)
    make(max_iter=1).fit(matrix, [0, 0, 1, 1]).transform(matrix)
    assert pickle.dumps(matrix) == before


def unsorted(matrix):
    matrix = matrix.copy()
    for row in range(matrix.shape[0]):
        some = slice(matrix.indptr[row], matrix.indptr[row + 1])
        for array in (matrix.indices, matrix.data):
            array[some] = array[some][::-1].copy()
    matrix.has_sorted_indices = False
    return matrix


def with_duplicates(matrix):
    rows, columns = matrix.nonzero()
    rows, columns = np.tile(rows, 2), np.tile(columns, 2)
    return sparse.coo_array((np.tile(matrix.data / 2, 2), (rows, columns)), shape=matrix.shape)


def with_stored_zeros(matrix):
    full = sparse.csr_array(np.ones(matrix.shape))
    full.data = matrix.toarray().ravel()
    return full


def with_long_indices(matrix):
    matrix = matrix.copy()
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
    return matrix


@pytest.mark.parametrize(
    "change", [unsorted, with_duplicates, with_stored_zeros, with_long_indices]
)
def test_entries_may_be_stored_otherwise(change):
    expected = make().fit(S, y).transform(S)
    changed = change(S)
    np.testing.assert_array_equal(make().fit(changed, y).transform(changed), expected)


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize(
    ("value", "match"),
    [(np.nan, "Input X contains NaN"), (np.inf, "infinity"), (1e300, "too large for dtype")],
)
def test_entries_that_are_not_finite(value, match, fitted):
    matrix = S.copy()
    matrix.data[7] = value
    embedding = make(max_iter=1)
    if fitted:
        embedding.fit(S, y)
    with pytest.raises(ValueError, match=match):
        embedding.transform(matrix) if fitted else embedding.fit(matrix, y)
    assert hasattr(embedding, "network_") == fitted


def with_index(kind, index):
    matrix = kind(X)
    if kind is sparse.coo_array:
        matrix.coords = (matrix.coords[0], matrix.coords[1].copy())
        matrix.coords[1][3] = index
    else:
        matrix.indices[3] = index
    return matrix


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_array, sparse.coo_array])
@pytest.mark.parametrize("index", [-1, 1000])
def test_indices_outside_of_the_shape(kind, index):
    matrix = with_index(kind, index)
    with pytest.raises(ValueError, match="X is not a valid sparse matrix"):
        make().fit(matrix, y)
    with pytest.raises(ValueError, match="X is not a valid sparse matrix"):
        make(max_iter=1).fit(S, y).transform(matrix)
    with pytest.raises(ValueError, match="X_val is not a valid sparse matrix"):
        make().fit(S, y, X_val=matrix, y_val=y)


def test_validation_samples(never_dense):
    embedding = make(early_stopping=False).fit(S[:300], y[:300], X_val=S[300:], y_val=y[300:])
    assert len(embedding.validation_loss_curve_) == 3


def test_reconstruction():
    embedding = make(primary_loss="reconstruction").fit(S, y)
    assert embedding.inverse_transform(embedding.transform(S)).shape == X.shape


def test_portions_of_both_kinds(never_dense):
    embedding = make()
    for start in range(0, 400, 100):
        embedding.partial_fit(S[start : start + 100], y[start : start + 100])
    embedding.partial_fit(X[:100], y[:100])
    codes = embedding.transform(S)
    np.testing.assert_allclose(embedding.transform(X), codes, atol=1e-5 * abs(codes).max())


def test_sparse_portions_of_a_dense_stream():
    embedding = make().partial_fit(X[:200], y[:200]).partial_fit(S[200:], y[200:])
    expected = make().partial_fit(X[:200], y[:200]).partial_fit(X[200:], y[200:])
    np.testing.assert_allclose(embedding.transform(S), expected.transform(X), rtol=1e-5, atol=1e-5)


def test_sparse_samples_for_an_embedding_of_dense_ones(monkeypatch):
    monkeypatch.setattr("sknca.estimators._outputs._ENTRIES_AT_HAND", 64 * 7)
    embedding = make().fit(X, y)
    np.testing.assert_allclose(embedding.transform(S), embedding.transform(X), rtol=1e-6)


def test_warm_start(never_dense):
    embedding = make(warm_start=True).fit(S, y)
    first = embedding.loss_curve_[0]
    assert embedding.fit(S, y).loss_curve_[0] < first


def test_a_custom_encoder_reads_dense_batches():
    seen = []

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 3)

        def forward(self, x):
            seen.append((type(x), len(x)))
            return self.linear(x)

    parameters = {"encoder": Encoder(), "batch_size": 50, "early_stopping": False}
    codes = make(**parameters).fit(S, y).transform(S)
    assert {kind for kind, _ in seen} == {torch.Tensor}
    expected = make(**parameters).fit(X, y).transform(X)
    np.testing.assert_allclose(codes, expected, rtol=1e-4, atol=1e-5)


def test_goes_on_from_a_checkpoint(tmp_path):
    path = tmp_path / "fit.checkpoint"
    expected = make(max_iter=6).fit(S, y).transform(S)
    make(max_iter=6).fit(S, y, checkpoint=path, checkpoint_every=6)

    path.unlink()
    embedding = make(max_iter=6)
    errors = iter([None, None, RuntimeError("full")])

    def fail(*_, **__):
        if error := next(errors):
            raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sknca.fitting._training.Training._begin_epoch_of_callbacks", fail)
        with pytest.raises(RuntimeError, match="full"):
            embedding.fit(S, y, checkpoint=path)
    np.testing.assert_array_equal(embedding.fit(S, y, checkpoint=path).transform(S), expected)
    changed = S.copy()
    changed.data[0] += 1
    with pytest.raises(ValueError, match="the checksum of X was"):
        make(max_iter=6).fit(changed, y, checkpoint=path)


@pytest.mark.parametrize("name", ["defaults", "cosine", "linear", "triplets"])
def test_saved_and_pickled(name, tmp_path):
    cls, parameters = FITS[name]
    embedding = make(cls, **parameters).fit(S, y)
    sknca.save(embedding, tmp_path / "embedding.sknca")
    expected = embedding.transform(S)
    for again in (sknca.load(tmp_path / "embedding.sknca"), pickle.loads(pickle.dumps(embedding))):
        np.testing.assert_array_equal(again.transform(S), expected)


def test_layer_entanglement():
    embedding = make().fit(S, y)
    ours, dense = embedding.layer_entanglement(S, y), embedding.layer_entanglement(X, y)
    assert ours.keys() == dense.keys()
    np.testing.assert_allclose([*ours.values()], [*dense.values()], rtol=1e-4)


def test_a_grid_search_over_a_pipeline():
    pipeline = make_pipeline(make(max_iter=2), KNeighborsClassifier())
    grid = {"snnlembedding__temperature": [0.1, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(S, y)
    assert search.score(S, y) > 0.8


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cosine"])
@pytest.mark.parametrize("n_entries", [2**23, 64 * 7])
def test_soft_neighbors(metric, n_entries, monkeypatch):
    monkeypatch.setattr("sknca.estimators._sparse_neighbors._ENTRIES_AT_HAND", n_entries)
    temperature = {"sqeuclidean": 100.0, "euclidean": 5.0, "cosine": 0.1}[metric]
    weight = np.linspace(0.5, 2, 300)
    labels = np.where(y == 3, 8, y)  # classes of several sizes
    fitted = [
        SoftNeighborsClassifier(metric=metric, temperature=temperature).fit(
            samples[:300], labels[:300], weight
        )
        for samples in (X, S)
    ]
    expected = fitted[0].predict_log_proba(X[300:])
    for classifier, samples in ((fitted[1], S), (fitted[1], X), (fitted[0], S)):
        found = classifier.predict_log_proba(samples[300:])
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert fitted[1].score(S[300:], labels[300:]) > 0.85


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cosine"])
def test_soft_neighbors_answer_the_same_again(metric):
    samples, labels = S[:300], np.arange(300) % 10  # classes of one size, which stay where they are
    classifier = SoftNeighborsClassifier(metric=metric).fit(samples, labels)
    first, second = (classifier.predict_log_proba(samples) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_soft_neighbors_that_cannot_be_used():
    matrix = with_index(sparse.csr_array, 1000)
    with pytest.raises(ValueError, match="X is not a valid sparse matrix"):
        SoftNeighborsClassifier().fit(matrix, y)
    classifier = SoftNeighborsClassifier().fit(S, y)
    with pytest.raises(ValueError, match="X is not a valid sparse matrix"):
        classifier.predict(matrix)
    with pytest.raises(ValueError, match="sparse samples"):
        sknca.save(classifier, "never")
