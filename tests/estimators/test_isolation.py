"""Fitting is repeatable, and leaves the program around it as it was."""

import multiprocessing
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from versions import needs_torch

from sknca import SNNLEmbedding, TripletEmbedding
from sknca.training import isolated


def with_dropout(n_features, n_components):
    return nn.Sequential(nn.Linear(n_features, 16), nn.Dropout(0.5), nn.Linear(16, n_components))


def codes(X, y, random_state=0, *, kind=SNNLEmbedding, **parameters):
    embedding = kind(max_iter=3, batch_size=32, random_state=random_state, **parameters)
    return embedding.fit(X, y).transform(X)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"encoder": with_dropout},
        {"early_stopping": True, "n_iter_no_change": 1},
        {"kind": TripletEmbedding, "mining": "random"},
    ],
    ids=["own encoder", "own dropout", "early stopping", "random triplets"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
class TestSeed:
    def test_same_seed_same_bits(self, iris, parameters):
        first = codes(*iris, **parameters)
        torch.manual_seed(99)
        np.random.seed(99)
        np.testing.assert_array_equal(codes(*iris, **parameters), first)

    def test_other_seed_other_codes(self, iris, parameters):
        assert not np.allclose(codes(*iris, **parameters), codes(*iris, 1, **parameters))

    def test_none_draws_afresh(self, iris, parameters):
        assert not np.allclose(codes(*iris, None, **parameters), codes(*iris, None, **parameters))

    def test_random_state_advances(self, iris, parameters):
        random_state = np.random.RandomState(0)
        first = codes(*iris, random_state, **parameters)
        second = codes(*iris, random_state, **parameters)
        assert not np.allclose(first, second)
        again = codes(*iris, np.random.RandomState(0), **parameters)
        np.testing.assert_array_equal(again, first)


def global_state():
    return (
        random.getstate(),
        [str(part) for part in np.random.get_state()],
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        [state.tolist() for state in torch.cuda.get_rng_state_all()],
    )


@pytest.mark.parametrize("random_state", [None, 0])
def test_global_state_is_untouched(iris, random_state):
    before = global_state()
    codes(*iris, random_state, encoder=with_dropout)
    assert global_state() == before


def test_global_state_is_untouched_by_an_error(iris):
    X, y = iris
    before = global_state()
    with pytest.raises(ValueError, match="diverged"):
        codes(X, y, learning_rate_init=1e30)
    assert global_state() == before


@pytest.mark.parametrize("parameters", [{}, {"primary_loss": "reconstruction"}])
def test_defaults_of_the_program_do_not_matter(iris, parameters):
    expected = codes(*iris, **parameters)
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")  # where nothing could be computed
        np.testing.assert_array_equal(codes(*iris, **parameters), expected)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


def test_nor_do_they_for_an_encoder_of_the_users_own(iris):
    expected = codes(*iris, encoder=with_dropout)
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        np.testing.assert_array_equal(codes(*iris, encoder=with_dropout), expected)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


def test_nor_do_they_for_portions_checkpoints_and_mapped_rows(iris, tmp_path):
    X, y = iris
    np.save(tmp_path / "rows.npy", X)
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")

    def learn(name):
        embedding = SNNLEmbedding(max_iter=2, random_state=0, early_stopping=False)
        fitted = embedding.fit(rows, y, checkpoint=tmp_path / name).transform(rows)
        return fitted, embedding.partial_fit(X, y).partial_fit(X[::2], y[::2]).transform(X)

    expected = learn("one")
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        found = learn("other")
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    np.testing.assert_array_equal(found, expected)


@needs_torch("2.11", "the default device after it was set to None")
def test_threads(iris):
    expected, before = codes(*iris), global_state()
    with ThreadPoolExecutor(3) as pool:
        for result in pool.map(lambda _: codes(*iris), range(6)):
            np.testing.assert_array_equal(result, expected)
    assert global_state() == before


@pytest.mark.parametrize(
    "context",
    [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", dtype=torch.bfloat16)],
    ids=["no_grad", "inference_mode", "autocast"],
)
def test_surrounding_modes_do_not_matter(iris, context):
    expected = codes(*iris)
    with context():
        np.testing.assert_array_equal(codes(*iris), expected)


class InBfloat16(nn.Linear):
    """Asserts that what it computes with are its weights of now."""

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            output = super().forward(x)
        expected = nn.functional.linear(*(t.bfloat16() for t in (x, self.weight, self.bias)))
        assert torch.equal(output, expected)
        return output.float()


@pytest.mark.parametrize("outside", [nullcontext, partial(torch.autocast, "cpu", torch.bfloat16)])
def test_an_encoder_may_compute_in_mixed_precision(iris, outside):
    X, y = iris
    with outside():
        embedding = SNNLEmbedding(2, encoder=InBfloat16, max_iter=3, random_state=0, device="cpu")
        embedding.fit(X, y, X_val=X, y_val=y).transform(X)


class Half(nn.Linear):
    """Answers in half precision, as what computes under autocast does."""

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return super().forward(x)


@pytest.mark.parametrize(
    "embedding",
    [
        SNNLEmbedding(2),
        SNNLEmbedding(2, metric="cosine", temperature=0.1),
        SNNLEmbedding(2, layers="all", adversarial_radius=0.1),
        SNNLEmbedding(2, primary_loss="classification"),
        SNNLEmbedding(2, primary_loss="reconstruction"),
        SNNLEmbedding(2, primary_loss="reconstruction", decoder=Half),
        TripletEmbedding(2),
        TripletEmbedding(2, metric="cosine", mining="hard"),
    ],
    ids=str,
)
def test_an_encoder_may_answer_in_half_precision(iris, embedding):
    X, y = iris
    embedding.set_params(encoder=Half, max_iter=3, random_state=0)
    codes = embedding.fit(X, y, X_val=X, y_val=y).transform(X)
    assert codes.dtype == np.float64
    if embedding.metric == "cosine":
        np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, rtol=1e-5)
    if isinstance(embedding, SNNLEmbedding):
        assert embedding.layer_entanglement(X, y)["code"] > 0
        if embedding.primary_loss == "reconstruction":
            assert embedding.inverse_transform(codes).shape == X.shape


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.skipif(
    torch.cuda.is_available(), reason="with CUDA, torch refuses a backward pass in a forked process"
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_trains(iris):
    training, forked = threading.Event(), threading.Event()

    def train():
        with isolated(0, torch.device("cpu")):
            training.set()
            forked.wait()

    thread = threading.Thread(target=train)
    thread.start()
    training.wait()
    try:
        child = multiprocessing.get_context("fork").Process(target=codes, args=iris)
        child.start()
        child.join(60)
        child.kill()
    finally:
        forked.set()
        thread.join()
    assert child.exitcode == 0


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"primary_loss": "reconstruction"},
        {"primary_loss": "classification", "adversarial_radius": 0.1},
        {"kind": TripletEmbedding, "mining": "random"},
    ],
    ids=str,
)
def test_a_fit_in_the_background_changes_nothing_of_what_others_draw(iris, parameters):
    torch.manual_seed(0)
    expected = [torch.rand(()).item() for _ in range(10_000)]
    thread = threading.Thread(target=codes, args=iris, kwargs=parameters)
    torch.manual_seed(0)
    thread.start()
    drawn = []
    while thread.is_alive():
        drawn.append(torch.rand(()).item())
        time.sleep(0)
    thread.join()
    assert len(drawn) > 10
    assert drawn[:10_000] == expected[: len(drawn)]


def test_fits_that_draw_from_no_global_stream_train_at_once(iris):
    training, other = threading.Event(), threading.Event()

    def train():
        with isolated(0, torch.device("cpu")):  # holds the lock, as for a custom encoder
            training.set()
            other.wait(60)

    thread = threading.Thread(target=train)
    thread.start()
    training.wait()
    codes(*iris)
    assert thread.is_alive()
    other.set()
    thread.join()
