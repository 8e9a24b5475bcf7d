import pytest
import torch

from sknca.data import RowsInMemory, TrainingData, hold_out, one_of_each


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


class TestGroups:
    @pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
    @pytest.mark.parametrize("seed", range(5))
    def test_whole_groups_are_held_out(self, fraction, seed):
        groups = torch.arange(400) // 5 + 7
        labels = groups % 3
        train, held_out = hold_out(labels, fraction, generator(seed), groups)
        assert torch.cat([train, held_out]).sort().values.tolist() == list(range(400))
        assert not set(groups[train].tolist()) & set(groups[held_out].tolist())
        assert len(held_out) == max(round(80 * fraction), 1) * 5
        counts = labels[held_out].bincount(minlength=3)
        assert counts.max() - counts.min() <= 10

    def test_classes_are_held_out_in_proportion_as_far_as_groups_allow(self):
        groups = torch.arange(2000) // 20
        labels = (groups >= 80).long()
        parts = [labels[hold_out(labels, 0.2, generator(s), groups)[1]] for s in range(5)]
        assert all(0.15 <= part.double().mean() <= 0.25 for part in parts)

    def test_a_class_keeps_a_group(self):
        labels = torch.tensor([0] * 50 + [1] * 50 + [2] * 10 + [3] * 10)
        groups = torch.tensor([*range(10)] * 10 + [*range(20, 30)] + [40] * 5 + [41] * 5)
        for seed in range(20):
            train, held_out = hold_out(labels, 0.6, generator(seed), groups)
            assert set(labels[train].tolist()) == {0, 1, 2, 3}
            assert not set(groups[train].tolist()) & set(groups[held_out].tolist())

    def test_nothing_can_be_held_out(self):
        labels = torch.arange(30) % 3
        train, held_out = hold_out(labels, 0.1, generator(), labels)
        assert len(train) == 30
        assert len(held_out) == 0

    def test_labeled_samples_are_among_the_held_out_ones(self):
        groups = torch.arange(200) // 2
        labels = torch.where(groups < 8, groups % 2, -1)
        for seed in range(10):
            _, held_out = hold_out(labels, 0.1, generator(seed), groups)
            assert (labels[held_out] >= 0).any()

    def test_draws_from_the_generator(self):
        groups, labels = torch.arange(100) // 4, torch.arange(100) % 4
        splits = {tuple(hold_out(labels, 0.2, generator(s), groups)[1].tolist()) for s in range(9)}
        assert len(splits) > 5

    def test_one_sample_of_each_class_of_a_group(self):
        groups = torch.arange(60) // 6
        labels = torch.arange(60) % 3 - 1
        rows = torch.arange(5, 60)
        source = RowsInMemory(torch.zeros(60, 1), torch.device("cpu"))
        data = TrainingData(source, labels, None, rows, groups=groups)
        found = {tuple(one_of_each(data, generator(seed)).rows.tolist()) for seed in range(9)}
        assert len(found) > 5
        for some in found:
            units = {(int(groups[row]), int(labels[row])) for row in some}
            assert len(some) == len(units) == 28
            assert set(some) <= set(rows.tolist())
        data = TrainingData(source, labels, None, rows)
        assert one_of_each(data, generator()) is data
