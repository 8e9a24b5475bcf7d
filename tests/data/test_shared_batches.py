"""Batches of several processes, here of several threads."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from sknca.data._samplers import SharedBatches


class Thread:
    """What SharedBatches uses of the processes."""

    def __init__(self, rank, values, barrier):
        self.rank, self.size = rank, len(values)
        self._values, self._barrier = values, barrier
        self.n_begun = 0

    def exchange(self, value):
        self._values[self.rank] = value
        self._barrier.wait(10)
        received = list(self._values)
        self._barrier.wait(10)
        return received

    def begin_steps(self):
        self.n_begun += 1


def epochs(labels, batch_size, n_epochs=2):
    """Of each process: (places, sizes) of each epoch."""
    values, barrier = [None] * len(labels), Barrier(len(labels))

    def run(rank):
        ranks = Thread(rank, values, barrier)
        generator = torch.Generator().manual_seed(rank)
        draw = SharedBatches(labels[rank], batch_size, generator, ranks)
        drawn = [
            (places, [share.sizes for share in shares])
            for places, shares in (draw() for _ in range(n_epochs))
        ]
        assert ranks.n_begun == n_epochs
        return drawn

    with ThreadPoolExecutor(len(labels)) as pool:
        return list(pool.map(run, range(len(labels))))


def tensors(*labels):
    return [torch.tensor(some, dtype=torch.long) for some in labels]


@pytest.mark.parametrize(
    ("labels", "batch_size", "n_batches"),
    [
        (tensors([0, 1] * 10, [0, 1] * 10), 10, 2),
        (tensors([0, 1] * 10, [0, 1] * 5), 10, 2),
        (tensors([0, 1] * 15, [1, 2]), 10, 3),
        (tensors([0, 1] * 2, [0, 1] * 2), 10, 1),
        (tensors([0, 1] * 10, [0, 1] * 10, []), 4, 5),
        (tensors([0, 1, 0, 1, *[-1] * 12], [0, 1] * 4), 8, 3),
        (tensors([0, 1] * 3, [0, 1] * 3), 1, 3),
    ],
)
def test_all_have_as_many_batches_and_each_row_comes(labels, batch_size, n_batches):
    drawn = epochs(labels, batch_size)
    for epoch in range(2):
        sizes = [drawn[rank][epoch][1] for rank in range(len(labels))]
        assert all(some == sizes[0] for some in sizes)
        assert len(sizes[0]) == n_batches
        for rank, own in enumerate(labels):
            places, _ = drawn[rank][epoch]
            assert [len(batch) for batch in places] == [size[rank] for size in sizes[0]]
            rows = torch.cat(places).sort().values
            assert set(rows.tolist()) == set(range(len(own)))
            if (own >= 0).all():  # rows without a label may make others come twice
                assert len(rows) == len(own)


def test_fewer_batches_are_at_even_steps():
    ((places, sizes), *_), _ = epochs(tensors([0, 1], [0, 1] * 20), 10)
    assert [len(batch) for batch in places] == [2, 0, 0, 0]
    assert [size[0] for size in sizes] == [2, 0, 0, 0]
    assert sum(size[1] for size in sizes) == 40


def test_half_of_a_batch_has_labels():
    labels = torch.full((100,), -1)
    labels[:20] = torch.arange(20) % 2
    ((places, _), *_), _ = epochs([labels, labels.clone()], 20)
    assert len(places) == 8
    for batch in places:
        assert (labels[batch] >= 0).sum() == 10


@pytest.mark.parametrize("own", [[2000, 20], [1000, 10], [0, 5]])
def test_a_dominant_class_is_thinned_by_what_all_processes_have(own):
    labels = [torch.tensor([0] * n + [1] * m) for n, m in (own, [3000, 40])]
    total = own[0] + 3000, own[1] + 40
    drawn = epochs(labels, 20)
    kept = [(labels[rank][torch.cat(drawn[rank][0][0])] == 0).sum().item() for rank in range(2)]
    others = [(labels[rank][torch.cat(drawn[rank][0][0])] == 1).sum().item() for rank in range(2)]
    assert others == [own[1], 40]
    assert 0 <= sum(kept) - 20 * total[1] <= 2  # twenty for each sample of the others, rounded up
    assert abs(kept[0] / sum(kept) - own[0] / total[0]) < 0.02
    first, second = (torch.cat(drawn[1][epoch][0]) for epoch in range(2))
    assert set(first.tolist()) != set(second.tolist())  # others each epoch


def test_without_two_classes_none_is_thinned():
    for labels in (tensors([0] * 100, [0] * 50), tensors([-1] * 10, [-1] * 10)):
        drawn = epochs(labels, 10)
        for rank, own in enumerate(labels):
            assert len(torch.cat(drawn[rank][0][0])) == len(own)
