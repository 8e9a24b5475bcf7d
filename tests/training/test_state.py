"""A training that loads the state of another goes on as that one, bit for bit."""

import copy

import pytest
import torch
from torch import nn

from sknca._random import drawing_from
from sknca.data import RowsInMemory, TrainingData
from sknca.networks import SkipMLP
from sknca.objectives import Classification, SNNLObjective, TripletObjective
from sknca.training import (
    AdamW,
    AdversarialGradient,
    AdversarialStep,
    Step,
    Stopping,
    TrainingState,
    isolated,
    one_cycle,
    train,
)

CPU = torch.device("cpu")
X, Y = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 4
DATA = TrainingData(RowsInMemory(X[:32], CPU), Y[:32], None, torch.arange(32))


def custom():
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 3))


def default():
    return SkipMLP(5, 3, hidden_layer_sizes=(16,), activation="relu", dropout=0.2)


def snnl(network, **options):
    return SNNLObjective(network, metric="sqeuclidean", temperatures=[1.0] * 6, **options)


OBJECTIVES = {
    "snnl": lambda: snnl(default(), q=[0.1 * i for i in range(6)], adapts_q=True),
    "learned": lambda: snnl(custom(), learned=True),
    "classification": lambda: snnl(custom(), primary=Classification(3, 4)),
    "triplets": lambda: TripletObjective(default(), metric="cosine", margin=0.2, mining="random"),
}


def make(name, isolation):
    objective = OBJECTIVES[name]()
    groups = [group for group in objective.parameter_groups() if group["params"]]
    return TrainingState(
        objective,
        AdamW(groups, lr=0.01, weight_decay=0.01),
        learning_rate=lambda progress: 0.01 * one_cycle(progress),
        max_iter=6,
        stopping=Stopping(0.0, 2),
        isolation=isolation,
    )


def epochs(state, **options):
    plain = Step(state.objective, state.optimizer)
    twice = Step(state.objective, state.optimizer, AdversarialGradient(0.3))
    step = AdversarialStep(plain, twice, fraction=0.5, first_epoch=1)
    held_out = TrainingData(RowsInMemory(X[32:], CPU), Y[32:], None, torch.arange(8)).take(
        torch.arange(8)
    )

    def validate():
        return state.objective.held_out(held_out, DATA.take(torch.arange(32)))

    return train(state, DATA, step, batch_size=8, validate=validate, **options)


def assert_same(one, other):
    """Nested dicts and lists of tensors and numbers."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize(
    ("name", "of_others"), [("snnl", False), ("triplets", False), *((n, True) for n in OBJECTIVES)]
)
def test_round_trip(name, of_others):
    with isolated(0, CPU, of_others=of_others) as isolation:
        whole = make(name, isolation)
        states = [whole.state_dict()]
        for record in epochs(whole):
            if record["epoch"] == 2:
                whole.objective.adapt_to(DATA.take(torch.arange(32)))
            states.append(whole.state_dict())
    for done in (0, 1, 3, len(states) - 1):
        with isolated(99, CPU, of_others=of_others) as isolation:
            resumed = make(name, isolation)
            resumed.load_state_dict(copy.deepcopy(states[done]))
            assert_same(resumed.state_dict(), states[done])
            for record in epochs(resumed):
                if record["epoch"] == 2:
                    resumed.objective.adapt_to(DATA.take(torch.arange(32)))
                assert_same(resumed.state_dict(), states[resumed.epoch])
        resumed.finish()
        assert resumed.epoch == len(states) - 1


def test_a_state_is_a_copy():
    with isolated(0, CPU) as isolation:
        state = make("snnl", isolation)
        next(epochs(state))
        before = state.state_dict()
        kept = copy.deepcopy(before)
        list(epochs(state))
        assert_same(before, kept)


def test_the_best_weights_are_not_copied_again():
    with isolated(0, CPU) as isolation:
        state = make("snnl", isolation)
        list(epochs(state))
        assert state.state_dict()["best"] is state.best is not None


def test_the_state_of_another_network_is_refused():
    with drawing_from(None), isolated(0, CPU) as isolation:
        state, other = make("snnl", isolation), make("learned", isolation)
        next(epochs(other))
        with pytest.raises((RuntimeError, ValueError)):
            state.load_state_dict(other.state_dict())
        with pytest.raises(ValueError, match="that of another network"):
            state.optimizer.load_state_dict(other.optimizer.state_dict())
