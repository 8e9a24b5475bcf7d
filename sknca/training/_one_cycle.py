"""How many epochs a training has, and the learning rate of each step."""

import math

#: With more batches in an epoch than these, there are fewer epochs.
_BATCHES_FOR_THE_MOST = 80

#: Schedules need at least this many epochs.
_LEAST_EPOCHS = 3

#: In this part of all steps the learning rate rises, from this factor.
_WARM_UP, _START = 0.2, 0.04


def epochs_for(n_rows: int, batch_size: int, most: int) -> int:
    """How many epochs `max_iter="auto"` means, at most `most`.

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


def one_cycle(progress: float) -> float:
    """Factor of the learning rate: a cosine rise from a small factor to 1, a cosine fall to 0.

    Parameters
    ----------
    progress : float
        The part of all steps that is done, from 0 to 1.

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
    if progress < _WARM_UP:
        return _START + (1 - _START) * (1 - math.cos(math.pi * progress / _WARM_UP)) / 2
    return (1 + math.cos(math.pi * (progress - _WARM_UP) / (1 - _WARM_UP))) / 2
