import pytest
import torch

from sknca.data import RowsInMemory, TrainingData


def make(weight=True, device="cpu", x_device="cpu"):
    x = torch.arange(10.0)[:, None].repeat(1, 3)
    return TrainingData(
        RowsInMemory(x.to(x_device), torch.empty(0, device=device).device),
        (torch.arange(10) % 2).to(device),
        (torch.arange(10) / 10).to(device) if weight else None,
        torch.tensor([1, 3, 5, 6, 8]),
    )


def test_labels_are_of_the_rows_trained_on():
    assert make().labels.tolist() == [1, 1, 1, 0, 0]


def test_take_goes_by_all_rows():
    x, y, weight, *_ = make().take(torch.tensor([9, 0]))
    assert x[:, 0].tolist() == [9, 0]
    assert y.tolist() == [1, 0]
    assert weight.tolist() == pytest.approx([0.9, 0])


@pytest.mark.parametrize("weight", [True, False])
def test_batches_go_by_the_rows_trained_on(weight):
    places = [torch.tensor([4, 0]), torch.tensor([2, 1, 3])]
    batches = list(make(weight).batches(places))
    assert [batch.x[:, 0].tolist() for batch in batches] == [[8, 1], [5, 3, 6]]
    assert [batch.y.tolist() for batch in batches] == [[0, 1], [1, 1, 0]]
    if weight:
        assert batches[1].weight.tolist() == pytest.approx([0.5, 0.3, 0.6])
    else:
        assert [batch.weight for batch in batches] == [None, None]


@pytest.mark.cuda
@pytest.mark.parametrize("x_device", ["cpu", "cuda"])
def test_cuda_batches(x_device):
    places = [torch.tensor([4, 0]), torch.tensor([2, 1, 3])]
    here = make().batches(places)
    for expected, got in zip(here, make(True, "cuda", x_device).batches(places), strict=True):
        assert all(t.is_cuda for t in got[:3])
        assert all(torch.equal(a, b.cpu()) for a, b in zip(expected[:3], got[:3], strict=True))
