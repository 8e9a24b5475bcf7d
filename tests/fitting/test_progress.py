"""What `verbose` shows of a fit of two trainings, of one that spreads labels, and where."""

import os
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tqdm.auto
from sklearn.datasets import load_digits, load_wine

from sknca import SNNLEmbedding
from sknca.fitting import _progress
from sknca.training import LabelSpreader

#: A line of `verbose=2`.
LINE = re.compile(r"SNNLEmbedding: epoch (\d+)/(\d+), (\d+):(\d\d) elapsed, (\d+):(\d\d) left, ")


class Clock:
    """A second goes by whenever somebody looks."""

    now = 0.0

    def monotonic(self):
        self.now += 1
        return self.now


def fit_twice(**parameters):
    """A training that is found to overfit, and starts again for fewer epochs."""
    X, y = load_wine(return_X_y=True)
    draws = np.random.RandomState(0)
    wrong = np.where(draws.rand(len(y)) < 0.3, draws.randint(3, size=len(y)), y)
    settings = {"hidden_layer_sizes": (64,), "dropout": 0, "learning_rate_init": 0.01}
    embedding = SNNLEmbedding(**settings, max_iter=55, random_state=0, **parameters).fit(X, wrong)
    assert embedding.overfits_
    return embedding


def fit_in_two_parts(**parameters):
    """A training that goes on with all samples after half of its epochs."""
    X, y = load_digits(return_X_y=True)
    embedding = SNNLEmbedding(hidden_layer_sizes=(16,), max_iter=20, random_state=0, **parameters)
    return embedding.fit(X[:300], y[:300])


@pytest.mark.parametrize("fit", [fit_twice, fit_in_two_parts])
def test_one_clock_and_one_count(fit, monkeypatch, capsys):
    monkeypatch.setattr(_progress, "time", Clock())
    n_iter = fit(verbose=2).n_iter_
    lines = [
        [*map(int, LINE.match(line).groups())] for line in capsys.readouterr().out.splitlines()
    ]
    epochs, totals, minutes, seconds, *_ = zip(*lines, strict=True)
    assert epochs == tuple(range(1, len(lines) + 1))
    elapsed = [60 * m + s for m, s in zip(minutes, seconds, strict=True)]
    assert elapsed == sorted(set(elapsed))
    assert totals[-1] == len(lines)
    assert lines[-1][4:] == [0, 0]
    assert totals[0] == (20 if fit is fit_in_two_parts else 55)
    assert len(lines) == n_iter + (0 if fit is fit_in_two_parts else 28)


@pytest.mark.parametrize("fit", [fit_twice, fit_in_two_parts])
def test_one_bar(fit, monkeypatch):
    bars = []

    class Kept(tqdm.auto.tqdm):
        def __init__(self, **settings):
            super().__init__(**settings)
            bars.append(self)

    monkeypatch.setattr(tqdm.auto, "tqdm", Kept)
    fit(verbose=1)
    (bar,) = bars
    assert bar.n == bar.total


def test_the_time_left_while_labels_are_spread(monkeypatch):
    """Ten epochs of two batches, a second each; labels are spread in every second, in a minute."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(_progress, "time", clock)
    spreader = LabelSpreader(None, n_classes=2, max_iter=10)
    state = SimpleNamespace(epoch=0, max_iter=10, spreader=spreader)
    shown = _progress.Progress(state)
    shown.begin_training(state, 2)
    assert shown.left() == np.inf
    end = 10 * 2 + 5 * 60
    for epoch in range(10):
        shown.begin_epoch()
        clock.now += 60 * (epoch % 2 == 0)
        for _ in range(2):
            shown.begin_batch()
            clock.now += 1
            shown.end_batch(1)
            assert shown.left() == pytest.approx(end - clock.now)
        state.epoch += 1
        shown.end_epoch({})
        assert shown.left() == pytest.approx(end - clock.now)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_in_a_terminal_without_columns(monkeypatch):
    """As one of a container says of itself: tqdm writes blank lines there."""
    ours, theirs = os.openpty()
    with open(theirs, "w") as terminal:
        assert os.get_terminal_size(terminal.fileno()).columns == 0
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.delenv("COLUMNS", raising=False)
        X, y = load_wine(return_X_y=True)
        SNNLEmbedding(max_iter=2, verbose=1, random_state=0).fit(X, y)
        terminal.flush()
        written = os.read(ours, 2**16).decode()
    os.close(ours)
    last = written.strip().split("\r")[-1]
    assert last.startswith("SNNLEmbedding: |")
    assert "2/2 [" in last
    assert len(last) <= 80
