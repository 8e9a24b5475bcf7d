import math

import pytest
import torch
from torch import nn

from sknca.training import Stopping, TrainingData, TrainingInterrupted, train


class Scripted(nn.Module):
    """An objective whose loss in each epoch is written down; its one weight counts steps."""

    def __init__(self, losses):
        super().__init__()
        self.losses = losses
        self.weight = nn.Parameter(torch.zeros(()))
        self.calls = []

    def forward(self, x, y, weight, epoch):
        self.calls.append((epoch, x, y, weight))
        if self.losses[epoch] is KeyboardInterrupt:
            raise KeyboardInterrupt
        value = self.losses[epoch] + 0 * self.weight
        return value + self.weight - self.weight.detach(), {"half": value / 2}

    def settings(self, epoch):
        return {"temperature": 1 / (1 + epoch)}


def run(
    objective, *, n=10, batch_size=4, tol=None, patience=1, validation=None, weight=None, **hooks
):
    rates = []
    optimizer = torch.optim.SGD(objective.parameters(), lr=1.0)
    validation_losses = iter(validation or [])

    def learning_rate(progress):
        rates.append(progress)
        return 1.0

    history = train(
        objective,
        TrainingData(
            torch.arange(n).float()[:, None], torch.arange(n) % 2, weight, torch.arange(n)
        ),
        optimizer=optimizer,
        learning_rate=learning_rate,
        batch_size=batch_size,
        max_iter=len(objective.losses),
        stopping=Stopping(tol, patience),
        generator=torch.Generator().manual_seed(0),
        validate=None if validation is None else lambda: torch.tensor(next(validation_losses)),
        **hooks,
    )
    return history, rates


def test_records():
    history, rates = run(Scripted([3.0, 2.0]))
    assert history == [
        {"epoch": 0, "loss": 3, "half": 1.5, "temperature": 1, "validation_loss": None},
        {"epoch": 1, "loss": 2, "half": 1, "temperature": 0.5, "validation_loss": None},
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


def test_tells_of_each_epoch_and_stops_where_asked_to():
    told = []

    def on_epoch_end(history):
        told.append(len(history))
        return history[-1]["loss"] < 3

    history, _ = run(
        Scripted([4.0, 3.0, 2.0, 1.0]),
        on_epoch_begin=lambda: told.append("begin"),
        on_epoch_end=on_epoch_end,
    )
    assert told == ["begin", 1, "begin", 2, "begin", 3]
    assert len(history) == 3


def test_restores_the_best_epoch():
    objective = Scripted([5.0, 4.0, 3.0, 2.0])
    history, _ = run(objective, validation=[3.0, 1.0, 2.0, 4.0])
    assert [record["validation_loss"] for record in history] == [3, 1, 2, 4]
    assert objective.weight.item() == -6  # three steps in each of the first two epochs


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_divergence_is_an_error(bad):
    with pytest.raises(ValueError, match="not finite in epoch 1 .* learning_rate_init"):
        run(Scripted([1.0, bad, 1.0]))
    with pytest.raises(ValueError, match="not finite in epoch 1"):
        run(Scripted([1.0, 1.0]), validation=[1.0, bad])


def test_divergence_where_rows_are_moved_names_their_radius_too():
    with pytest.raises(ValueError, match="lower learning_rate_init or adversarial_radius"):
        run(Uphill([1.0, math.nan]), adversarial_radius=0.5)


@pytest.mark.parametrize("start", [0.5, 1e9])
def test_a_loss_that_grows_without_end_is_a_divergence(start):
    large = 2e6 * max(start, 1)
    with pytest.raises(ValueError, match="much larger than at the start in epoch 2 .* learning_ra"):
        run(Scripted([start, 1e5 * start, large, 0.0]))
    assert len(run(Scripted([start, 1e5 * start, 0.0]))[0]) == 3


def test_interrupt_keeps_what_was_learned():
    objective = Scripted([2.0, 1.0, KeyboardInterrupt, 0.0])
    with pytest.raises(KeyboardInterrupt, match="2 epochs are kept") as raised:
        run(objective, validation=[1.0, 2.0, 3.0, 4.0])
    assert isinstance(raised.value, TrainingInterrupted)
    assert len(raised.value.history) == 2
    assert objective.weight.item() == -3  # the best of the epochs before


def test_interrupt_in_the_first_epoch_has_nothing_to_keep():
    with pytest.raises(KeyboardInterrupt) as raised:
        run(Scripted([KeyboardInterrupt, 1.0]))
    assert not isinstance(raised.value, TrainingInterrupted)


class Uphill(Scripted):
    """Remembers the rows of each batch; its loss rises with them."""

    def forward(self, x, y, weight, epoch, target=None):
        total, parts = super().forward(x.detach(), y, weight, epoch)
        return total + x.sum(), parts


@pytest.mark.parametrize(
    ("fraction", "moved"), [(1.0, range(9)), (0.5, [0, 2, 4, 6, 8]), (0.25, [0, 4, 8]), (0.01, [0])]
)
def test_some_batches_are_learned_from_with_their_rows_moved_too(fraction, moved):
    objective = Uphill([1.0] * 20)
    spread = torch.tensor([4.0])
    run(objective, n=36, adversarial_radius=0.5, adversarial_fraction=fraction, spread=spread)
    for epoch in range(20):
        batches = [x for e, x, *_ in objective.calls if e == epoch]
        assert len(batches) == 9 + (len(moved) if epoch >= 2 else 0)  # not in the first eighth
        if epoch >= 2:
            for earlier, step in enumerate(moved):
                as_it_is, again = batches[step + earlier], batches[step + earlier + 1]
                torch.testing.assert_close(again, as_it_is + 2)


@pytest.mark.parametrize("n", [4, 36])
def test_a_single_epoch_has_moved_rows_too(n):
    objective = Uphill([1.0])
    run(objective, n=n, adversarial_radius=0.5)
    assert len(objective.calls) == 2 * n / 4


def test_trains_in_training_mode_after_validation_too():
    class InMode(Scripted):
        def forward(self, *batch):
            assert self.training
            return super().forward(*batch)

    objective = InMode([3.0, 2.0, 1.0]).eval()

    def validate():
        assert objective.training
        objective.eval()
        return torch.tensor(1.0)

    history = train(
        objective,
        TrainingData(torch.zeros(4, 1), torch.arange(4) % 2, None, torch.arange(4)),
        optimizer=torch.optim.SGD(objective.parameters()),
        learning_rate=lambda progress: 0.0,
        batch_size=4,
        max_iter=3,
        stopping=Stopping(None, 1),
        generator=torch.Generator(),
        validate=validate,
    )
    assert len(history) == 3
