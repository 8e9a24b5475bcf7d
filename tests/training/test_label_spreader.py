from dataclasses import replace

import torch
from torch.testing import assert_close

from sknca.data import RowsInMemory, TrainingData
from sknca.training import LabelSpreader, _label_spreader


def make_data(n=60):
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    true = (torch.arange(n) % 2).long()
    x[true == 1] += 8
    y = torch.full((n,), -1)
    y[:6] = true[:6]
    return TrainingData(RowsInMemory(x, torch.device("cpu")), y, None, torch.arange(n)), true


def test_labels_are_those_of_the_neighborhood():
    data, true = make_data()
    spreader = LabelSpreader(lambda x: x, 2, 10)
    taught = spreader.begin_epoch(data, 0)
    assert torch.equal(taught.y, true)
    assert (taught.confidence[:6] == 1).all()
    assert taught.confidence.min() > 0.9
    assert torch.equal(spreader.transduction(data), true)
    batch = taught.take(torch.tensor([50, 3]))
    assert torch.equal(batch.y, true[[50, 3]])
    assert torch.equal(batch.label_weight, taught.confidence[[50, 3]])


def test_they_are_spread_at_even_steps_and_at_the_start_among_the_rows():
    data, _ = make_data()
    seen = []
    spreader = LabelSpreader(
        lambda x: (seen.append("codes"), x)[1],
        2,
        10,
        start=lambda x: (seen.append("rows"), x)[1],
    )
    for epoch in range(10):
        spreader.begin_epoch(data, epoch)
    assert seen == ["rows", *["codes"] * 4]


def test_samples_that_are_held_out_are_not_taught():
    data, true = make_data()
    rows = torch.arange(0, 60, 3)
    part = replace(data, rows=rows)
    taught = LabelSpreader(lambda x: x, 2, 10).begin_epoch(part, 0)
    others = torch.ones(60, dtype=torch.bool)
    others[rows] = False
    assert torch.equal(taught.y[rows], true[rows])
    assert torch.equal(taught.y[others], data.y[others])


def test_samples_beyond_the_graph(monkeypatch):
    monkeypatch.setattr(_label_spreader, "_MOST_IN_GRAPH", 24)
    data, true = make_data()
    spreader = LabelSpreader(lambda x: x, 2, 10)
    assert torch.equal(spreader.begin_epoch(data, 0).y, true)


def test_a_state_goes_on():
    data, _ = make_data()
    one, other = (LabelSpreader(lambda x: x, 2, 10) for _ in range(2))
    assert one.state_dict() == {}
    one.begin_epoch(data, 0)
    other.load_state_dict(one.state_dict(), torch.device("cpu"))
    moved = replace(data, x=RowsInMemory(data.x.x.flip(0), torch.device("cpu")))
    assert_close(other.begin_epoch(moved, 1).confidence, one.confidence)


def test_given_labels_of_every_class_are_certain_and_stay():
    """Whatever their neighbors say: here each sample is beside one of another class."""
    x = torch.arange(40).div(2, rounding_mode="floor")[:, None] + torch.arange(40)[:, None] * 1e-3
    y = torch.arange(40) % 2
    y[30:] = -1
    data = TrainingData(RowsInMemory(x.float(), torch.device("cpu")), y, None, torch.arange(40))
    spreader = LabelSpreader(lambda x: x, 2, 10)
    taught = spreader.begin_epoch(data, 0)
    assert torch.equal(taught.y[:30], y[:30])
    assert (taught.confidence[:30] == 1).all()
    assert (taught.confidence[30:] < 1).all()
    assert torch.equal(spreader.transduction(data)[:30], y[:30])


def test_a_state_has_what_was_spread():
    data, true = make_data()
    one, other = (LabelSpreader(lambda x: x, 2, 10) for _ in range(2))
    one.begin_epoch(data, 0)
    state = one.state_dict()
    assert torch.equal(state["y"], true)
    assert torch.equal(state["confidence"], one.confidence)
    other.load_state_dict(state, torch.device("cpu"))
    assert torch.equal(other.y, true)
