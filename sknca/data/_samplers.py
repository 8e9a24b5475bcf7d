"""Which samples form a batch: a sample needs another one of its class in its batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..distributed import Ranks, Shares

#: How many samples of one class an epoch uses for each sample of the others.
_MOST_TO_ANOTHER = 20


def class_aware_batches(
    labels: Tensor, batch_size: int, generator: torch.Generator
) -> Sequence[Tensor]:
    """Indices of the samples of each batch of one epoch, drawn anew in every call.

    Samples are paired at random within their class. (An odd sample makes a triple of the last pair,
    and the only sample of a class stays alone.) The pairs are shuffled and distributed to batches
    of equal size, without splitting a pair. Therefore every sample is used once, every class in a
    batch has at least two samples there if it has two at all, and no batch is a small rest or a
    single sample.

    If one class has more than 20 times as many samples as all others together, a part of it is left
    out, a different part in every call: batches without a sample of another class teach nothing.

    If less than half of the samples have a label, half of each batch is labeled: labeled samples
    are used several times, and samples without a label once.

    Parameters
    ----------
    labels : Tensor of shape (n,), on the CPU
        Class of each row, from 0; -1 if it has no label.

    batch_size : int
        Samples in a batch, at least 2. A batch may have up to three more, so that a triple is not
        split and no sample is alone.

    generator : torch.Generator
        On the CPU.

    Returns
    -------
    batches : sequence of Tensor
        Row indices.
    """
    n = len(labels)
    if n <= batch_size:
        return [torch.arange(n, device="cpu")]
    thinned = _thinned(labels, batch_size, generator)
    if len(thinned) < n:
        batches = class_aware_batches(labels[thinned], batch_size, generator)
        return [thinned[batch] for batch in batches]
    return _batches_of_all(labels, batch_size, generator)


def _batches_of_all(
    labels: Tensor, batch_size: int, generator: torch.Generator
) -> Sequence[Tensor]:
    """As `class_aware_batches`, of more than one batch, and no sample is left out."""
    n = len(labels)
    if 0 < int((labels >= 0).sum()) < n / 2:
        return _half_labeled_batches(labels, batch_size, generator)
    # In place, and deleted early: these arrays are what a fit of many samples takes of memory.
    order, grouped, unit, counts = shuffled_ranks(labels, generator)
    pairs = counts.div(2, rounding_mode="floor").clamp_min(1)  # (n_classes,) units of a class
    unit.div_(2, rounding_mode="floor")
    torch.minimum(unit, (pairs - 1)[grouped], out=unit)
    unit += (pairs.cumsum(0) - pairs)[grouped]  # (n,) one number for each unit of any class
    del grouped
    unit = torch.randperm(int(pairs.sum()), generator=generator, device="cpu")[unit]
    unit, dealt = unit.sort(stable=True)
    rows = order[dealt]
    del order, dealt

    # Cut at multiples of an equal share. Each cut is moved back to the start of a unit, and left
    # out if it would leave a row alone.
    n_batches = -(-n // batch_size)
    shares = torch.arange(1, n_batches, device="cpu") * n // n_batches
    cuts: list[int] = []
    for cut in torch.searchsorted(unit, unit[shares]).tolist():
        if min(cut - (cuts[-1] if cuts else 0), n - cut) >= 2:
            cuts.append(cut)
    return rows.tensor_split(cuts)


class SharedBatches:
    """The batches of one process, if each is a part of a batch of several processes.

    Each process draws from its own rows, as `class_aware_batches`. All have as many batches in an
    epoch: as many as the process with the most rows needs. The batches of the others are smaller,
    or some of them are empty. Which class is thinned is decided by the rows of all processes.

    Parameters
    ----------
    labels : Tensor of shape (n,), on the CPU
        Class of each row of this process, from 0; -1 if it has no label.

    batch_size : int
        Rows in a batch of one process, at least 2.

    generator : torch.Generator
        On the CPU.

    ranks : Ranks
        The processes.
    """

    def __init__(
        self, labels: Tensor, batch_size: int, generator: torch.Generator, ranks: Ranks
    ) -> None:
        self._labels, self._generator, self._ranks = labels, generator, ranks
        self._largest, self._n_kept = self._most_of_largest(batch_size)
        n_unlabeled, n = int((labels < 0).sum()), len(labels)
        if self._largest >= 0:
            n -= int((labels == self._largest).sum()) - self._n_kept
        # As `_half_labeled_batches` does, half of a batch.
        is_half_labeled = n > n_unlabeled > n / 2
        n, part = (n_unlabeled, 2) if is_half_labeled else (n, 1)
        wanted = -(-n // max(batch_size // part, 2))
        self._n_batches = max(1, *ranks.exchange(wanted))
        self._batch_size = max(-(-n // self._n_batches), 2) * part

    def __call__(self) -> tuple[list[Tensor], list[Shares]]:
        """The rows of each batch of an epoch, and how many rows of it each process has."""
        labels = self._labels
        kept = torch.arange(len(labels), device="cpu")
        if self._largest >= 0:
            kept = _without_some_of(labels, self._largest, self._n_kept, self._generator)
            labels = labels[kept]
        if len(labels) <= self._batch_size and self._n_batches == 1:
            drawn: Sequence[Tensor] = [torch.arange(len(labels), device="cpu")]
        elif len(labels) == 0:
            drawn = []
        else:
            drawn = _batches_of_all(labels, self._batch_size, self._generator)
        places = [kept[:0]] * self._n_batches
        for i, batch in enumerate(drawn):  # at even steps, if they are fewer
            places[i * self._n_batches // len(drawn)] = kept[batch]
        sizes = self._ranks.exchange([len(batch) for batch in places])
        self._ranks.begin_steps()
        return places, [Shares(self._ranks, some) for some in zip(*sizes, strict=True)]

    def _most_of_largest(self, batch_size: int) -> tuple[int, int]:
        """The class of which an epoch takes a part, and how many rows of this process; -1 if it
        takes all rows of all classes.
        """
        counts = self._labels[self._labels >= 0].bincount()
        everyones = self._ranks.exchange(counts.tolist())
        total = torch.zeros(max(map(len, everyones)), dtype=torch.long, device="cpu")
        for some in everyones:
            total[: len(some)] += torch.tensor(some, dtype=torch.long, device="cpu")
        if (total > 0).sum() < 2:
            return -1, 0
        largest = int(total.argmax())
        taken = int(taken_of_classes(total, batch_size * self._ranks.size)[largest])
        if taken >= total[largest]:
            return -1, 0
        own = int(counts[largest]) if largest < len(counts) else 0
        return largest, -(-own * taken // int(total[largest]))


def taken_of_classes(counts: Tensor, batch_size: int) -> Tensor:
    """How many samples of each class (n_classes,) an epoch uses, given how many there are
    (n_classes,). A single class is used whole, and so is a class that fits into a batch.
    """
    others = counts.sum() - counts
    most = torch.maximum(_MOST_TO_ANOTHER * others, batch_size - others)
    return torch.where(others > 0, counts.minimum(most), counts)


def _thinned(labels: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """Indices of the samples that an epoch uses: all, or fewer of a dominant class."""
    counts = labels[labels >= 0].bincount()
    if len(counts) < 2:
        return torch.arange(len(labels), device="cpu")
    largest = int(counts.argmax())
    n_kept = int(taken_of_classes(counts, batch_size)[largest])
    return _without_some_of(labels, largest, n_kept, generator)


def _without_some_of(
    labels: Tensor, largest: int, n_kept: int, generator: torch.Generator
) -> Tensor:
    """Indices of all rows, but only `n_kept` of the largest class."""
    of_largest = (labels == largest).nonzero().squeeze(1)
    if n_kept >= len(of_largest):
        return torch.arange(len(labels), device="cpu")
    drawn = torch.randperm(len(of_largest), generator=generator, device="cpu")[:n_kept]
    kept = labels != largest
    kept[of_largest[drawn]] = True
    return kept.nonzero().squeeze(1)


def _half_labeled_batches(
    labels: Tensor, batch_size: int, generator: torch.Generator
) -> list[Tensor]:
    """Batches of samples without a label, each with as many labeled samples."""
    labeled = (labels >= 0).nonzero().squeeze(1)
    others = (labels < 0).nonzero().squeeze(1)
    others = others[torch.randperm(len(others), generator=generator, device="cpu")]
    half = max(batch_size // 2, 2)
    batches: list[Tensor] = []
    passed: list[Tensor] = []  # batches of a pass over the labeled rows, still to be used
    for rows in others.tensor_split(-(-len(others) // half)):
        passed = passed or list(class_aware_batches(labels[labeled], half, generator))
        batches.append(torch.cat([rows, labeled[passed.pop()]]))
    return batches


def class_aware_sample(labels: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Indices of about `size` random samples, stratified by class, with at least two per class.

    Parameters
    ----------
    labels : Tensor of shape (n,), on the CPU
        Class of each row, from 0; -1 if it has no label.

    size : int
        How many samples. If there are not more, all are returned.

    generator : torch.Generator
        On the CPU.

    Returns
    -------
    rows : Tensor
        Sorted row indices.
    """
    n = len(labels)
    if n <= size:
        return torch.arange(n, device="cpu")
    order, grouped, ranks, counts = shuffled_ranks(labels, generator)
    shares = (counts * (size / n)).round().clamp_min(2)  # (n_classes,)
    return order[ranks < shares[grouped]].sort().values


def shuffled_ranks(
    labels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Samples grouped by class, in random order within it; the class (from 0) and the rank in it of
    each; and the number of samples of each class. Samples without a label, -1, form another class.
    """
    labels = labels - labels.min().clamp_max(0)
    order = torch.randperm(len(labels), generator=generator, device="cpu")
    grouped, within = labels[order].sort(stable=True)
    order = order[within]
    del within
    counts = labels.bincount()
    starts = counts.cumsum(0) - counts
    ranks = torch.arange(len(labels), device="cpu").sub_(starts[grouped])
    return order, grouped, ranks, counts
