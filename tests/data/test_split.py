import pytest
import torch

from sknca.data import hold_out


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_splits(fraction, seed):
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 2 + [3])
    train, held_out = hold_out(labels, fraction, generator(seed))
    assert torch.cat([train, held_out]).sort().values.tolist() == list(range(93))
    assert len(held_out) == min(-int(-93 * fraction // 1), 89)
    assert set(labels[held_out].tolist()) <= set(labels[train].tolist())
    counts = labels[held_out].bincount(minlength=4)
    assert counts[0] == pytest.approx(len(held_out) * 59 / 89, abs=1)
    assert counts[3] == 0


def test_rows_without_label_are_held_out_in_proportion():
    labels = torch.full((200,), -1)
    labels[[3, 5, 50, 51]] = torch.tensor([0, 0, 1, 1])
    for seed in range(5):
        _, held_out = hold_out(labels, 0.1, generator(seed))
        assert (labels[held_out] >= 0).sum() == 1
        assert (labels[held_out] < 0).sum() == 20


def test_draws_from_the_generator():
    labels = torch.arange(100) % 4
    splits = {tuple(hold_out(labels, 0.1, generator(seed))[1].tolist()) for seed in range(20)}
    assert len(splits) > 10
    assert len({row for split in splits for row in split}) > 60


def test_without_a_labeled_row_those_without_are_held_out():
    labels = torch.full((50,), -1)
    train, held_out = hold_out(labels, 0.2, generator())
    assert len(held_out) == 10
    assert torch.cat([train, held_out]).sort().values.tolist() == list(range(50))
