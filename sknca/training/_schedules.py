"""Schedules are plain functions of progress."""

import math


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
