import pytest
import torch
from torch import nn

from sknca.training._adversarial import accumulate_gradient


class HalfSquares(nn.Module):
    """Half the sum of squares of x A': the gradient in a row x is (A' A) x, that in A is A x x'."""

    def __init__(self):
        super().__init__()
        self.A = nn.Parameter(torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, -1.0]]))
        self.seen = []
        self.targets = []

    def forward(self, x, y, weight, epoch, target=None):
        self.seen.append((x.detach().clone(), y, weight, epoch))
        self.targets.append(target)
        total = 0.5 * (x @ self.A.T).square().sum()
        return total, {"half": total / 2}


X = torch.tensor([[1.0, 0.0], [0.5, -2.0], [0.0, 0.0]])
Y, WEIGHT = torch.tensor([0, 1, 1]), torch.tensor([1.0, 0.5, 2.0])


def accumulate(loss, radius, x=X, spread=1.0):
    return accumulate_gradient(loss, x, Y, WEIGHT, 3, adversarial_radius=radius, spread=spread)


@pytest.mark.parametrize("radius", [0.0, 0.3])
def test_gradient_is_that_of_both_losses(radius):
    loss = HalfSquares()
    A = loss.A.detach()
    uphill = X @ A.T @ A
    lengths = uphill.norm(dim=1, keepdim=True)
    moved = X + radius * torch.where(lengths > 0, uphill / lengths, 0)
    total, parts = accumulate(loss, radius)
    expected = A @ X.T @ X + (A @ moved.T @ moved if radius else 0)
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
        def forward(self, x, *others):
            return super().forward(x / spread, *others)

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
        def forward(self, x, *others):
            x *= 2
            return super().forward(x, *others)

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
        def forward(self, x, *others):
            return super().forward(x.long().float(), *others)

    with pytest.raises(ValueError, match=r"adversarial_radius=0\.3 needs an encoder"):
        accumulate(OfRanks(), 0.3)
