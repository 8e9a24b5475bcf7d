"""Where the samples lie, and how a batch of them comes to the device."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ._batch import Batch


@dataclass(frozen=True)
class TrainingData:
    """All rows, and which of them are trained on.

    Labels and weights are on the device. So are the rows, where there is room for them;
    else they stay in the host's memory, and each batch is sent while the device computes.
    """

    x: Tensor  # (n, d)
    y: Tensor  # (n,)
    weight: Tensor | None  # (n,)
    rows: Tensor  # (n_train,), on the CPU

    @property
    def labels(self) -> Tensor:
        """Of the rows that are trained on, on the CPU."""
        return self.y.cpu()[self.rows]

    def take(self, rows: Tensor) -> Batch:
        """Some of all the rows, by their indices, which are on the CPU."""
        return self._take(rows, rows.to(self.y.device))

    def take_at_home(self, rows: Tensor) -> Batch:
        """As `take`, but what lies on the host stays there."""
        if self.x.device == self.y.device:
            return self.take(rows)
        on_device = rows.to(self.y.device)
        weight = None if self.weight is None else self.weight.index_select(0, on_device)
        return Batch(self.x.index_select(0, rows), self.y.index_select(0, on_device), weight)

    def sample(self, size: int) -> Tensor:
        """At most so many of the rows that are trained on, at even steps."""
        return self.take_at_home(self.rows[:: -(-len(self.rows) // size)]).x

    def batches(self, places: Sequence[Tensor]) -> Iterator[Batch]:
        """Batch after batch, each at its places among the rows that are trained on."""
        sizes = [len(some) for some in places]
        rows = self.rows[torch.cat(list(places))]  # (n_train,)
        # Sent at once: with indices of its own, each step would wait for the device.
        on_device = rows.to(self.y.device)
        for some, same in zip(rows.split(sizes), on_device.split(sizes), strict=True):
            yield self._take(some, same)

    def _take(self, rows: Tensor, on_device: Tensor) -> Batch:
        # index_select is quicker than indexing.
        if self.x.device == self.y.device:
            x = self.x.index_select(0, on_device)
        else:
            shape = len(rows), *self.x.shape[1:]
            x = torch.empty(shape, dtype=self.x.dtype, device="cpu", pin_memory=True)
            torch.index_select(self.x, 0, rows, out=x)
            x = x.to(self.y.device, non_blocking=True)
        y = self.y.index_select(0, on_device)
        weight = None if self.weight is None else self.weight.index_select(0, on_device)
        return Batch(x, y, weight)
