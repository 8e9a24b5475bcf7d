"""Blocks of pairs that do not fit are halved, and give the same up to rounding."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch

from sknca import SNNLEmbedding, SoftNeighborsClassifier
from sknca.functional import soft_nearest_neighbor_loss
from sknca.functional._memory import in_smaller_blocks

SAID = "not enough memory for a block of the pairs"

#: With so little room that one block of all pairs does not fit, as after `ulimit -v`.
SCRIPT = """
import resource, sys, warnings
import numpy as np, torch
from sknca import SNNLEmbedding, SoftNeighborsClassifier
from sknca.functional import soft_nearest_neighbor_loss

torch.set_num_threads(1)
rng = np.random.default_rng(0)
n = 12000
y = torch.from_numpy(rng.integers(0, 5, n))
z = (torch.from_numpy(rng.normal(size=(n, 4))).float() + y[:, None]).requires_grad_()
def loss(block_size):
    z.grad = None
    loss = soft_nearest_neighbor_loss(z, y, block_size=block_size)
    loss.backward()
    return loss.item(), z.grad.clone()
expected, gradient = loss(500)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 700 * 2**20,) * 2)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("default")
    for _ in range(2):
        found, again = loss(n)  # 1.7 GB for one block
print(abs(found - expected) <= 1e-5 * expected, (again - gradient).abs().max() < 1e-7)
print([str(w.message)[:51] for w in caught], {w.filename == sys.argv[0] for w in caught})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
def test_a_process_that_may_not_have_more(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    same, said = done.stdout.splitlines()
    assert same == "True tensor(True)"
    assert said == f"['There is {SAID}'] {{True}}"


class Room:
    """Lets no block have more rows than so many, as if there were no memory for it."""

    def __init__(self, n_rows):
        self.n_rows, self.tried = n_rows, []

    def __call__(self, block_size):
        self.tried.append(block_size)
        if block_size > self.n_rows:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return "done"


def test_sizes_are_halved_until_they_fit():
    room = Room(3)
    with pytest.warns(UserWarning, match=SAID) as said:
        assert in_smaller_blocks(room, 16) == "done"
    assert room.tried == [16, 8, 4, 2]
    assert {warning.filename for warning in said} == {__file__}


def test_at_last_the_error_is_torchs():
    with (
        pytest.warns(UserWarning, match=SAID),
        pytest.raises(RuntimeError, match="can't allocate memory"),
    ):
        in_smaller_blocks(Room(0), 4)


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 cannot be multiplied"), ValueError])
def test_other_errors_are_not_tried_again(error):
    n_calls = []

    def compute(block_size):
        n_calls.append(block_size)
        raise error

    with pytest.raises((RuntimeError, ValueError)):
        in_smaller_blocks(compute, 16)
    assert n_calls == [16]


@pytest.fixture
def short_of_memory(monkeypatch):
    """Products of more than 2000 entries do not fit."""
    mm, addmm = torch.mm, torch.addmm

    def limited(function):
        def run(*args, **kwargs):
            *_, left, right = args
            if len(left) * right.shape[1] > 2000 and right.shape[1] > 50:
                raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate")
            return function(*args, **kwargs)

        return run

    monkeypatch.setattr(torch, "mm", limited(mm))
    monkeypatch.setattr(torch, "addmm", limited(addmm))


def rows(n=200):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n)
    return (rng.normal(size=(n, 4)) + y[:, None]).astype(np.float32), y


@pytest.mark.parametrize("q", [0.0, 1.0])
def test_the_loss_and_its_gradient(q, request):
    X, y = rows()
    z = torch.from_numpy(X).requires_grad_()

    def loss():
        z.grad = None
        value = soft_nearest_neighbor_loss(z, torch.from_numpy(y), q=q)
        value.backward()
        return value.item(), z.grad.clone()

    expected, gradient = loss()
    request.getfixturevalue("short_of_memory")
    with pytest.warns(UserWarning, match=SAID):
        found, again = loss()
    assert found == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(again, gradient, rtol=1e-4, atol=1e-7)


def test_soft_neighbors(request):
    X, y = rows()
    classifier = SoftNeighborsClassifier().fit(X, y)
    expected = classifier.predict_proba(X)
    request.getfixturevalue("short_of_memory")
    with pytest.warns(UserWarning, match=SAID):
        np.testing.assert_allclose(classifier.predict_proba(X), expected, atol=1e-6)


def test_a_fit_says_it_once_and_learns_the_same(request):
    X, y = rows()
    settings = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0, "dropout": 0.0}
    expected = SNNLEmbedding(**settings).fit(X, y).loss_curve_
    request.getfixturevalue("short_of_memory")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        found = SNNLEmbedding(**settings).fit(X, y).loss_curve_
    assert found == pytest.approx(expected, rel=1e-3)
    assert [(SAID in str(w.message), w.filename) for w in caught] == [(True, __file__)]
