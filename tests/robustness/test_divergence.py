"""Numbers that overflow are noticed in the epoch in which they do, and nothing is lost by it."""

import numpy as np
import pytest
import torch
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
@pytest.mark.parametrize("rate", [1e6, 1e30])
@pytest.mark.parametrize("scale", [True, False])
def test_too_high_a_learning_rate(kind, rate, scale):
    """Either it is noticed, or the codes are finite."""
    embedding = kind(**SETTINGS | {"learning_rate_init": rate, "scale": scale})
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
