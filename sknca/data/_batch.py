"""The tuple that the network and the loss receive."""

from typing import NamedTuple

from torch import Tensor

from .._sparse_rows import Rows
from ..distributed import Shares


class Batch(NamedTuple):
    """Some samples: their rows, labels and weights."""

    x: Rows  # (n, d)
    y: Tensor  # (n,), classes from 0, -1 without a label
    weight: Tensor | None = None  # (n,)
    target: Rows | None = None  # (n, d), what a decoder has to return, if not x
    confidence: Tensor | None = None  # (n,), how much each label counts, if some were spread
    seen: tuple[Tensor, ...] | None = None  # of each member, the places of what it learns from
    shares: Shares | None = None  # what each process has of it, if several share the batch

    @property
    def n_samples(self) -> int:
        """How many samples the batch has, in all processes together."""
        return len(self.x) if self.shares is None else sum(self.shares.sizes)

    @property
    def label_weight(self) -> Tensor | None:
        """The weights (n,) in a loss of the labels."""
        if self.weight is None or self.confidence is None:
            return self.weight if self.confidence is None else self.confidence
        return self.weight * self.confidence

    def of_member(self, member: int) -> "Batch":
        """The samples that one of several members learns from."""
        if self.seen is None:
            return self
        places = self.seen[member]
        x, target = (
            None if rows is None else rows.index_select(0, places.to(rows.device))
            for rows in (self.x, self.target)
        )
        weight, confidence = (
            None if some is None else some.index_select(0, places)
            for some in (self.weight, self.confidence)
        )
        assert x is not None
        return Batch(x, self.y.index_select(0, places), weight, target, confidence)
