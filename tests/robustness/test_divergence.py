"""Numbers that overflow are noticed in the epoch in which they do, and nothing is lost by it."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from torch import nn

from sknca import SNNLEmbedding, TripletEmbedding

X, y = load_iris(return_X_y=True)
SETTINGS = {"max_iter": 6, "hidden_layer_sizes": (8,), "random_state": 0, "batch_size": 50}


class Overflows(nn.Linear):
    """An encoder whose activations overflow in training, from the fourth epoch on."""

    n_passes = 0

    def forward(self, x):
        self.n_passes += self.training
        codes = super().forward(x)
        return codes * 1e30 * 1e30 if self.training and self.n_passes > 9 else codes


@pytest.mark.parametrize("kind", [SNNLEmbedding, TripletEmbedding])
@pytest.mark.parametrize("rate", [1e6, 1e15, 1e30])
@pytest.mark.parametrize("batch_size", [50, "auto"])
@pytest.mark.parametrize("scale", [True, False])
def test_too_high_a_learning_rate(kind, rate, batch_size, scale):
    """Either it is noticed, or the codes are finite."""
    changed = {"learning_rate_init": rate, "batch_size": batch_size, "scale": scale}
    embedding = kind(**SETTINGS | changed)
    message = ""
    try:
        embedding.fit(X, y)
    except ValueError as error:
        message = str(error)
    if message:
        assert "the training diverged" in message
        assert f"lower learning_rate_init={rate}" in message
        assert not hasattr(embedding, "network_")
    else:
        assert np.isfinite(embedding.transform(X)).all()
        assert np.isfinite(embedding.loss_curve_).all()


@pytest.mark.parametrize("kind", [SNNLEmbedding, TripletEmbedding])
def test_the_last_step_counts_too(kind):
    """The loss of an epoch is from before its last step."""
    embedding = kind(**SETTINGS | {"learning_rate_init": 1e30, "max_iter": 1, "batch_size": 150})
    for fit in (embedding.fit, embedding.partial_fit):
        with pytest.raises(ValueError, match="codes are not finite after the last epoch"):
            fit(X, y)
        assert not hasattr(embedding, "network_")


def test_activations_that_overflow_are_noticed_in_their_epoch():
    embedding = SNNLEmbedding(encoder=Overflows, **SETTINGS)
    with pytest.raises(ValueError, match="in epoch 3 .*: the training diverged"):
        embedding.fit(X, y)
    assert not hasattr(embedding, "network_")


def test_a_fitted_estimator_stays_as_it_was():
    embedding = SNNLEmbedding(**SETTINGS).fit(X, y)
    codes, losses = embedding.transform(X), embedding.loss_curve_
    embedding.set_params(learning_rate_init=1e30)
    for again in (embedding.fit, embedding.partial_fit):
        with pytest.raises(ValueError, match="diverged"):
            again(X, y)
        np.testing.assert_array_equal(embedding.transform(X), codes)
        assert embedding.loss_curve_ is losses


def test_with_a_checkpoint_the_last_good_epoch_is_in_the_file(tmp_path, monkeypatch):
    path = tmp_path / "fit"
    with pytest.raises(ValueError, match="in epoch 3 .*: the training diverged"):
        SNNLEmbedding(encoder=Overflows, **SETTINGS).fit(X, y, checkpoint=path)
    monkeypatch.setattr(Overflows, "forward", nn.Linear.forward)  # what overflowed is mended
    again = SNNLEmbedding(encoder=Overflows, **SETTINGS).fit(X, y, checkpoint=path)
    whole = SNNLEmbedding(encoder=Overflows, **SETTINGS).fit(X, y)
    np.testing.assert_array_equal(again.transform(X), whole.transform(X))
    assert len(again.loss_curve_) == 6


class Bursts(nn.Linear):
    """An encoder whose weights overflow in the step of its fourth pass, that of epoch 3."""

    n_passes = 0

    def forward(self, x):
        codes = super().forward(x)
        self.n_passes += self.training
        if self.training and self.n_passes == 4:
            self.weight.data.mul_(self.factor)
        return codes


@pytest.mark.parametrize("factor", [1e28, 1e38, float("nan")])
@pytest.mark.parametrize("max_iter", [4, 6])
def test_the_state_after_a_step_that_diverges_is_not_in_the_file(
    factor, max_iter, tmp_path, monkeypatch
):
    """The loss of an epoch is from before its only step, so that of the next one shows it."""
    path = tmp_path / "fit"
    one_step = {"batch_size": 150, "max_iter": max_iter, "adversarial_radius": 0.0}
    embedding = SNNLEmbedding(encoder=Bursts, **SETTINGS | one_step, early_stopping=False)
    monkeypatch.setattr(Bursts, "factor", factor, raising=False)
    if max_iter == 4 and factor == 1e28:
        embedding.fit(X, y, checkpoint=path)  # large, but finite: it may be kept
        return
    with pytest.raises(ValueError, match="the training diverged"):
        embedding.fit(X, y, checkpoint=path)
    monkeypatch.setattr(Bursts, "forward", nn.Linear.forward)  # what overflowed is mended
    again = clone(embedding).fit(X, y, checkpoint=path)
    whole = clone(embedding).fit(X, y)
    assert len(again.loss_curve_) == max_iter
    np.testing.assert_array_equal(again.transform(X), whole.transform(X))


class Noisy(nn.Linear):
    """An encoder that draws in every pass, also when it is evaluated."""

    def forward(self, x):
        return super().forward(x) + torch.rand(()) * 1e-3


def test_looking_at_the_codes_for_a_checkpoint_draws_nothing(tmp_path):
    embedding = SNNLEmbedding(encoder=Noisy, **SETTINGS)
    expected = clone(embedding).fit(X, y).loss_curve_
    assert clone(embedding).fit(X, y, checkpoint=tmp_path / "fit").loss_curve_ == expected


def test_the_advice_names_a_temperature_that_is_too_low():
    low = SNNLEmbedding(**SETTINGS, temperature=1e-30)
    with pytest.raises(ValueError, match="diverged.*raise temperature=1e-30"):
        low.fit(X, y)
    high = SNNLEmbedding(**SETTINGS | {"learning_rate_init": 1e30})
    with pytest.raises(ValueError, match="diverged") as caught:
        high.fit(X, y)
    assert "temperature" not in str(caught.value)


@pytest.mark.parametrize("kind", [SNNLEmbedding, TripletEmbedding])
def test_rows_at_the_limits_of_float16(kind):
    rows = (X / np.abs(X).max() * 65504).astype(np.float16)
    codes = kind(**SETTINGS).fit(rows, y).transform(rows)
    assert codes.dtype == np.float16
    assert np.isfinite(codes).all()


def test_codes_that_float16_cannot_hold_are_refused():
    class Large(nn.Linear):
        def forward(self, x):
            return 1e6 * super().forward(x)

    rows = X.astype(np.float16)
    embedding = SNNLEmbedding(encoder=Large, temperature=1e12, **SETTINGS).fit(rows, y)
    assert torch.isfinite(torch.from_numpy(embedding.transform(X))).all()
    with pytest.raises(ValueError, match="float16"):
        embedding.transform(rows)
