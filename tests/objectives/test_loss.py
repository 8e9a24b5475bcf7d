"""SNNLoss in a training loop of a user's own."""

import copy
import math

import pytest
import torch
from pytorch_metric_learning.losses import SupConLoss
from torch import nn

from sknca import SNNLoss
from sknca.functional import soft_nearest_neighbor_loss


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(60, 5, generator=generator)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0)


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cosine"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_is_the_function(batch, metric, reduction, weighted):
    z, y = batch
    weight = torch.linspace(0, 1, 60) if weighted else None
    settings = {"metric": metric, "reduction": reduction}
    loss = SNNLoss(0.3, **settings)
    expected = soft_nearest_neighbor_loss(z, y, 0.3, sample_weight=weight, **settings)
    assert torch.equal(loss(z, y, weight), expected)


def test_repr():
    assert repr(SNNLoss()) == "SNNLoss(temperature=1, metric='sqeuclidean')"
    assert repr(SNNLoss(0.25, metric="cosine", learn_temperature=True, reduction="sum")) == (
        "SNNLoss(temperature=0.25, metric='cosine', learn_temperature=True, reduction='sum')"
    )


class TestTemperature:
    @pytest.mark.parametrize("learn_temperature", [False, True])
    def test_can_be_set(self, batch, learn_temperature):
        loss = SNNLoss(2.0, learn_temperature=learn_temperature)
        loss.temperature = 0.5
        assert torch.as_tensor(loss.temperature).item() == pytest.approx(0.5)
        assert loss(*batch).item() == pytest.approx(SNNLoss(0.5)(*batch).item())

    def test_is_exact_where_it_is_not_learned(self):
        loss = SNNLoss(0.1)
        assert loss.temperature == 0.1
        assert not [*loss.parameters()]
        assert loss.state_dict() == {}

    def test_is_learned(self, batch):
        loss = SNNLoss(learn_temperature=True)
        optimizer = torch.optim.Adam(loss.parameters(), lr=0.1)
        losses = []
        for _ in range(5):
            optimizer.zero_grad()
            losses.append(loss(*batch))
            losses[-1].backward()
            optimizer.step()
        assert losses[-1] < losses[0]
        again = SNNLoss(learn_temperature=True)
        again.load_state_dict(loss.state_dict())
        assert again.temperature == loss.temperature != 1
        assert copy.deepcopy(loss).temperature == loss.temperature

    @pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf])
    def test_refuses(self, bad):
        for learn_temperature in (False, True):
            with pytest.raises(ValueError, match="temperature must be positive"):
                SNNLoss(bad, learn_temperature=learn_temperature)
        loss = SNNLoss(0.5)
        with pytest.raises(ValueError, match="temperature must be positive"):
            loss.temperature = bad
        assert loss.temperature == 0.5


@pytest.mark.parametrize("parameter", ["metric", "reduction"])
def test_refuses(parameter):
    with pytest.raises(ValueError, match=f"{parameter} must be one of .* got 'no'"):
        SNNLoss(**{parameter: "no"})


def test_beside_a_loss_of_pytorch_metric_learning(batch):
    x, y = batch
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 4))
    terms = nn.ModuleList(
        [SNNLoss(0.5, metric="cosine", learn_temperature=True), SupConLoss(temperature=0.1)]
    )
    optimizer = torch.optim.Adam([*network.parameters(), *terms.parameters()], lr=1e-2)
    history = []
    for _ in range(20):
        codes = network(x)
        losses = [term(codes, y) for term in terms]
        optimizer.zero_grad()
        sum(losses).backward()
        optimizer.step()
        history.append([loss.item() for loss in losses])
    assert all(last < first for first, last in zip(history[0], history[-1], strict=True))


def test_half_precision_under_autocast(batch):
    x, y = batch
    network = nn.Linear(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = SNNLoss()(network(x), y)
    assert loss.dtype == torch.float32
    loss.backward()
    assert network.weight.grad.isfinite().all()


@pytest.mark.cuda
@pytest.mark.parametrize("learn_temperature", [False, True])
def test_cuda(batch, learn_temperature):
    x, y = batch
    loss = SNNLoss(0.5, learn_temperature=learn_temperature)
    expected = loss(x, y)
    assert loss.cuda()(x.cuda(), y.cuda()).item() == pytest.approx(expected.item(), rel=1e-5)
