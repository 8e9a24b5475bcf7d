import threading
import types
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch

from sknca.data._samplers import SharedBatches, class_aware_batches, class_aware_sample


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_labels(n, n_classes, seed=0):
    # Squared, so that some classes are rare; relabeled, so that none is empty.
    draws = torch.rand(n, generator=generator(seed)) ** 2 * n_classes
    return draws.long().unique(return_inverse=True)[1]


@pytest.mark.parametrize("n_classes", [1, 2, 10, 150])
@pytest.mark.parametrize(("n", "batch_size"), [(257, 256), (1000, 100), (999, 7), (513, 2)])
class TestBatches:
    def test_every_row_comes_once(self, n, batch_size, n_classes):
        batches = class_aware_batches(random_labels(n, n_classes), batch_size, generator())
        assert torch.cat(list(batches)).sort().values.tolist() == list(range(n))

    def test_sizes_are_even(self, n, batch_size, n_classes):
        batches = class_aware_batches(random_labels(n, n_classes), batch_size, generator())
        sizes = [len(batch) for batch in batches]
        assert len(sizes) <= -(-n // batch_size)
        assert max(sizes) <= batch_size + 2
        assert min(sizes) >= max(2, n // len(sizes) - 3)

    def test_no_row_is_without_a_positive(self, n, batch_size, n_classes):
        labels = random_labels(n, n_classes)
        has_positive = labels.bincount()[labels] > 1
        for batch in class_aware_batches(labels, batch_size, generator()):
            here = labels[batch].bincount(minlength=int(labels.max()) + 1)
            assert (here[labels[batch]] >= 2)[has_positive[batch]].all()

    def test_drawn_anew_from_the_generator(self, n, batch_size, n_classes):
        labels = random_labels(n, n_classes)
        one = generator()
        first = torch.cat(list(class_aware_batches(labels, batch_size, one)))
        second = torch.cat(list(class_aware_batches(labels, batch_size, one)))
        again = torch.cat(list(class_aware_batches(labels, batch_size, generator())))
        assert not first.equal(second)
        assert first.equal(again)


def test_full_batch_where_all_rows_fit():
    (batch,) = class_aware_batches(random_labels(100, 5), 100, generator())
    assert batch.tolist() == list(range(100))


def test_pairs_change_their_company():
    labels = torch.zeros(1000, dtype=torch.long)
    positives = set()
    one = generator()
    for _ in range(50):
        batch = next(b for b in class_aware_batches(labels, 10, one) if (b == 0).any())
        positives.update(batch.tolist())
    assert len(positives) > 200


@pytest.mark.parametrize("n_labeled", [2, 20, 400])
def test_half_of_each_batch_has_labels_where_few_rows_have(n_labeled):
    labels = torch.full((1000,), -1)
    labels[:n_labeled] = torch.arange(n_labeled) % 4 // (1 if n_labeled > 4 else 4)
    batches = class_aware_batches(labels, 64, generator())
    drawn = torch.cat(batches)
    assert drawn[labels[drawn] < 0].sort().values.tolist() == list(range(n_labeled, 1000))
    assert set(drawn[labels[drawn] >= 0].tolist()) == set(range(n_labeled))
    for batch in batches:
        here = labels[batch]
        assert (here >= 0).sum() >= min(n_labeled, 29)
        assert (here < 0).sum() <= 32
        assert (here[here >= 0].bincount()[here[here >= 0]] >= 2).all()


class TestSample:
    def test_all_where_there_are_no_more(self):
        assert class_aware_sample(random_labels(50, 4), 50, generator()).tolist() == list(range(50))

    def test_proportions_with_two_of_each(self):
        labels = torch.tensor([0] * 6000 + [1] * 3000 + [2] * 3 + [3])
        sample = class_aware_sample(labels, 900, generator())
        assert labels[sample].bincount().tolist() == [600, 300, 2, 1]
        assert len(sample.unique()) == len(sample)


class TestOneClassPrevails:
    labels = torch.tensor([1] * 5 + [0] * 4000 + [2] * 3)

    def test_it_is_thinned_and_the_others_are_not(self):
        rows = torch.cat(list(class_aware_batches(self.labels, 64, generator())))
        counts = self.labels[rows].bincount()
        assert counts.tolist() == [20 * 8, 5, 3]
        assert len(rows.unique()) == len(rows)

    def test_another_part_of_it_comes_in_the_next_epoch(self):
        one = generator()
        epochs = [torch.cat(list(class_aware_batches(self.labels, 64, one))) for _ in range(50)]
        assert not epochs[0].sort().values.equal(epochs[1].sort().values)
        assert len(torch.cat(epochs).unique()) > 3000

    def test_every_batch_can_teach(self):
        for batch in class_aware_batches(self.labels, 64, generator()):
            assert len(self.labels[batch].unique()) > 1

    def test_a_batch_is_filled(self):
        labels = torch.tensor([1, 1] + [0] * 4000)
        (batch,) = class_aware_batches(labels, 256, generator())
        assert labels[batch].bincount().tolist() == [254, 2]

    def test_a_single_class_is_taken_whole(self):
        rows = torch.cat(list(class_aware_batches(torch.zeros(900).long(), 64, generator())))
        assert len(rows) == 900

    def test_so_is_a_class_among_rows_without_a_label(self):
        labels = torch.tensor([1] * 5 + [0] * 90 + [-1] * 5000)
        rows = torch.cat(list(class_aware_batches(labels, 64, generator())))
        assert set(rows.tolist()) == set(range(len(labels)))


class Exchange:
    """What two processes tell each other, each in a thread."""

    size = 2

    def __init__(self):
        self.barrier = threading.Barrier(2)
        self.values = [None, None]

    def of(self, rank):
        return types.SimpleNamespace(
            size=2, rank=rank, exchange=partial(self.exchange, rank), begin_steps=lambda: None
        )

    def exchange(self, rank, value):
        self.values[rank] = value
        self.barrier.wait(10)
        values = list(self.values)
        self.barrier.wait(10)
        return values


def shared(labels, batch_size, n_epochs=2):
    """The places and shares of some epochs, of two processes with these labels."""
    exchange = Exchange()

    def of_process(rank):
        generator = torch.Generator().manual_seed(rank)
        batches = SharedBatches(labels[rank], batch_size, generator, exchange.of(rank))
        return [batches() for _ in range(n_epochs)]

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(of_process, range(2)))


@pytest.mark.parametrize("n", [(100, 100), (100, 30), (200, 3), (5, 4), (64, 0), (200, 1)])
def test_processes_have_as_many_batches_and_each_row_once(n):
    labels = [torch.arange(k) % 3 for k in n]
    for rank, epochs in enumerate(shared(labels, 16)):
        for places, shares in epochs:
            assert len(places) == len(shares) == max(-(-max(n) // 16), 1)
            assert [some.sizes[rank] for some in shares] == [len(place) for place in places]
            assert torch.cat(places).sort().values.equal(torch.arange(n[rank]))
            assert max(len(place) for place in places) <= 16 + 3


def test_a_dominant_class_is_thinned_by_the_samples_of_all_processes():
    # In the first process alone, it would be dominant.
    mixed = [torch.tensor([0] * 2000 + [1] * 10), torch.tensor([1] * 2000)]
    for epochs, some in zip(shared(mixed, 16, 1), mixed, strict=True):
        assert len(torch.cat(epochs[0][0])) == len(some)
    # In both together it is: an epoch takes 20 times as many as of the others.
    rare = [torch.tensor([0] * 3000 + [1] * 10), torch.tensor([0] * 1000 + [1] * 20)]
    taken = [torch.cat(epochs[0][0]) for epochs in shared(rare, 16, 1)]
    kept = [int((labels[rows] == 0).sum()) for labels, rows in zip(rare, taken, strict=True)]
    assert kept == [450, 150]


def test_half_of_each_part_is_labeled_if_few_samples_are():
    labels = [torch.tensor([0, 1] * 5 + [-1] * 190), torch.tensor([0, 1] * 10 + [-1] * 90)]
    for epochs, some in zip(shared(labels, 20, 1), labels, strict=True):
        places, _ = epochs[0]
        assert len(places) == 19
        of_unlabeled = torch.cat([place[some[place] < 0] for place in places])
        assert of_unlabeled.sort().values.equal((some < 0).nonzero().squeeze(1))
        assert all((some[place] >= 0).any() for place in places if len(place))
