"""What the processes of a joint fit share; a single process has everything itself."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._sparse_rows import Rows
from ..data import MOST_NEIGHBORS, Batch, TrainingData, labeled_sample
from ..distributed import Processes
from ._description import Description


def pooled(batch: Batch, processes: Processes) -> Batch:
    """The samples of all processes."""
    if not processes.is_joint:
        return batch
    assert isinstance(batch.x, Tensor)  # several processes have dense rows
    own = {"x": batch.x, "y": batch.y, "weight": batch.weight}
    here = {name: value.cpu() for name, value in own.items() if value is not None}
    everyone = processes.exchange(here)
    together = {name: torch.cat([some[name] for some in everyone]) for name in here}
    weight = None if batch.weight is None else together["weight"].to(batch.weight.device)
    pooled_batch = Batch(together["x"].to(batch.x.device), together["y"].to(batch.y.device), weight)
    if batch.seen is None:
        return pooled_batch
    starts = np.cumsum([0, *(len(some["y"]) for some in everyone)])
    seen = zip(*processes.exchange([places.cpu() for places in batch.seen]), strict=True)
    members = (
        torch.cat([places + int(start) for places, start in zip(some, starts, strict=False)])
        for some in seen
    )
    return pooled_batch._replace(seen=tuple(some.to(batch.y.device) for some in members))


def pooled_sample(
    data: TrainingData,
    generator: torch.Generator,
    processes: Processes,
    size: int = MOST_NEIGHBORS,
) -> Batch:
    """As `labeled_sample`, of the samples of all processes."""
    if not processes.is_joint:
        return labeled_sample(data, generator, size)
    n_labeled = int((data.labels >= 0).sum())
    share = size * n_labeled / max(processes.total(n_labeled), 1)
    return pooled(labeled_sample(data, generator, math.ceil(share)), processes)


def sample_to_start_from(data: TrainingData, size: int, processes: Processes) -> Rows:
    """About `size` of the rows that are trained on, at even steps, on the CPU."""
    if not processes.is_joint:
        return data.sample(size).cpu()
    step = -(-processes.total(len(data.rows)) // size)
    own = data.x.take_at_home(data.rows[::step])
    assert isinstance(own, Tensor)  # several processes have dense rows
    return torch.cat(processes.exchange(own.cpu()))


def check_alike(processes: Processes, here: Description) -> None:
    """Refuse processes that do not fit the same, by the description of each fit.

    Raises
    ------
    ValueError
        In all processes. It names the first difference.
    """
    first, *others = processes.exchange(here)
    for rank, there in enumerate(others, 1):
        for name, value, of_first in first.differences(there.entries):
            raise ValueError(
                f"The processes must fit the same, but {name} is {of_first} in process 0 and "
                f"{value} in process {rank}."
            )


def check_can_be_joint(network: nn.Module) -> None:
    """Refuse a network whose layers normalize by the batch, of which each process has a part."""
    for name, module in network.named_modules():
        normalizes = isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))
        if normalizes and any(p.requires_grad for p in module.parameters()):
            raise ValueError(
                f"encoder has a batch norm, {name!r}, which would normalize by the samples of one "
                "process. Use nn.LayerNorm or nn.GroupNorm, or freeze it."
            )


def fit_of_all(this_fit: Description, processes: Processes) -> Description:
    """What distinguishes a joint fit, from what distinguishes its part in each process."""
    everyone = processes.exchange(this_fit)
    first = everyone[0]
    size = {"the number of processes": processes.size}
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
def interruptible(processes: Processes) -> Iterator[None]:
    """While a joint fit trains, Ctrl-C ends it in all processes after the same step; a second
    Ctrl-C ends this process immediately.
    """
    if not processes.is_joint or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def interrupt(*_: Any) -> None:
        if processes.is_interrupted:
            raise KeyboardInterrupt
        processes.is_interrupted = True

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def agreed_to_stop(asked: bool, processes: Processes) -> bool:
    """Whether a process was asked to stop after this epoch.

    Raises
    ------
    KeyboardInterrupt
        If one was interrupted.
    """
    asked_of_all = processes.exchange((asked, processes.is_interrupted))
    if any(is_interrupted for _, is_interrupted in asked_of_all):
        processes.is_interrupted = False
        raise KeyboardInterrupt
    return any(stop for stop, _ in asked_of_all)
