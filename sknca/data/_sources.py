"""Where the samples are stored, and how a batch of them is copied to the device."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Protocol

import torch
from torch import Tensor

from .._sparse_rows import Rows
from ..distributed import Shares
from ._batch import Batch


class Source(Protocol):
    """Rows (n, d), wherever they are."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def take(self, rows: Tensor, on_device: Tensor) -> Rows:
        """Some of them on the device, by their indices there and on the CPU."""

    def take_at_home(self, rows: Tensor) -> Rows:
        """Some of them where they are stored, by their indices on the CPU."""


@dataclass(frozen=True)
class RowsInMemory:
    """Rows on the device or, if they do not fit there, in the memory of the host, from which each
    batch is sent while the device computes.
    """

    x: Tensor  # (n, d)
    device: torch.device

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.x.shape)

    def take(self, rows: Tensor, on_device: Tensor) -> Tensor:
        # index_select is faster than indexing.
        if self.x.device == self.device:
            return self.x.index_select(0, on_device)
        shape = len(rows), *self.x.shape[1:]
        x = torch.empty(shape, dtype=self.x.dtype, device="cpu", pin_memory=True)
        torch.index_select(self.x, 0, rows, out=x)
        return x.to(self.device, non_blocking=True)

    def take_at_home(self, rows: Tensor) -> Tensor:
        return self.x.index_select(0, rows.to(self.x.device))


@dataclass(frozen=True)
class RowsRead:
    """Rows that are read batch by batch, as from a file.

    Parameters
    ----------
    shape : tuple of int
        (n, d)

    read : callable
        From ascending row indices to these rows in float32 on the CPU.

    device : torch.device
        Where they are sent.
    """

    shape: tuple[int, ...]
    read: Callable[[Tensor], Tensor]
    device: torch.device

    def take(self, rows: Tensor, on_device: Tensor) -> Tensor:
        return self.take_at_home(rows).to(self.device)

    def take_at_home(self, rows: Tensor) -> Tensor:
        ordered, order = rows.sort()
        x = self.read(ordered)
        return torch.empty_like(x).index_copy_(0, order, x)


@dataclass(frozen=True)
class RowsGathered:
    """Rows that are gathered batch by batch, sparse ones.

    Parameters
    ----------
    shape : tuple of int
        (n, d)

    gather : callable
        From row indices to these rows on the CPU.

    device : torch.device
        Where they are sent.
    """

    shape: tuple[int, ...]
    gather: Callable[[Tensor], Rows]
    device: torch.device

    def take(self, rows: Tensor, on_device: Tensor) -> Rows:
        return self.gather(rows).to(self.device)

    def take_at_home(self, rows: Tensor) -> Rows:
        return self.gather(rows)


@dataclass(frozen=True)
class TrainingData:
    """All samples, and which of them are trained on. Labels and weights are on the device."""

    x: Source  # (n, d)
    y: Tensor  # (n,)
    weight: Tensor | None  # (n,)
    rows: Tensor  # (n_train,), on the CPU
    confidence: Tensor | None = None  # (n,), how much each label counts, if some were spread
    groups: Tensor | None = None  # (n,), on the CPU; what is held out consists of whole groups
    parts: Tensor | None = None  # (n,), on the CPU; which member leaves a sample out, -1 if none
    n_members: int = 1

    @property
    def groups_of_rows(self) -> Tensor | None:
        """Of the samples that are trained on."""
        return None if self.groups is None else self.groups[self.rows]

    @property
    def labels(self) -> Tensor:
        """Of the samples that are trained on, on the CPU."""
        return self.y.cpu()[self.rows]

    def take(self, rows: Tensor) -> Batch:
        """Some of all the samples, by their indices, which are on the CPU."""
        ((on_device, seen),) = self._sent(rows, [len(rows)])
        return self._batch(self.x.take(rows, on_device), on_device, seen)

    def take_at_home(self, rows: Tensor) -> Batch:
        """As `take`, but samples that are stored on the host stay there."""
        ((on_device, seen),) = self._sent(rows, [len(rows)])
        return self._batch(self.x.take_at_home(rows), on_device, seen)

    def example(self) -> Rows:
        """Two rows, to try a network with: of the samples or, if there are fewer, of zeros."""
        if self.x.shape[0] < 2:  # of this process
            return torch.zeros(2, *self.x.shape[1:], dtype=torch.float32, device="cpu")
        return self.x.take_at_home(torch.arange(2, device="cpu"))

    def sample(self, size: int) -> Rows:
        """At most `size` of the training samples, at even steps."""
        return self.x.take_at_home(self.rows[:: max(-(-len(self.rows) // size), 1)])

    def batches(
        self,
        places: Sequence[Tensor],
        shares: Iterable[Shares | None] = repeat(None),
    ) -> Iterator[Batch]:
        """Batch after batch, each at its places among the samples that are trained on, and what
        each process has of it if several share it.
        """
        sizes = [len(some) for some in places]
        rows = self.rows[torch.cat(list(places))]  # (n_train,)
        sent = self._sent(rows, sizes)
        for some, (same, seen), shared in zip(rows.split(sizes), sent, shares, strict=False):
            batch = self._batch(self.x.take(some, same), same, seen)
            yield batch if shared is None else batch._replace(shares=shared)

    def _sent(
        self, rows: Tensor, sizes: list[int]
    ) -> list[tuple[Tensor, tuple[Tensor, ...] | None]]:
        """The rows of each batch on the device, and the places of those that each member learns
        from. Sent together: with its own indices, each step would wait for the device.
        """
        places: list[Tensor] = []
        if self.parts is not None:
            parts, members = self.parts[rows].split(sizes), range(self.n_members)
            places = [(part != i).nonzero().squeeze(1) for part in parts for i in members]
        sent = torch.cat([rows, *places]) if places else rows
        on_device, *seen = sent.to(self.y.device).split([len(some) for some in (rows, *places)])
        n = self.n_members
        of_members: Any = repeat(None)
        if places:
            of_members = [tuple(seen[start : start + n]) for start in range(0, len(seen), n)]
        return list(zip(on_device.split(sizes), of_members, strict=False))

    def _batch(self, x: Rows, on_device: Tensor, seen: tuple[Tensor, ...] | None = None) -> Batch:
        weight, confidence = (
            None if some is None else some.index_select(0, on_device)
            for some in (self.weight, self.confidence)
        )
        y = self.y.index_select(0, on_device)
        return Batch(x, y, weight, confidence=confidence, seen=seen)
