"""export_onnx: the graph computes what transform does."""

import logging
import sys
import warnings

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn
from versions import needs_exporter

from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding, export_onnx
from sknca._torch_compat import QUIET_LOGGER_OF_EXPORT

pytestmark = needs_exporter


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
    level = logging.getLogger(QUIET_LOGGER_OF_EXPORT).level
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
    assert logging.getLogger(QUIET_LOGGER_OF_EXPORT).level == level
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
    with pytest.raises(ValueError, match="must be an SNNLEmbedding, a Tr.*, got SoftNeigh"):
        export_onnx(SoftNeighborsClassifier().fit(*rows), path)
    with pytest.raises(ValueError, match="or a pipeline with one of them, got Pipeline"):
        export_onnx(make_pipeline(StandardScaler(), KNeighborsClassifier()), path)
    with pytest.raises(ValueError, match="or a pipeline with one of them, got Pipeline"):
        export_onnx(make_pipeline(small, small), path)
    with pytest.raises(ValueError, match="input_dtype must be 'float32' or 'float64', got 'f4'"):
        export_onnx(small, path, input_dtype="f4")
    with pytest.raises(NotFittedError):
        export_onnx(SNNLEmbedding(), path)

    monkeypatch.setitem(sys.modules, "onnxscript", None)  # as if it were not installed
    with pytest.raises(ImportError, match="needs onnxscript. The extra 'onnx' of sknca"):
        export_onnx(small, path)
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match="needs onnxscript and skl2onnx. The extra"):
        export_onnx(make_pipeline(StandardScaler(), SNNLEmbedding(max_iter=1)).fit(*rows), path)


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
    with pytest.raises(ValueError, match="Shifted cannot be exported: it overrides transform"):
        export_onnx(Shifted(max_iter=1).fit(X, y), path)


PIPELINES = {
    "scaler": [StandardScaler()],
    "imputer": [SimpleImputer(), StandardScaler()],
    "none": [],
}
CLASSIFIERS = {
    "kNN": [KNeighborsClassifier(3)],
    "scaler and kNN": [StandardScaler(), KNeighborsClassifier(3)],
    "soft neighbors": [SoftNeighborsClassifier()],
    "scaler and soft neighbors": [StandardScaler(), SoftNeighborsClassifier()],
    "cosine": [SoftNeighborsClassifier(metric="cosine", temperature=0.1)],
    "euclidean": [SoftNeighborsClassifier(metric="euclidean")],
}


@pytest.mark.parametrize(
    ("before", "after", "labels"),
    [
        (before, after, (int, str)[(i + j) % 2])
        for i, before in enumerate(PIPELINES)
        for j, after in enumerate(CLASSIFIERS)
    ],
)
def test_a_pipeline_is_one_graph(before, after, labels, rows, path):
    X, y = rows
    X, y = X.astype(np.float32), y.astype(labels)
    embedding = SNNLEmbedding(2, max_iter=3, random_state=0)
    pipeline = make_pipeline(*PIPELINES[before], embedding, *CLASSIFIERS[after]).fit(X, y)
    export_onnx(pipeline, path)
    session = onnxruntime.InferenceSession(path)
    assert [value.name for value in session.get_inputs()] == ["X"]
    assert [value.name for value in session.get_outputs()] == ["label", "probabilities"]
    for n in (1, len(X)):
        label, probabilities = session.run(None, {"X": X[:n]})
        np.testing.assert_array_equal(label, pipeline.predict(X[:n]))
        np.testing.assert_allclose(probabilities, pipeline.predict_proba(X[:n]), atol=1e-5)


@pytest.mark.parametrize("input_dtype", ["float32", "float64"])
def test_a_pipeline_that_ends_with_the_embedding(input_dtype, rows, path):
    X, y = rows
    X = X.astype(input_dtype)
    pipeline = make_pipeline(StandardScaler(), TripletEmbedding(2, max_iter=2)).fit(X, y)
    export_onnx(pipeline, path, input_dtype=input_dtype)
    (codes,) = onnxruntime.InferenceSession(path).run(["codes"], {"X": X})
    np.testing.assert_allclose(codes, pipeline.transform(X), rtol=0, atol=1e-5)


def test_a_pipeline_of_a_table(rows, path):
    X, y = rows
    table = pd.DataFrame(X.astype(np.float32), columns=[f"f{i}" for i in range(X.shape[1])])
    table["color"] = np.array(["red", "green"])[np.arange(len(X)) % 2]
    table["count"] = np.arange(len(X)) % 4
    numbers = [name for name in table if name.startswith("f")]
    columns = make_column_transformer(
        (OneHotEncoder(), ["color"]),
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (StandardScaler(), ["count"]),
    )
    embedding = SNNLEmbedding(2, max_iter=2, random_state=0)
    pipeline = make_pipeline(columns, embedding, SoftNeighborsClassifier()).fit(table, y)
    export_onnx(pipeline, path, X=table[:1])
    session = onnxruntime.InferenceSession(path)
    assert [value.name for value in session.get_inputs()] == list(table)
    feed = {name: table[[name]].to_numpy() for name in table}
    label, probabilities = session.run(None, feed | {"color": feed["color"].astype(object)})
    np.testing.assert_array_equal(label, pipeline.predict(table))
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(table), atol=1e-5)


def test_steps_that_cannot_be_exported(rows, path):
    X, y = rows
    with pytest.raises(ValueError, match="The step 'shift', Shift, cannot be exported: Unable"):
        export_onnx(make_pipeline(Shift(), SNNLEmbedding(max_iter=1)).fit(X, y), path)
    assert not path.exists()


class Shift(TransformerMixin, BaseEstimator):
    """A step that skl2onnx does not know."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X + 1
