import math

import pytest
import torch
from torch import nn

from sknca.data import RowsInMemory, TrainingData
from sknca.training import DivergenceError, Isolation, Step, Stopping, TrainingState, train


class Scripted(nn.Module):
    """An objective whose loss in each epoch is written down; its one weight counts steps."""

    def __init__(self, losses):
        super().__init__()
        self.losses = losses
        self.weight = nn.Parameter(torch.zeros(()))
        self.calls = []

    def forward(self, batch, epoch):
        self.calls.append((epoch, batch.x, batch.y, batch.weight))
        value = self.losses[epoch] + 0 * self.weight
        return value + self.weight - self.weight.detach(), {"half": value / 2}

    def settings(self, epoch):
        return {"temperature": 1 / (1 + epoch)}

    def training_state(self):
        return {}

    def load_training_state(self, state):
        assert state == {}


def make(objective, *, tol=None, patience=1):
    """The state of a training, and the progress at each of its steps."""
    rates = []

    def learning_rate(progress):
        rates.append(progress)
        return 1.0

    state = TrainingState(
        objective,
        torch.optim.SGD(objective.parameters(), lr=1.0),
        learning_rate=learning_rate,
        max_iter=len(objective.losses),
        stopping=Stopping(tol, patience),
        isolation=Isolation(0, torch.device("cpu"), None),
    )
    return state, rates


def epochs(state, *, n=10, batch_size=4, validation=None, weight=None, **options):
    losses = iter(validation or [])
    x, y, rows = torch.arange(n).float()[:, None], torch.arange(n) % 2, torch.arange(n)
    return train(
        state,
        TrainingData(RowsInMemory(x, torch.device("cpu")), y, weight, rows),
        Step(state.objective, state.optimizer),
        batch_size=batch_size,
        validate=None if validation is None else lambda: torch.tensor(next(losses)),
        **options,
    )


def run(objective, *, tol=None, patience=1, **options):
    state, rates = make(objective, tol=tol, patience=patience)
    history = list(epochs(state, **options))
    state.finish()
    assert history == state.history
    return history, rates


def test_records():
    more = {"learning_rate": 1.0, "validation_loss": None}
    history, rates = run(Scripted([3.0, 2.0]))
    assert history == [
        {"epoch": 0, "loss": 3, "half": 1.5, "temperature": 1, **more},
        {"epoch": 1, "loss": 2, "half": 1, "temperature": 0.5, **more},
    ]
    assert rates == pytest.approx([i / 6 for i in range(6)])


def test_batches_carry_labels_and_weights_of_their_rows():
    objective = Scripted([1.0])
    run(objective, weight=torch.arange(10).float() / 10)
    for _, x, y, weight in objective.calls:
        assert torch.equal(y, x[:, 0].long() % 2)
        assert torch.equal(weight, x[:, 0] / 10)


def test_stops():
    history, _ = run(Scripted([3.0, 2.0, 2.0, 2.0, 2.0]), tol=0.0, patience=2)
    assert len(history) == 4


def test_records_are_yielded_one_by_one():
    state, _ = make(Scripted([4.0, 3.0, 2.0, 1.0]))
    told = []
    for record in epochs(state, on_epoch_begin=lambda: told.append("begin")):
        told.append(record["loss"])
        assert state.history[-1] is record
        if record["loss"] == 3:
            break
    assert told == ["begin", 4, "begin", 3]
    assert [record["loss"] for record in epochs(state, until=3)] == [2]
    assert [record["epoch"] for record in epochs(state)] == [3]
    assert list(epochs(state)) == []


def test_restores_the_best_epoch():
    objective = Scripted([5.0, 4.0, 3.0, 2.0])
    history, _ = run(objective, validation=[3.0, 1.0, 2.0, 4.0])
    assert [record["validation_loss"] for record in history] == [3, 1, 2, 4]
    assert objective.weight.item() == -6  # three steps in each of the first two epochs


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_is_an_error(bad):
    with pytest.raises(DivergenceError, match="not finite in epoch 1 "):
        run(Scripted([1.0, bad, 1.0]))
    with pytest.raises(DivergenceError, match="not finite in epoch 1 "):
        run(Scripted([1.0, 1.0]), validation=[1.0, bad])


@pytest.mark.parametrize("start", [0.5, 1e9])
def test_a_loss_that_grows_without_end_is_a_divergence(start):
    large = 2e6 * max(start, 1)
    with pytest.raises(DivergenceError, match="much larger than at the start in epoch 2 "):
        run(Scripted([start, 1e5 * start, large, 0.0]))
    assert len(run(Scripted([start, 1e5 * start, 0.0]))[0]) == 3


def test_trains_in_training_mode_after_validation_too():
    class InMode(Scripted):
        def forward(self, batch, epoch):
            assert self.training
            return super().forward(batch, epoch)

    objective = InMode([3.0, 2.0, 1.0]).eval()
    state, _ = make(objective)
    for _ in epochs(state, validation=[1.0, 1.0, 1.0]):
        assert objective.training
        objective.eval()
    assert state.epoch == 3
