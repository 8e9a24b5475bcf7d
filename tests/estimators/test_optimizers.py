"""Any optimizer of torch takes the place of AdamW, in fits, checkpoints and streams."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch.utils._pytree import tree_leaves

from sknca import SNNLEmbedding, TripletEmbedding
from sknca.training import AdamW

X, y = load_iris(return_X_y=True)


def recording(groups, *, lr, weight_decay):
    """A plain function, which gets the parameters of the embedding."""
    recording.seen = lr, weight_decay, len(groups)
    return AdamW(groups, lr=lr, weight_decay=weight_decay)


MAKERS = {
    "sgd": partial(torch.optim.SGD, momentum=0.9),
    "adam": torch.optim.Adam,
    "nadam": torch.optim.NAdam,
    "function": recording,
}


@pytest.fixture(params=MAKERS, name="made")
def made_by(request):
    """Classes of embeddings with that optimizer."""
    maker = staticmethod(MAKERS[request.param])

    def make(cls=SNNLEmbedding, **parameters):
        kind = type("Changed", (cls,), {"_make_optimizer": maker})
        return kind(2, max_iter=4, random_state=0, **parameters)

    return make


def test_it_trains(made):
    embedding = made(learning_rate_init=0.02).fit(X, y)
    assert embedding.loss_curve_[-1] < embedding.loss_curve_[0]
    assert made(TripletEmbedding).fit(X, y).transform(X).shape == (150, 2)


def test_it_gets_what_the_parameters_say():
    kind = type("Changed", (SNNLEmbedding,), {"_make_optimizer": staticmethod(recording)})
    parameters = {"learning_rate_init": 0.02, "weight_decay": 0.3}
    kind(max_iter=1, temperature_schedule="learned", **parameters).fit(X, y)
    assert recording.seen == (0.02, 0.3, 2)  # the temperatures have a group of their own


@pytest.mark.filterwarnings("ignore:Maximum iterations")
def test_a_fit_goes_on_from_its_checkpoint(made, tmp_path, monkeypatch):
    expected = made().fit(X, y).transform(X)

    n_steps = []
    embedding = made()
    maker = type(embedding)._make_optimizer

    def stopping(*groups, **settings):
        optimizer = maker(*groups, **settings)
        step = optimizer.step

        def stop_in_time():
            n_steps.append(1)
            if len(n_steps) == 3:
                raise RuntimeError("the power fails")
            step()

        optimizer.step = stop_in_time
        return optimizer

    with monkeypatch.context() as patched:
        patched.setattr(type(embedding), "_make_optimizer", staticmethod(stopping))
        with pytest.raises(RuntimeError, match="power"):
            embedding.fit(X, y, checkpoint=tmp_path / "c")
    again = made().fit(X, y, checkpoint=tmp_path / "c")
    assert np.array_equal(again.transform(X), expected)


def test_a_stream_goes_on(made):
    embedding = made().partial_fit(X, y)
    other = copy.deepcopy(embedding)
    kept = copy.deepcopy(embedding._stream.training["optimizer"])
    codes = [e.partial_fit(X, y).transform(X) for e in (embedding, other)]
    assert np.array_equal(*codes)
    fresh = copy.deepcopy(other)
    assert not _alike(kept, fresh._stream.training["optimizer"])


def test_a_portion_that_fails_changes_nothing(made):
    embedding = made(encoder=torch.nn.Linear).partial_fit(X, y)
    kept = copy.deepcopy(embedding._stream.training["optimizer"])
    with pytest.raises(ValueError, match="diverged"):
        embedding.partial_fit(np.where(X > 5, 1e30, X), y)
    assert _alike(kept, embedding._stream.training["optimizer"])


def _alike(first, second):
    some = [[t for t in tree_leaves(one) if torch.is_tensor(t)] for one in (first, second)]
    return all(torch.equal(*pair) for pair in zip(*some, strict=True))
