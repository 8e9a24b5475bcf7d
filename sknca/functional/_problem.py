"""Which rows and columns of a batch belong together: its labels, and the blocks of its classes."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ._checks import widest_float
from ._metrics import Metric

# float32 does not distinguish integers beyond this one.
_WHOLE_IN_FLOAT32 = 2**24


@dataclass(frozen=True)
class Problem:
    """What the blocks need in addition to the differentiable tensors."""

    metric: Metric  # the rows are prepared; factors of the form, if it is a root
    query_labels: Tensor  # (n,)
    key_labels: Tensor  # (m,)
    log_key_weight: Tensor | None  # (m,)
    among_themselves: bool  # the queries are the keys: row i is not its own neighbor
    block_size: int
    q: float | Tensor = 0.0  # of the family (1 - p^q) / q; a tensor () is positive
    first: int | None = None  # the queries are the keys from this one on, if they are some of them

    @property
    def own(self) -> slice | None:
        """Which of the keys are the queries themselves, if they are among the keys."""
        if self.among_themselves:
            return slice(None)
        if self.first is None:
            return None
        return slice(self.first, self.first + len(self.query_labels))


def comparable_labels(problem: Problem, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Labels of the queries (n, 1) and of the keys (m,); as floats if none is too large: with them
    a comparison that writes a float is several times as fast.
    """
    labels = [problem.query_labels]
    if problem.key_labels is not problem.query_labels:
        labels.append(problem.key_labels)
    # Reading from a GPU would wait for it, and a GPU compares integers as fast.
    if all(some.is_cpu for some in labels):
        numbers = [some.to(dtype) for some in labels]
        if all(some.abs().max() < _WHOLE_IN_FLOAT32 for some in numbers):
            labels = numbers
    return labels[0][:, None], labels[-1]


def classes_and_positives(problem: Problem, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """A number for the class of each query (n,) and key (m,), and which queries (n,) have a
    positive. Floats: with them a comparison can write a float, ten times as fast as a boolean.
    """
    if len(problem.key_labels) > _WHOLE_IN_FLOAT32:
        dtype = widest_float(problem.key_labels.device)
    ordered, order = problem.key_labels.sort()
    left = torch.searchsorted(ordered, problem.query_labels)  # (n,)
    right = torch.searchsorted(ordered, problem.query_labels, right=True)
    if problem.among_themselves:
        classes = key_classes = left.to(dtype)
    else:
        classes = torch.where(left < right, left, -1).to(dtype)
        key_classes = torch.searchsorted(ordered, problem.key_labels).to(dtype)
    own = problem.own
    if problem.log_key_weight is None:
        return classes, key_classes, right - left > int(own is not None)
    counts = (problem.log_key_weight > -torch.inf).long()  # (m,), which keys are neighbors at all
    counted = functional.pad(counts[order].cumsum(0), (1, 0))  # (m + 1,)
    n_own = 0 if own is None else counts[own]
    return classes, key_classes, counted[right] - counted[left] > n_own


@dataclass(frozen=True)
class Block:
    """Rows [start, stop), and the columns [first, last) of their classes."""

    start: int
    stop: int
    first: int
    last: int
    one_class: bool  # then all of these columns are of the class of all of these rows


def blocks_of(classes: Tensor, key_classes: Tensor, block_size: int) -> list[Block]:
    """At most `block_size` rows each, of one class if that is large."""
    starts, position = [0], 0
    for size in classes.unique_consecutive(return_counts=True)[1].tolist():
        if position > starts[-1] and position + size - starts[-1] > block_size:
            starts.append(position)
        pieces = -(-size // block_size)
        starts += [position + size * piece // pieces for piece in range(1, pieces)]
        position += size
    stops = [*starts[1:], len(classes)]
    of_first, of_last = classes[starts], classes[[stop - 1 for stop in stops]]
    first = torch.searchsorted(key_classes, of_first)
    last = torch.searchsorted(key_classes, of_last, right=True)
    one_class = (of_first == of_last) & (first < last)
    first = first.clamp_max(len(key_classes) - 1)  # never an empty window
    columns = torch.stack([first, torch.maximum(last, first + 1), one_class.long()], 1).tolist()
    return [
        Block(start, stop, first, last, bool(one_class))
        for start, stop, (first, last, one_class) in zip(starts, stops, columns, strict=True)
    ]
