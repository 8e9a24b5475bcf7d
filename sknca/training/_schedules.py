"""Schedules are plain functions: of progress, or of the epoch."""

import math
from collections.abc import Callable
from typing import SupportsFloat

#: With more batches in an epoch than these, fewer epochs than the most do.
_BATCHES_FOR_THE_MOST = 80

#: What changes from epoch to epoch needs so many at least.
_LEAST_EPOCHS = 3


def epochs_for(n_rows: int, batch_size: int, most: int) -> int:
    """How many epochs `max_iter="auto"` means, at most so many.

    The number falls with the square root of the number of batches in an epoch, so that the number
    of steps grows with it.

    Examples
    --------
    >>> from sknca.training import epochs_for
    >>> [epochs_for(n, 256, 55) for n in (1000, 20_000, 60_000, 200_000, 1_000_000)]
    [55, 55, 33, 18, 8]
    """
    n_batches = max(n_rows / batch_size, _BATCHES_FOR_THE_MOST)
    wanted = most * math.sqrt(_BATCHES_FOR_THE_MOST / n_batches)
    return max(math.ceil(wanted), _LEAST_EPOCHS)


def one_cycle(progress: float, *, warmup: float = 0.2, start: float = 0.04) -> float:
    """Factor of the learning rate: a cosine rise from `start` to 1, a cosine fall to 0.

    Parameters
    ----------
    progress : float
        The part of all steps that lies behind, from 0 to 1.

    warmup : float, default=0.2
        The part of all steps in which the rate rises.

    start : float, default=0.04
        The factor at the first step.

    Returns
    -------
    factor : float
        Between 0 and 1.

    References
    ----------
    L. N. Smith, N. Topin. "Super-Convergence: Very Fast Training of Neural Networks Using
    Large Learning Rates". 2017.

    Examples
    --------
    >>> from sknca.training import one_cycle
    >>> [round(one_cycle(progress), 2) for progress in (0, 0.1, 0.2, 0.6, 1)]
    [0.04, 0.52, 1.0, 0.5, 0.0]
    """
    if progress < warmup:
        return start + (1 - start) * (1 - math.cos(math.pi * progress / warmup)) / 2
    return (1 + math.cos(math.pi * (progress - warmup) / (1 - warmup))) / 2


def annealed(temperature: float, epoch: int) -> float:
    """`temperature / (1 + epoch) ** 0.55`: from classes as wholes to nearest neighbors.

    References
    ----------
    A. F. Agarap, A. P. Azcarraga. "Improving k-Means Clustering Performance with Disentangled
    Internal Representations". IJCNN 2020.

    Examples
    --------
    >>> from sknca.training import annealed
    >>> [round(annealed(1.0, epoch), 3) for epoch in range(4)]
    [1.0, 0.683, 0.546, 0.467]
    """
    return temperature / math.pow(1 + epoch, 0.55)


def q_plan(q: float, max_iter: int) -> list[float]:
    """The `q` of each epoch: 0 in the first tenth, and from the middle on as given. At first every
    row is far from its class, and the loss must not give any up.

    Examples
    --------
    >>> from sknca.training import q_plan
    >>> [round(q, 2) for q in q_plan(0.8, 10)]
    [0.0, 0.0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8]
    """
    start, end = 0.1, 0.5
    progress = [(epoch / max_iter - start) / (end - start) for epoch in range(max_iter)]
    return [q * min(max(part, 0.0), 1.0) for part in progress]


def temperature_plan(
    schedule: str | Callable[[int], float], temperature: float, max_iter: int
) -> list[float]:
    """The temperature of each epoch, after the parameters of `SNNLEmbedding`.

    Raises
    ------
    ValueError
        If a callable gives a temperature that is not positive and finite.
    """
    if not callable(schedule):
        annealing = schedule == "annealed"
        return [annealed(temperature, e) if annealing else temperature for e in range(max_iter)]
    plan = [schedule(epoch) for epoch in range(max_iter)]
    for epoch, value in enumerate(plan):
        if not (isinstance(value, SupportsFloat) and 0 < float(value) < math.inf):
            raise ValueError(
                f"temperature_schedule must return positive temperatures, got {value} for epoch "
                f"{epoch}."
            )
    return [float(value) for value in plan]
