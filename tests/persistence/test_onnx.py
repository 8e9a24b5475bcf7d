"""export_onnx: the graph computes what transform does."""

import builtins
import logging
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding, export_onnx
from sknca.persistence import _onnx


@pytest.fixture
def path(tmp_path):
    return tmp_path / "embedding.onnx"


def assert_equal_codes(path, embedding, X):
    session = onnxruntime.InferenceSession(path)
    ((entry,), (exit_,)) = session.get_inputs(), session.get_outputs()
    assert (entry.name, entry.shape) == ("X", ["n_samples", X.shape[1]])
    assert (exit_.name, exit_.type) == ("codes", "tensor(float)")
    for n in (1, 2, len(X)):
        (codes,) = session.run(["codes"], {"X": X[:n]})
        assert codes.dtype == np.float32
        np.testing.assert_allclose(codes, embedding.transform(X[:n]), rtol=0, atol=1e-5)


def convolutional(n_features, n_components):
    return nn.Sequential(
        nn.Unflatten(1, (1, n_features)),
        nn.Conv1d(1, 4, 3),
        nn.BatchNorm1d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * (n_features - 2), n_components),
    )


EMBEDDINGS = {
    "default": SNNLEmbedding(max_iter=3),
    "unit-length": TripletEmbedding(2, metric="cosine", activation="gelu", max_iter=3),
    "convolutional": SNNLEmbedding(2, encoder=convolutional, max_iter=3),
}


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_equal_to_transform(name, rows, path, caplog, capfd):
    X, y = rows
    if name == "convolutional":
        X = StandardScaler().fit_transform(X)
    embedding = EMBEDDINGS[name].set_params(random_state=0).fit(X, y)
    with caplog.at_level(logging.WARNING):
        export_onnx(embedding, path)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")  # it has nothing to say
    assert_equal_codes(path, embedding, X.astype(np.float32))


def test_float64_keeps_digits_and_global_state_is_left_alone(rows, path):
    X, y = rows
    X = X + 1e9
    embedding = SNNLEmbedding(2, hidden_layer_sizes=(), max_iter=3, random_state=0).fit(X, y)
    expected = embedding.transform(X)
    rng = torch.get_rng_state()
    filters = warnings.filters.copy()
    level = logging.getLogger(_onnx._CHATTY).level
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        export_onnx(embedding, path, input_dtype="float64")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert torch.equal(torch.get_rng_state(), rng)
    assert warnings.filters == filters
    assert logging.getLogger(_onnx._CHATTY).level == level
    np.testing.assert_array_equal(embedding.transform(X), expected)
    assert_equal_codes(path, embedding, X)


class Fickle(nn.Module):
    """Takes the one way or the other, after the data."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 2)

    def forward(self, x):
        return self.linear(x) if x.sum() > 0 else -self.linear(x)


def test_an_encoder_that_torch_cannot_export(rows, path):
    embedding = SNNLEmbedding(encoder=Fickle(), max_iter=1).fit(*rows)
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match="encoder cannot be exported to ONNX: "):
        export_onnx(embedding, path)
    assert path.read_bytes() == b"before"


def test_what_is_refused(small, rows, path, monkeypatch):
    with pytest.raises(ValueError, match="must be an SNNLEmbedding or a TripletEmbedding, got"):
        export_onnx(SoftNeighborsClassifier().fit(*rows), path)
    pipeline = make_pipeline(StandardScaler(), small, KNeighborsClassifier())
    with pytest.raises(ValueError, match=r"pipeline\['snnlembedding'\] can be exported; joblib"):
        export_onnx(pipeline, path)
    with pytest.raises(ValueError, match="input_dtype must be 'float32' or 'float64', got 'f4'"):
        export_onnx(small, path, input_dtype="f4")
    with pytest.raises(NotFittedError):
        export_onnx(SNNLEmbedding(), path)

    def without_onnxscript(name, *args, **kwargs):
        if name == "onnxscript":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    original = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without_onnxscript)
    with pytest.raises(ImportError, match="the extra 'onnx' of sknca"):
        export_onnx(small, path)


@pytest.mark.cuda
def test_from_cuda(rows, path):
    X, y = rows
    embedding = SNNLEmbedding(2, max_iter=2, device="cuda", random_state=0).fit(X, y)
    export_onnx(embedding, path)
    assert next(embedding.network_.parameters()).is_cuda
    embedding.network_.cpu()
    embedding.device_ = torch.device("cpu")
    assert_equal_codes(path, embedding, X.astype(np.float32))


class Derived(SNNLEmbedding):
    pass


class Shifted(SNNLEmbedding):
    def transform(self, X):
        return super().transform(X) + 1


def test_a_subclass(rows, path):
    X, y = rows
    embedding = Derived(2, max_iter=1, random_state=0).fit(X, y)
    export_onnx(embedding, path)
    assert_equal_codes(path, embedding, X.astype(np.float32))
    with pytest.raises(ValueError, match="Shifted cannot be exported: its transform is its own"):
        export_onnx(Shifted(max_iter=1).fit(X, y), path)
