import math

import pytest
import torch
from torch import nn

from sknca.data import Batch
from sknca.functional import _triplet_loss, triplet_loss
from sknca.objectives import TripletObjective


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(30, 4, generator=generator), torch.arange(30) % 3


def test_loss_is_that_of_the_codes(rows):
    x, y = rows
    network = nn.Linear(4, 2)
    weight = torch.linspace(0.5, 2, 30)
    objective = TripletObjective(network, metric="cosine", margin=0.3, mining="all")
    total, parts = objective(Batch(x, y, weight), 0)
    expected = triplet_loss(
        network(x), y, margin=0.3, strategy="all", metric="cosine", sample_weight=weight
    )
    torch.testing.assert_close(total, expected)
    assert parts == {}


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cosine"])
@pytest.mark.parametrize("margin", [0.5, "soft"])
@pytest.mark.parametrize("mining", ["random", "hard"])
@pytest.mark.parametrize("weighted", [False, True])
def test_held_out_rows_are_between_their_nearest_neighbors(rows, metric, margin, mining, weighted):
    x, y = rows
    x[20:, 0] += 1
    held_out, training = slice(20, None), slice(None, 20)
    y[20] = 7  # a class that is not trained on: no loss
    weight = torch.linspace(0.5, 2, 10) if weighted else None
    objective = TripletObjective(nn.Identity(), metric=metric, margin=margin, mining=mining)
    loss = objective.held_out(
        Batch(x[held_out], y[held_out], weight), Batch(x[training], y[training])
    )

    total = weights = 0.0
    for i in range(21, 30):
        if metric == "cosine":
            d = 1 - torch.cosine_similarity(x[i], x[training])
        else:
            d = (x[i] - x[training]).square().sum(1)
            d = d.sqrt() if metric == "euclidean" else d
        gap = (d[y[training] == y[i]].min() - d[y[training] != y[i]].min()).item()
        row = math.log1p(math.exp(gap))  # soft, whatever the margin
        of_row = weight[i - 20].item() if weighted else 1.0
        total, weights = total + of_row * row, weights + of_row
    assert loss.item() == pytest.approx(total / weights, rel=1e-5)
    assert not loss.requires_grad


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cosine"])
@pytest.mark.parametrize("entries", [2**20, 90])
def test_without_training_rows_held_out_rows_look_among_themselves(
    rows, metric, entries, monkeypatch
):
    x, y = rows
    y[5] = 9  # the only one of its class: no loss
    monkeypatch.setattr(_triplet_loss, "_BLOCK_ENTRIES", entries)  # blocks of 3 rows
    objective = TripletObjective(nn.Identity(), metric=metric, margin=1.0, mining="all")
    loss = objective.held_out(Batch(x, y), None)
    losses = []
    for i in range(len(x)):
        if metric == "cosine":
            d = 1 - torch.cosine_similarity(x[i], x)
        else:
            d = (x[i] - x).square().sum(1)
            d = d.sqrt() if metric == "euclidean" else d
        is_positive = (y == y[i]) & (torch.arange(len(x)) != i)
        if is_positive.any():
            losses.append(torch.nn.functional.softplus(d[is_positive].min() - d[y != y[i]].min()))
    assert loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)


def test_held_out_without_a_triplet_is_zero(rows):
    x, y = rows
    objective = TripletObjective(nn.Identity(), metric="sqeuclidean", margin=1.0, mining="all")
    assert objective.held_out(Batch(x, y), Batch(x, torch.zeros_like(y))) == 0
    assert objective.held_out(Batch(x, y + 5), Batch(x, y)) == 0


def test_codes_that_are_not_finite_are_no_zero_loss(rows):
    x, y = rows
    objective = TripletObjective(nn.Identity(), metric="sqeuclidean", margin=1.0, mining="all")
    assert objective.held_out(Batch(x * torch.nan, y), Batch(x, y)).isnan()
