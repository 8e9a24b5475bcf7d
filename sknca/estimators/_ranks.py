"""What the processes of a joint fit have together; in a single process, what it has itself."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .._sparse_rows import Rows
from ..data import MOST_NEIGHBORS, Batch, TrainingData, labeled_sample
from ..distributed._ranks import ranks_of_fit
from ._description import Description, describe_parameters

if TYPE_CHECKING:
    from ._base import BaseEmbedding
    from ._fit import Given


def total(value: int) -> int:
    """The sum over the processes."""
    ranks = ranks_of_fit()
    return value if ranks is None else ranks.total(value)


def is_first() -> bool:
    """Whether this process shows and writes what all have together."""
    ranks = ranks_of_fit()
    return ranks is None or ranks.rank == 0


def any_of(value: bool) -> bool:
    """Whether it is true in a process."""
    ranks = ranks_of_fit()
    return value if ranks is None else any(ranks.exchange(value))


def everyones(array: NDArray[Any]) -> NDArray[Any]:
    """The rows of all processes, in their order."""
    ranks = ranks_of_fit()
    return array if ranks is None else np.concatenate(ranks.exchange(array))


def counts_of(labels: NDArray[np.int64], least: int = 0) -> NDArray[np.int64]:
    """How many samples (n_classes,) of all processes each class has, of labels (n,) from 0."""
    counts = np.bincount(labels, minlength=least)
    ranks = ranks_of_fit()
    if ranks is None:
        return counts
    everyone = ranks.exchange(counts)
    n_classes = max(map(len, everyone))
    summed: NDArray[np.int64] = np.sum(
        [np.pad(some, (0, n_classes - len(some))) for some in everyone], axis=0
    )
    return summed


def pooled(batch: Batch) -> Batch:
    """The samples of all processes."""
    ranks = ranks_of_fit()
    if ranks is None:
        return batch
    assert isinstance(batch.x, Tensor)  # several processes have dense rows
    own = {"x": batch.x, "y": batch.y, "weight": batch.weight}
    here = {name: value.cpu() for name, value in own.items() if value is not None}
    everyone = ranks.exchange(here)
    together = {name: torch.cat([some[name] for some in everyone]) for name in here}
    weight = None if batch.weight is None else together["weight"].to(batch.weight.device)
    return Batch(together["x"].to(batch.x.device), together["y"].to(batch.y.device), weight)


def pooled_sample(data: TrainingData, generator: torch.Generator, size: int | None = None) -> Batch:
    """As `labeled_sample`, of the samples of all processes."""
    if ranks_of_fit() is None:
        return labeled_sample(data, generator, *([] if size is None else [size]))
    size = MOST_NEIGHBORS if size is None else size
    n_labeled = int((data.labels >= 0).sum())
    share = size * n_labeled / max(total(n_labeled), 1)
    return pooled(labeled_sample(data, generator, math.ceil(share)))


def sample_to_start_from(data: TrainingData, size: int) -> Rows:
    """At most about so many rows of those that are trained on, on the CPU, at even steps."""
    ranks = ranks_of_fit()
    if ranks is None:
        return data.sample(size).cpu()
    step = -(-total(len(data.rows)) // size)
    own = data.x.take_at_home(data.rows[::step])
    assert isinstance(own, Tensor)  # several processes have dense rows
    return torch.cat(ranks.exchange(own.cpu()))


def check_alike(embedding: BaseEmbedding, given: Given, X: Any, y: Any) -> None:
    """Refuse processes that do not fit the same: other parameters, features or dtypes.

    Raises
    ------
    ValueError
        In all processes. It names the first difference.
    """
    ranks = ranks_of_fit()
    if ranks is None:
        return
    from .. import __version__

    kind = y.dtype.kind if y is not None and len(y) else None  # without a label, that of others
    here: dict[str, Any] = {
        "the estimator": type(embedding).__name__,
        "the version of sknca": __version__,
        "the version of torch": str(torch.__version__),
        "the number of features": X.shape[1],
        "the dtype of X": str(X.dtype),
        "the kind of labels": next(filter(None, [kind, *ranks.exchange(kind)]), None),
        "sample_weight": "None" if given.sample_weight is None else "an array",
        "X_val": "None" if given.X_val is None else "an array",
        "groups": "None" if given.groups is None else "an array",
        "whether it was fitted before": hasattr(embedding, "network_"),
        "feature_names_in_": list(getattr(embedding, "feature_names_in_", [])),
    }
    parameters = describe_parameters(
        embedding._resolved_parameters(), but=("verbose", "device", "random_state")
    )
    first, *others = ranks.exchange(Description(parameters, here))
    for rank, there in enumerate(others, 1):
        for name, value, of_first in first.differences(there.entries):
            raise ValueError(
                f"The processes must fit the same, but {name} is {of_first} in process 0 and "
                f"{value} in process {rank}."
            )


def check_can_be_joint(network: nn.Module) -> None:
    """Refuse a network whose layers normalize by the batch, of which each process has a part."""
    if ranks_of_fit() is None:
        return
    for name, module in network.named_modules():
        normalizes = isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))
        if normalizes and any(p.requires_grad for p in module.parameters()):
            raise ValueError(
                f"encoder has a batch norm, {name!r}, which would normalize by the samples of one "
                "process. Use nn.LayerNorm or nn.GroupNorm, or freeze it."
            )


def fit_of_all(this_fit: Description) -> Description:
    """What tells a joint fit from others, of what tells its part in each process."""
    ranks = ranks_of_fit()
    if ranks is None:
        return this_fit
    everyone = ranks.exchange(this_fit)
    first = everyone[0]
    size = {"the number of processes": ranks.size}
    if not any(any(first.differences(some.entries)) for some in everyone):
        return replace(first, others={**size, **first.others})
    entries = [some.entries for some in everyone]
    in_0_2 = [{**some.entries, **some.in_0_2} for some in everyone]
    return Description(
        {name: [some[name] for some in entries] for name in first.parameters},
        {**size, **{name: [some[name] for some in entries] for name in first.others}},
        {name: [some[name] for some in in_0_2] for name in first.others},
    )


@contextmanager
def interruptible() -> Iterator[None]:
    """While a joint fit trains, Ctrl-C ends it in all processes after the same step; a second
    Ctrl-C ends this process immediately.
    """
    ranks = ranks_of_fit()
    if ranks is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def interrupt(*_: Any) -> None:
        if ranks.is_interrupted:
            raise KeyboardInterrupt
        ranks.is_interrupted = True

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def agreed_to_stop(asked: bool) -> bool:
    """Whether a process was asked to stop after this epoch.

    Raises
    ------
    KeyboardInterrupt
        If one was interrupted.
    """
    ranks = ranks_of_fit()
    if ranks is None:
        return asked
    told = ranks.exchange((asked, ranks.is_interrupted))
    if any(is_interrupted for _, is_interrupted in told):
        ranks.is_interrupted = False
        raise KeyboardInterrupt
    return any(stop for stop, _ in told)
