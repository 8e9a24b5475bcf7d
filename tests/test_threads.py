"""Torch computes with as many threads as the work is worth, and has its own setting afterwards."""

import math
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from sknca import SNNLEmbedding, TripletEmbedding
from sknca import _threads as threads
from sknca._threads import threads_for
from sknca.networks import MLP, largest_product

LARGE = 2.0**40


@pytest.fixture
def set_to_four(monkeypatch):
    """Torch is set to four threads, on a machine that has as many."""
    monkeypatch.setattr(threads, "cpu_count", lambda: 4)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def seen_by(encoder_of):
    """A custom encoder, and the numbers of threads that its passes have seen."""
    seen = set()

    class Watching(nn.Module):
        def __init__(self, n_features, n_components):
            super().__init__()
            self.inner = encoder_of(n_features, n_components)

        def forward(self, x):
            seen.add((self.training, torch.get_num_threads()))
            return self.inner(x)

    return Watching, seen


@pytest.mark.parametrize(
    ("product", "expected"), [(0, 1), (2**26, 1), (2**27, 2), (2**28 - 1, 3), (math.inf, 4)]
)
@pytest.mark.usefixtures("set_to_four")
def test_the_number_follows_from_the_largest_product(product, expected):
    with threads_for(product):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("set_to_four")
def test_never_more_than_torch_is_set_to_or_than_the_process_may_use(monkeypatch):
    torch.set_num_threads(3)
    with threads_for(LARGE):
        assert torch.get_num_threads() == 3
    monkeypatch.setattr(threads, "cpu_count", lambda: 2)
    with threads_for(LARGE):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("set_to_four")
def test_nested_the_inner_work_counts():
    with threads_for(0):
        with threads_for(LARGE):
            assert torch.get_num_threads() == 4
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("set_to_four")
def test_an_error_leaves_the_setting():
    with pytest.raises(KeyboardInterrupt), threads_for(0), threads_for(LARGE):
        raise KeyboardInterrupt
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("set_to_four")
def test_threads_that_begin_meanwhile_do_not_lower_it_for_good():
    first_is_inside, second_is_inside, first_has_left = (threading.Event() for _ in range(3))
    after = {}

    def first():
        with threads_for(0):
            first_is_inside.set()
            second_is_inside.wait()
        after["first"] = torch.get_num_threads()
        first_has_left.set()

    def second():
        first_is_inside.wait()
        with threads_for(0):
            second_is_inside.set()
            first_has_left.wait()
        after["second"] = torch.get_num_threads()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result()
    with ThreadPoolExecutor(1) as pool:
        after["a new one"] = pool.submit(torch.get_num_threads).result()
    assert after == {"first": 4, "second": 4, "a new one": 4}


@pytest.mark.parametrize("Embedding", [SNNLEmbedding, TripletEmbedding])
@pytest.mark.usefixtures("set_to_four")
def test_small_networks_train_and_transform_in_one_thread(Embedding, iris):
    X, y = iris
    encoder, seen = seen_by(lambda d, width: nn.Linear(d, width))
    Embedding(2, encoder=encoder, max_iter=2).fit(X, y).transform(X)
    assert seen == {(True, 1), (False, 1)}
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("set_to_four")
def test_work_that_is_not_known_gets_all_threads(iris):
    X, y = iris
    encoder, seen = seen_by(
        lambda d, width: nn.Sequential(
            nn.Unflatten(1, (1, d)), nn.Conv1d(1, 2, 2), nn.Flatten(), nn.LazyLinear(width)
        )
    )
    embedding = SNNLEmbedding(2, encoder=encoder, max_iter=2, early_stopping=False).fit(X, y)
    assert (True, 4) in seen
    assert (True, 1) not in seen
    seen.clear()
    embedding.transform(X)
    assert seen == {(False, 4)}


@pytest.mark.usefixtures("set_to_four")
def test_codes_do_not_depend_on_torchs_setting(iris):
    X, y = iris
    codes = []
    for n_threads in (1, 4):
        torch.set_num_threads(n_threads)
        codes.append(SNNLEmbedding(max_iter=3, random_state=0).fit(X, y).transform(X))
    np.testing.assert_array_equal(*codes)


def test_largest_product():
    sizes = {"hidden_layer_sizes": (30, 20), "activation": "relu", "dropout": 0.0}
    assert largest_product(MLP(10, 5, **sizes), 7) == 7 * 30 * 20
    assert largest_product(nn.Conv1d(1, 2, 2), 7) == math.inf
    assert largest_product(nn.Identity(), 7) == 0


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_process_that_is_bound_to_one_processor_has_one_thread():
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "import torch; torch.set_num_threads(2)\n"
        "from sknca._threads import threads_for\n"
        "with threads_for(1e15): print(torch.get_num_threads())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["1"]
