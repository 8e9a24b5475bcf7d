"""The unsquared Euclidean distance, where a square root differs from what it is the root of."""

import pytest
import reference
import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import NCALoss, TripletMarginLoss
from pytorch_metric_learning.miners import TripletMarginMiner

from sknca import SNNLEmbedding
from sknca.functional import (
    Metric,
    mine_triplets,
    soft_nearest_neighbor_loss,
    soft_neighbor_probabilities,
    squared_distances,
    triplet_loss,
)
from sknca.functional._metrics import METRICS
from sknca.metrics import entanglement_score, mean_average_precision_at_r, recall_at_k

EUCLIDEAN = METRICS["euclidean"]

#: The square root of a form that is not invariant to a shift: twice the sine of half an angle.
HALF_ANGLE = Metric(
    constant=2, squares=0, product=2, temperature=0.3, margin=0.3, unit_length=True, root=True
)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(30, 3, dtype=torch.float64, generator=generator)
    return z.requires_grad_(), torch.arange(30) % 4


def clusters(spread, dtype=torch.float32):
    """Ten classes of eight codes that almost coincide, far from the center."""
    generator = torch.Generator().manual_seed(0)
    centers = 30 * torch.randn(10, 16, dtype=torch.float64, generator=generator)
    z = centers.repeat_interleave(8, 0)
    z = z + spread * torch.randn(80, 16, dtype=torch.float64, generator=generator)
    return z.to(dtype), torch.arange(10).repeat_interleave(8)


def test_distances_are_roots(batch):
    z = batch[0].detach()
    torch.testing.assert_close(EUCLIDEAN.distances(z[:9], z), squared_distances(z[:9], z).sqrt())
    torch.testing.assert_close(EUCLIDEAN.of_pairs(z[:9], z[9:18]), (z[:9] - z[9:18]).norm(dim=1))


def test_gradients_of_distances(batch):
    z, _ = batch
    other = z.detach().flip(0)[:9].requires_grad_()
    for metric in (EUCLIDEAN, HALF_ANGLE):
        assert torch.autograd.gradcheck(metric.distances, (other, z[10:15]))
        pairs = [metric.prepare(some) for some in (other, z[:9])]
        assert torch.autograd.gradcheck(metric.of_pairs, pairs)
        assert torch.autograd.gradgradcheck(metric.distances, (other, z[10:15]))


def test_codes_that_meet_pull_nothing():
    z = torch.tensor([[1.0, 2.0], [1.0, 2.0], [4.0, 6.0]], requires_grad=True)
    distances = EUCLIDEAN.distances(z, z)
    assert distances.tolist() == [[0, 0, 5], [0, 0, 5], [5, 5, 0]]
    for d in (distances[0, 1], EUCLIDEAN.of_pairs(z[:1], z[1:2]).sum()):
        (gradient,) = torch.autograd.grad(d, z, retain_graph=True)
        assert torch.equal(gradient, torch.zeros(3, 2))


def test_integers_are_exact():
    z = torch.randint(-900, 900, (30, 4), generator=torch.Generator().manual_seed(0)).float()
    z[7] = z[3] + torch.tensor([1.0, 0, 0, 0])
    exact = (z[:, None].double() - z).square().sum(2)
    assert torch.equal(EUCLIDEAN.distances(z, z), exact.float().sqrt())
    y = torch.arange(30) % 5
    mined = mine_triplets(z, y, metric="euclidean", margin=30.0)
    expected = reference.triplets(z.tolist(), y.tolist(), 30.0, "semihard", "euclidean")
    assert sorted(zip(*(i.tolist() for i in mined), strict=True)) == sorted(expected)


@pytest.mark.parametrize("block_size", [None, 11])
@pytest.mark.parametrize("temperature", [0.3, 30.0])
def test_a_far_positive_is_pulled_by_one_over_the_temperature(block_size, temperature):
    z = torch.tensor([[0.0], [0.1], [1e4], [1e4 + 1]], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 1, 0, 1])
    losses = soft_nearest_neighbor_loss(
        z, y, temperature, metric="euclidean", reduction="none", block_size=block_size
    )
    (gradient,) = torch.autograd.grad(losses[2], z)
    # Its only positive is at 0 and its nearest negative next to it.
    assert abs(gradient[0].item()) == pytest.approx(1 / temperature, rel=1e-6)


@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1.0])
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("block_size", [None, 11])
def test_codes_that_almost_coincide_have_gradients_of_ordinary_size(spread, mixed, block_size):
    z, y = clusters(spread)
    if mixed:  # so that codes that almost coincide are positives and negatives
        y = y.flatten().reshape(10, 8).T.flatten()
    how = {"metric": "euclidean", "block_size": block_size, "reduction": "sum"}
    z.requires_grad_()
    t = torch.tensor(0.5, requires_grad=True)
    loss = soft_nearest_neighbor_loss(z, y, t, **how)
    loss.backward()
    assert t.grad.isfinite()
    exact = soft_nearest_neighbor_loss(z.double(), y, 0.5, **how)
    # Rounding of squared distances moves a distance by at most about sqrt(eps) of the codes.
    largest = z.detach().norm(dim=1).max()
    assert loss.item() == pytest.approx(exact.item(), abs=80 * 1e-3 * largest.item() / 0.5)
    # Each row has a pull of at most 2 / T on its own code, and as much on its neighbors.
    assert z.grad.norm(dim=1).max() <= 80 * 4 / 0.5
    assert z.grad.norm() <= 4 * 80**0.5 / 0.5
    for strategy in ("all", "hard"):
        (gradient,) = torch.autograd.grad(
            triplet_loss(z, y, metric="euclidean", strategy=strategy, margin=100.0), z
        )
        assert gradient.norm(dim=1).max() <= 4


@pytest.mark.parametrize("temperature", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("scale", [1e-25, 1e-15, 1e15])
def test_finite_at_any_size(scale, temperature):
    z, y = clusters(1e-3)
    z = (scale * z).requires_grad_()
    z.data[3:6] = z.data[2]
    t = torch.tensor(temperature, requires_grad=True)
    for block_size in (None, 11):
        loss = soft_nearest_neighbor_loss(z, y, t, metric="euclidean", block_size=block_size)
        assert all(g.isfinite().all() for g in torch.autograd.grad(loss, (z, t)))
        assert loss.isfinite()
    loss = triplet_loss(z, y, metric="euclidean", margin="soft", strategy="all")
    assert torch.autograd.grad(loss, z)[0].isfinite().all()


@pytest.mark.parametrize("strategy", ["all", "semihard", "hard"])
def test_the_root_of_another_form(batch, strategy):
    z, y = batch
    unit = torch.nn.functional.normalize(z)
    for given, expected in (
        [soft_nearest_neighbor_loss(one, y, 0.4, metric=m, block_size=7) for one, m in pair]
        for pair in [[(z, HALF_ANGLE), (unit, "euclidean")]]
    ):
        torch.testing.assert_close(given, expected)
    probabilities = soft_neighbor_probabilities(z, 0.4, y, metric=HALF_ANGLE).sum(1)
    losses = soft_nearest_neighbor_loss(z, y, 0.4, metric=HALF_ANGLE, reduction="none")
    torch.testing.assert_close((-losses).exp(), probabilities)
    assert torch.autograd.gradcheck(
        lambda z: soft_nearest_neighbor_loss(z, y, 0.4, metric=HALF_ANGLE, block_size=7), z
    )
    given = triplet_loss(z, y, margin=0.2, strategy=strategy, metric=HALF_ANGLE)
    expected = triplet_loss(unit, y, margin=0.2, strategy=strategy, metric="euclidean")
    torch.testing.assert_close(given, expected)
    torch.testing.assert_close(*(torch.autograd.grad(loss, z)[0] for loss in (given, expected)))
    assert HALF_ANGLE.largest == 2


def test_a_checkpoint_of_a_metric_that_is_no_root_means_the_same():
    assert "root" not in repr(METRICS["cosine"])
    assert repr(EUCLIDEAN).endswith("complex_rows=False, root=True)")
    assert eval(repr(EUCLIDEAN)) == EUCLIDEAN


@pytest.mark.parametrize("margin", [0.3, 2.0])
@pytest.mark.parametrize("strategy", ["all", "semihard"])
def test_matches_pytorch_metric_learning(batch, margin, strategy):
    z, y = batch
    distance = LpDistance(normalize_embeddings=False)
    mined = TripletMarginMiner(margin, type_of_triplets=strategy, distance=distance)(z, y)
    pairs = (
        (
            triplet_loss(z, y, margin=margin, strategy=strategy, metric="euclidean"),
            TripletMarginLoss(margin, distance=distance)(z, y, mined),
        ),
        (
            soft_nearest_neighbor_loss(z, y, 0.5, metric="euclidean"),
            NCALoss(softmax_scale=2, distance=distance)(z, y),
        ),
    )
    for losses in pairs:
        torch.testing.assert_close(*losses)
        torch.testing.assert_close(*(torch.autograd.grad(loss, z)[0] for loss in losses))


def test_in_an_embedding(iris):
    X, y = iris
    settings = {"metric": "euclidean", "layers": "all", "random_state": 0, "max_iter": 4}
    embedding = SNNLEmbedding(2, temperature_schedule="learned", **settings).fit(X, y)
    assert embedding.loss_ < embedding.loss_curve_[0]
    codes = embedding.transform(X)
    entanglement = embedding.layer_entanglement(X, y, metric="euclidean")
    expected = entanglement_score(codes, y, metric="euclidean", temperature=0.3)
    assert entanglement["code"] == pytest.approx(expected, rel=1e-5)
    for score in (recall_at_k, mean_average_precision_at_r):
        assert score(codes, y, metric="euclidean") == score(codes, y)
