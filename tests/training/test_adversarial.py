import pytest
import torch
from torch import nn

from sknca.data import Batch
from sknca.training import AdversarialGradient, AdversarialStep


class HalfSquares(nn.Module):
    """Half the sum of squares of x A': the gradient in a row x is (A' A) x, that in A is A x x'."""

    def __init__(self):
        super().__init__()
        self.A = nn.Parameter(torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, -1.0]]))
        self.seen = []
        self.targets = []

    def forward(self, batch, epoch):
        x, y, weight, target = self.read(batch.x), *batch[1:4]
        self.seen.append((x.detach().clone(), y, weight, epoch))
        self.targets.append(target)
        total = 0.5 * (x @ self.A.T).square().sum()
        return total, {"half": total / 2}

    def read(self, x):
        return x


X = torch.tensor([[1.0, 0.0], [0.5, -2.0], [0.0, 0.0]])
Y, WEIGHT = torch.tensor([0, 1, 1]), torch.tensor([1.0, 0.5, 2.0])


def accumulate(loss, radius, x=X, spread=1.0):
    return AdversarialGradient(radius, spread)(loss, Batch(x, Y, WEIGHT), 3)


def test_gradient_is_that_of_both_losses():
    loss, radius = HalfSquares(), 0.3
    A = loss.A.detach()
    uphill = X @ A.T @ A
    lengths = uphill.norm(dim=1, keepdim=True)
    moved = X + radius * torch.where(lengths > 0, uphill / lengths, 0)
    total, parts = accumulate(loss, radius)
    expected = A @ X.T @ X + A @ moved.T @ moved
    torch.testing.assert_close(loss.A.grad, expected)
    assert total.item() == pytest.approx(0.5 * (X @ A.T).square().sum().item())
    assert parts["half"].item() == pytest.approx(total.item() / 2)


def test_rows_are_moved_by_the_radius_and_uphill():
    loss = HalfSquares()
    accumulate(loss, 0.3)
    (before, *same), (after, *also_same) = loss.seen
    assert torch.equal(before, X)
    torch.testing.assert_close((after - before).norm(dim=1), torch.tensor([0.3, 0.3, 0.0]))
    assert same == also_same
    assert ((after @ loss.A.T).norm(dim=1) >= (before @ loss.A.T).norm(dim=1)).all()


def test_moves_are_those_of_features_in_units_of_their_spread():
    spread = torch.tensor([0.5, 20.0])

    class OfUnits(HalfSquares):
        def read(self, x):
            return x / spread

    loss, in_units = HalfSquares(), OfUnits()
    accumulate(loss, 0.3)
    accumulate(in_units, 0.3, X * spread, spread)
    torch.testing.assert_close(in_units.seen[1][0], loss.seen[1][0])
    torch.testing.assert_close(in_units.A.grad, loss.A.grad)


@pytest.mark.parametrize("spread", [[0.0, 1.0], [0.0, 0.0]])
def test_a_feature_without_spread_stays(spread):
    loss = HalfSquares()
    accumulate(loss, 0.3, spread=torch.tensor(spread))
    moves = loss.seen[1][0] - X
    assert (moves[:, 0] == 0).all()
    torch.testing.assert_close(moves[0].abs(), 0.3 * torch.tensor(spread))


@pytest.mark.parametrize("unit", [1e-15, 1e-4, 1e15])
def test_the_unit_of_the_rows_does_not_matter(unit):
    loss, in_units = HalfSquares(), HalfSquares()
    accumulate(loss, 0.3)
    accumulate(in_units, 0.3 * unit, X * unit)
    torch.testing.assert_close(in_units.seen[1][0] / unit, loss.seen[1][0])


def test_leaves_the_rows_alone():
    class InPlace(HalfSquares):
        def read(self, x):
            x *= 2
            return x

    x, loss = X.clone(), InPlace()
    accumulate(loss, 0.3, x)
    assert torch.equal(x, X)
    assert x.grad is None
    assert not x.requires_grad
    assert all(torch.equal(target, X) for target in loss.targets)


def test_tells_if_the_second_loss_is_not_finite():
    total, _ = accumulate(HalfSquares(), 1e30)
    assert not total.isfinite()


def test_refuses_a_loss_without_gradient_in_the_rows():
    class OfRanks(HalfSquares):
        def read(self, x):
            return x.long().float()

    with pytest.raises(ValueError, match=r"adversarial_radius=0\.3 needs an encoder"):
        accumulate(OfRanks(), 0.3)


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(1.0, range(9)), (0.5, [0, 2, 4, 6, 8]), (0.25, [0, 4, 8]), (0.01, [0])],
)
def test_some_batches_of_an_epoch_are_taken_twice(fraction, expected):
    taken = []

    def record(name):
        return lambda batch, epoch: taken.append((name, batch, epoch))

    step = AdversarialStep(record("plain"), record("twice"), fraction=fraction, first_epoch=2)
    for epoch in range(4):
        for i in range(9):
            step(i, epoch)
    twice = [(batch, epoch) for name, batch, epoch in taken if name == "twice"]
    assert twice == [(i, epoch) for epoch in (2, 3) for i in expected]
    assert len(taken) == 36
