"""What was there before a call is there after it, however the call ends."""

import os
import random
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn
from versions import HAS_CALLBACKS

from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding, _file

X, y = load_iris(return_X_y=True)
SETTINGS = {"max_iter": 3, "hidden_layer_sizes": (8,), "random_state": 0}


class Fails(nn.Linear):
    """An encoder that fails in its third pass, after it has drawn."""

    n_passes = 0

    def forward(self, x):
        torch.rand(3), np.random.rand(), random.random()
        self.n_passes += 1
        if self.n_passes == 3:
            raise OSError("a cable was pulled")
        return super().forward(x)


class Interrupts(Fails):
    def forward(self, x):
        self.n_passes += 1
        if self.n_passes == 3:
            raise KeyboardInterrupt
        return super().forward(x)


class Callback:
    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(self, estimator, context):
        torch.manual_seed(7)
        if context.task_name == "epoch":
            raise LookupError("a callback failed")


def with_callback():
    if not HAS_CALLBACKS:
        pytest.skip("callbacks need scikit-learn 1.9")
    return SNNLEmbedding(**SETTINGS).set_callbacks(Callback()).fit(X, y)


def full(monkeypatch, path):
    def refuse(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    SNNLEmbedding(**SETTINGS).fit(X, y, checkpoint=path)


def damaged(path):
    path.write_bytes(_file.pack({"fit": {}}, {}))
    SNNLEmbedding(**SETTINGS).fit(X, y, checkpoint=path)


def embedding(**parameters):
    return SNNLEmbedding(**SETTINGS | parameters)


#: Each with the error that it ends with, if any.
CALLS = {
    "fit": (lambda **_: embedding().fit(X, y), None),
    "triplets": (lambda **_: TripletEmbedding(**SETTINGS, mining="random").fit(X, y), None),
    "own encoder": (lambda **_: embedding(encoder=nn.Linear).fit(X, y), None),
    "classifier": (lambda **_: SoftNeighborsClassifier().fit(X, y).predict(X), None),
    "portion": (lambda **_: SNNLEmbedding().partial_fit(X, y), None),
    "checkpoint": (lambda path, **_: embedding().fit(X, y, checkpoint=path), None),
    "divergence": (lambda **_: embedding(learning_rate_init=1e30).fit(X, y), ValueError),
    "diverging portion": (
        lambda **_: SNNLEmbedding(learning_rate_init=1e30).partial_fit(X, y),
        ValueError,
    ),
    "bad X": (lambda **_: embedding().fit(np.full_like(X, np.nan), y), ValueError),
    "bad y": (lambda **_: embedding().fit(X, y[1:]), ValueError),
    "bad weights": (lambda **_: embedding().fit(X, y, sample_weight=-np.ones(150)), ValueError),
    "bad parameter": (lambda **_: embedding(temperature=0).fit(X, y), ValueError),
    "bad device": (lambda **_: embedding(device="abacus").fit(X, y), ValueError),
    "bad rows of transform": (lambda **_: embedding().fit(X, y).transform(X[:, 1:]), ValueError),
    "not fitted": (lambda **_: embedding().transform(X), ValueError),
    "failing encoder": (lambda **_: embedding(encoder=Fails).fit(X, y), OSError),
    "interruption": (lambda **_: embedding(encoder=Interrupts).fit(X, y), KeyboardInterrupt),
    "failing callback": (lambda **_: with_callback(), LookupError),
    "full disk": (lambda path, monkeypatch: full(monkeypatch, path), OSError),
    "damaged checkpoint": (lambda path, **_: damaged(path), ValueError),
    "bad portion": (lambda **_: SNNLEmbedding().partial_fit(X, None), ValueError),
}


def state():
    """All of the process that a fit could change."""
    return {
        "random": random.getstate(),
        "numpy": [str(part) for part in np.random.get_state()],
        "torch": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "threads between": torch.get_num_interop_threads(),
        "dtype": torch.get_default_dtype(),
        "device": torch.empty(0).device,
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "anomalies": torch.is_anomaly_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "denormal numbers": torch.tensor(1e-310, dtype=torch.float64).mul(1).item(),
        "precision": torch.get_float32_matmul_precision(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "autocast": torch.is_autocast_enabled("cpu"),
        "sparse checks": torch.sparse.check_sparse_tensor_invariants.is_enabled(),
        "numpy errors": np.geterr(),
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "arrays": (X.tobytes(), y.tobytes()),
    }


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("surroundings", ["usual", "of the user"])
def test_all_is_as_before(name, surroundings, tmp_path, monkeypatch):
    call, error = CALLS[name]
    if surroundings == "of the user":
        torch.manual_seed(3)
        random.seed(3)
        monkeypatch.setattr(warnings, "filters", [*warnings.filters])
    before = state()
    if error is None:
        call(path=tmp_path / "fit", monkeypatch=monkeypatch)
    else:
        with pytest.raises(error):
            call(path=tmp_path / "fit", monkeypatch=monkeypatch)
    after = state()
    for what, value in before.items():
        if name in {"failing encoder", "interruption", "own encoder"} and what in {
            "random",
            "numpy",
        }:
            continue  # the encoder itself draws from them
        if name == "failing callback" and what == "torch":
            continue  # as does this callback
        assert after[what] == value, what


@pytest.mark.parametrize("learning_rate_init", [1e-3, 1e30])
def test_a_module_that_was_passed_in_is_as_before(learning_rate_init):
    module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)).eval()
    module[0].bias.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    fitted = embedding(encoder=lambda d, k: module, learning_rate_init=learning_rate_init)
    with nullcontext() if learning_rate_init < 1 else pytest.raises(ValueError, match="diverged"):
        fitted.fit(X, y)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not module.training
    assert [p.requires_grad for p in module.parameters()][:2] == [True, False]
    assert all(p.grad is None for p in module.parameters())
