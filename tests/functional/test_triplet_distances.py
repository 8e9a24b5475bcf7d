import pytest
import torch
from live_memory import LiveMemory

from sknca.functional import (
    anchor_negative_distances,
    anchor_positive_distances,
    squared_l2_distance,
    triplet_margins,
)


@pytest.fixture
def batch():
    """Anchors, positives and a larger pool of negatives."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(n, 3, dtype=torch.float64, generator=generator) for n in (5, 5, 7))


class TestNotebook:
    """Its arrays, which are exact."""

    anchors = torch.zeros(5, 2)
    anchors[0] = 1
    negatives = torch.zeros(7, 2)
    negatives[1] = 1
    positives = torch.zeros(5, 2)
    positives[-1] = -0.5
    expected = torch.zeros(7, 5)
    expected[1], expected[:, 0], expected[1, 0] = 2, 2, 0

    def test_anchor_negative_distances(self):
        assert torch.equal(anchor_negative_distances(self.anchors, self.negatives), self.expected)

    def test_anchor_positive_distances(self):
        expected = torch.tensor([2.0, 0.0, 0.0, 0.0, 0.5])
        assert torch.equal(anchor_positive_distances(self.anchors, self.positives), expected)

    def test_margins(self):
        margins = triplet_margins(self.anchors, self.positives, self.negatives)
        expected = self.expected - torch.tensor([2.0, 0.0, 0.0, 0.0, 0.5])
        assert torch.equal(margins, expected)

    def test_squared_l2_distance(self):
        anchors = self.anchors.expand(7, 5, 2)
        negatives = self.negatives[:, None].expand(7, 5, 2)
        assert torch.equal(squared_l2_distance(anchors, negatives), self.expected)


def test_margins_are_the_difference(batch):
    anchors, positives, negatives = batch
    expected = anchor_negative_distances(anchors, negatives) - anchor_positive_distances(
        anchors, positives
    )
    torch.testing.assert_close(triplet_margins(*batch), expected)
    for j, negative in enumerate(negatives):
        for k, anchor in enumerate(anchors):
            direct = (anchor - negative).square().sum() - (anchor - positives[k]).square().sum()
            torch.testing.assert_close(expected[j, k], direct)


def test_gradients(batch):
    batch = tuple(z.requires_grad_() for z in batch)
    anchors, positives, negatives = batch
    assert torch.autograd.gradcheck(triplet_margins, batch)
    assert torch.autograd.gradcheck(anchor_negative_distances, (anchors, negatives))
    assert torch.autograd.gradcheck(anchor_positive_distances, (anchors, positives))


@pytest.mark.parametrize("offset", [0, 12345, 2**17])
def test_integers_stay_exact_under_an_offset(offset):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(0, 50, (n, 4), generator=generator).float() for n in (30, 40))
    distances = anchor_negative_distances(a + offset, b + offset)
    expected = squared_l2_distance(b[:, None], a[None])
    assert torch.equal(distances, expected)


@pytest.mark.parametrize("wants_gradient", [False, True])
def test_no_tensor_of_all_differences(wants_gradient):
    anchors = torch.randn(1024, 128, requires_grad=wants_gradient)
    positives, negatives = torch.randn(1024, 128), torch.randn(1024, 128)
    with LiveMemory() as memory:
        triplet_margins(anchors, positives, negatives)
    result = 4 * 1024 * 1024
    assert result <= memory.peak <= 1.5 * result


def test_distances_are_never_negative():
    z = torch.randn(500, 16, generator=torch.Generator().manual_seed(0))
    assert anchor_negative_distances(z, z).amin() >= 0


def test_dtypes():
    half = torch.full((1, 2), 300.0, dtype=torch.float16)
    assert squared_l2_distance(half, -half).tolist() == [720000.0]
    single, double = torch.randn(3, 2), torch.randn(3, 2, dtype=torch.float64)
    assert triplet_margins(single, double, single).dtype == torch.float64


def test_inputs_stay_as_they_are(batch):
    before = [z.clone() for z in batch]
    triplet_margins(*batch)
    assert all(map(torch.equal, before, batch))


def test_errors(batch):
    anchors, positives, negatives = batch
    with pytest.raises(ValueError, match=r"features, got shapes \(5, 3\) and \(5, 2\)"):
        squared_l2_distance(anchors, positives[:, :2])
    with pytest.raises(ValueError, match="a must have a floating-point dtype, got torch.uint8"):
        squared_l2_distance(anchors.to(torch.uint8), positives)
    with pytest.raises(TypeError, match="b must be a torch.Tensor, got ndarray"):
        squared_l2_distance(anchors, positives.numpy())
    with pytest.raises(ValueError, match="one sample for each anchor.*got 4 positives and 5"):
        triplet_margins(anchors, positives[:4], negatives)
    with pytest.raises(ValueError, match="anchors and negatives must have the same number"):
        anchor_negative_distances(anchors, negatives[:, :2])
    with pytest.raises(TypeError, match="negatives must be a torch.Tensor"):
        anchor_negative_distances(anchors, negatives.numpy())
