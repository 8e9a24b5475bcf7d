"""pickle, joblib, copies, clones and the cache of a pipeline."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from torch import nn

from sknca import SNNLEmbedding, TripletEmbedding


@pytest.fixture(params=[SNNLEmbedding, TripletEmbedding])
def fitted(request, iris):
    return request.param(max_iter=3, random_state=0, device="cpu").fit(*iris)


def test_a_shallow_copy_moves_nothing(iris, monkeypatch):
    decoder = nn.Linear(2, 4)
    embedding = SNNLEmbedding(
        2, primary_loss="reconstruction", decoder=decoder, max_iter=1, random_state=0
    ).fit(*iris)
    monkeypatch.setattr(nn.Module, "to", lambda *_: pytest.fail("a module was moved"))
    assert copy.copy(embedding).network_ is embedding.network_


def by_joblib(estimator, folder):
    joblib.dump(estimator, folder / "model.joblib")
    return joblib.load(folder / "model.joblib")


def by_joblib_mapped(estimator, folder):
    joblib.dump(estimator, folder / "model.joblib")
    return joblib.load(folder / "model.joblib", mmap_mode="r")


WAYS = {
    "pickle": lambda estimator, folder: pickle.loads(pickle.dumps(estimator)),
    "joblib": by_joblib,
    "joblib, memory-mapped": by_joblib_mapped,
    "deepcopy": lambda estimator, folder: copy.deepcopy(estimator),
}


@pytest.mark.parametrize("way", WAYS)
def test_round_trip(fitted, iris, way, tmp_path):
    X, _ = iris
    again = WAYS[way](fitted, tmp_path)
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    assert again.history_ == fitted.history_
    assert again.network_ is not fitted.network_


def test_unfitted_round_trip():
    assert pickle.loads(pickle.dumps(SNNLEmbedding(7))).n_components == 7


def test_clone_forgets_the_fit_and_keeps_the_encoder(iris):
    module = nn.Linear(4, 2)
    cloned = clone(SNNLEmbedding(encoder=module, max_iter=2).fit(*iris))
    assert not hasattr(cloned, "network_")
    assert torch.equal(cloned.encoder.weight, module.weight)


def test_pipeline_cache(iris, tmp_path):
    X, y = iris
    steps = [("emb", SNNLEmbedding(max_iter=3, random_state=0)), ("knn", KNeighborsClassifier())]
    plain = Pipeline(steps).fit(X, y).predict(X)
    for _ in range(2):  # the second from the cache
        cached = Pipeline(clone(steps, safe=False), memory=str(tmp_path)).fit(X, y)
        np.testing.assert_array_equal(cached.predict(X), plain)


def test_a_pickle_holds_no_training_data():
    rng = np.random.RandomState(0)
    sizes = []
    for n in (100, 10_000):
        embedding = SNNLEmbedding(2, hidden_layer_sizes=(8,), max_iter=1, early_stopping=True)
        with pytest.warns(UserWarning, match="max_iter"):
            embedding.fit(rng.randn(n, 10), np.arange(n) % 2)
        sizes.append(len(pickle.dumps(embedding)))
    assert sizes[1] < sizes[0] + 100


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without CUDA")
def test_a_model_from_cuda_opens_without_cuda(fitted, iris):
    X, _ = iris
    expected = fitted.transform(X)
    fitted.device_ = torch.device("cuda:0")  # the pickle of a fit on CUDA: weights on the CPU
    written = pickle.dumps(fitted)
    with pytest.warns(UserWarning, match="fitted on device 'cuda:0', which is not available"):
        opened = pickle.loads(written)
    assert opened.device_ == torch.device("cpu")
    np.testing.assert_array_equal(opened.transform(X), expected)


def test_taking_the_state_leaves_the_estimator_alone(fitted):
    before = fitted.__dict__.copy()
    state = fitted.__getstate__()
    state["network_"] = state["new"] = None
    assert fitted.__dict__ == before


@pytest.mark.cuda
def test_a_pickle_from_cuda_holds_cpu_tensors(iris):
    X, y = iris
    embedding = SNNLEmbedding(max_iter=2, device="cuda").fit(X, y)
    state = embedding.__getstate__()
    assert {p.device.type for p in state["network_"].parameters()} == {"cpu"}
    assert next(embedding.network_.parameters()).is_cuda
    again = pickle.loads(pickle.dumps(embedding))
    assert again.device_.type == "cuda"
    np.testing.assert_array_equal(again.transform(X), embedding.transform(X))
