"""Which samples each of several members leaves out."""

import pytest
import torch

from sknca._sparse_rows import SparseRows
from sknca.data import Batch, RowsInMemory, TrainingData, deal_parts


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("n_parts", [2, 3, 5])
def test_parts_are_equal_and_stratified(n_parts):
    labels = torch.tensor([0] * 61 + [1] * 33 + [-1] * 20 + [2] * 9)[torch.randperm(123)]
    parts = deal_parts(labels, n_parts, generator())
    assert set(parts.tolist()) == set(range(n_parts))
    sizes = parts.bincount()
    assert sizes.max() - sizes.min() <= 1
    for label in (-1, 0, 1, 2):
        sizes = parts[labels == label].bincount(minlength=n_parts)
        assert sizes.max() - sizes.min() <= 1
    assert torch.equal(parts, deal_parts(labels, n_parts, generator()))
    assert not torch.equal(parts, deal_parts(labels, n_parts, generator(1)))


@pytest.mark.parametrize("grouped", [False, True])
def test_two_samples_of_a_class_are_left_to_each_member(grouped):
    for seed in range(5):
        labels = torch.tensor([0] * 50 + [1] * 1 + [2] * 2 + [3] * 3 + [4] * 4)
        groups = torch.arange(60) // 2 if grouped else None
        parts = deal_parts(labels, 3, generator(seed), groups)
        for part in range(3):
            kept = labels[parts != part].bincount(minlength=5)
            assert (kept >= torch.tensor([2, 1, 2, 2, 2])).all()
        assert (parts[labels == 1] == -1).all()
        assert (parts[labels == 2] == -1).all()
        if grouped:
            assert torch.equal(parts[::2], parts[1::2])
        else:
            assert (parts[labels != 0] >= 0).sum() >= 3


def test_groups_of_all_sizes():
    sizes = torch.tensor([1, 2, 3, 5, 8, 13, 21, 34] * 6)
    groups = torch.arange(len(sizes)).repeat_interleave(sizes)
    labels = torch.randint(4, (len(groups),), generator=generator(3))
    parts = deal_parts(labels, 4, generator(), groups)
    for group in groups.unique():
        assert len(parts[groups == group].unique()) == 1
    shares = parts.bincount() / len(groups)
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.02, rtol=0)
    for label in range(4):
        shares = parts[labels == label].bincount() / (labels == label).sum()
        torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.06, rtol=0)


def test_batches_say_what_each_member_learns_from():
    x = torch.arange(12.0).view(6, 2)
    y, weight = torch.arange(6), torch.rand(6)
    parts = torch.tensor([0, 1, -1, 0, 1, 2])
    source = RowsInMemory(x, torch.device("cpu"))
    data = TrainingData(source, y, weight, torch.arange(1, 6), parts=parts, n_members=3)
    first, second = data.batches([torch.tensor([0, 4]), torch.tensor([1, 2, 3])])
    assert first.of_member(0).y.tolist() == [1, 5]
    assert first.of_member(1).y.tolist() == [5]
    assert first.of_member(2).y.tolist() == [1]
    assert second.of_member(0).y.tolist() == [2, 4]
    taken = data.take_at_home(torch.tensor([5, 3]))._replace(target=2 * x[[5, 3]])
    one = taken.of_member(2)
    assert one.y.tolist() == [3]
    assert torch.equal(one.x, x[[3]])
    assert torch.equal(one.weight, weight[[3]])
    assert torch.equal(one.target, 2 * x[[3]])
    assert one.seen is None


def test_without_parts_members_learn_from_the_whole_batch():
    batch = Batch(torch.randn(3, 2), torch.arange(3))
    assert batch.of_member(1) is batch


def test_some_sparse_rows():
    x = torch.tensor([[0.0, 1, 2], [0, 0, 0], [3, 0, 0], [4, 5, 6]])
    places = x.nonzero()
    values = x[x != 0].requires_grad_()
    rows = SparseRows(values, places[:, 1], torch.tensor([0, 2, 2, 3, 6]), 3)
    for chosen in ([3, 1, 0], [1], [], [2, 2]):
        some = rows.index_select(0, torch.tensor(chosen, dtype=torch.long))
        assert torch.equal(some.to_dense(), x[chosen])
    rows.index_select(0, torch.tensor([3, 0])).to_dense().square().sum().backward()
    assert values.grad.tolist() == [2, 4, 0, 8, 10, 12]
