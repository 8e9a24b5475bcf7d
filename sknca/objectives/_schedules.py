"""The temperature and the q of each epoch.

A new schedule of the temperature is one more entry of `TEMPERATURE_SCHEDULES`, or an object that
users pass. Nothing else in the package compares names of schedules.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, SupportsFloat


@dataclass(frozen=True, repr=False)
class TemperatureSchedule:
    """How the temperature changes during a training, for `temperature_schedule`.

    A function of the epoch alone can be passed without it.

    Parameters
    ----------
    at : callable
        Called with the parameter `temperature`, the epoch (from 0) and the number of epochs.
        Returns the temperature of this epoch.

    is_learned : bool, default=False
        Whether the temperature of the first epoch is only the start of a trainable parameter.

    See Also
    --------
    SNNLEmbedding : Has the parameter `temperature_schedule`.
    """

    at: Callable[[float, int, int], float]
    is_learned: bool = False

    def __repr__(self) -> str:  # the same in another process
        of = getattr(self.at, "__qualname__", type(self.at).__qualname__)
        return f"TemperatureSchedule({of}{', is_learned=True' * self.is_learned})"

    def plan(self, temperature: float, max_iter: int) -> list[float]:
        """List the temperature of each epoch.

        Parameters
        ----------
        temperature : float
            The parameter `temperature`.

        max_iter : int
            Number of epochs.

        Returns
        -------
        temperatures : list of float
            One for each epoch.

        Raises
        ------
        ValueError
            If one is not positive and finite.
        """
        plan = [self.at(temperature, epoch, max_iter) for epoch in range(max_iter)]
        for epoch, value in enumerate(plan):
            if not (isinstance(value, SupportsFloat) and 0 < float(value) < math.inf):
                raise ValueError(
                    f"temperature_schedule must return positive temperatures, got {value} for "
                    f"epoch {epoch}."
                )
        return [float(value) for value in plan]


def constant(temperature: float, epoch: int, max_iter: int) -> float:
    return temperature


def annealed(temperature: float, epoch: int, max_iter: int) -> float:
    """`temperature / (1 + epoch) ** 0.55`: from classes as wholes to nearest neighbors.

    References
    ----------
    A. F. Agarap, A. P. Azcarraga. "Improving k-Means Clustering Performance with Disentangled
    Internal Representations". IJCNN 2020.

    Examples
    --------
    >>> from sknca.objectives import TEMPERATURE_SCHEDULES
    >>> [round(t, 3) for t in TEMPERATURE_SCHEDULES["annealed"].plan(1.0, 4)]
    [1.0, 0.683, 0.546, 0.467]
    """
    return temperature / math.pow(1 + epoch, 0.55)


TEMPERATURE_SCHEDULES = {
    "constant": TemperatureSchedule(constant),
    "annealed": TemperatureSchedule(annealed),
    "learned": TemperatureSchedule(constant, is_learned=True),
}


def check_temperature_schedule(schedule: Any) -> TemperatureSchedule:
    """The schedule that the parameter means: a name, an object, or a callable of the epoch."""
    if isinstance(schedule, str) and schedule in TEMPERATURE_SCHEDULES:
        return TEMPERATURE_SCHEDULES[schedule]
    if isinstance(schedule, TemperatureSchedule):
        return schedule
    if callable(schedule):
        return TemperatureSchedule(lambda temperature, epoch, max_iter: schedule(epoch))
    raise ValueError(
        f"temperature_schedule must be one of {tuple(TEMPERATURE_SCHEDULES)}, a "
        f"TemperatureSchedule or a callable of the epoch; got {schedule!r}."
    )


def q_plan(q: float, max_iter: int) -> list[float]:
    """The `q` of each epoch: 0 in the first tenth, and from the middle on the given one. At first
    all samples are far from their class, and the loss must not give any up.

    Examples
    --------
    >>> from sknca.objectives import q_plan
    >>> [round(q, 2) for q in q_plan(0.8, 10)]
    [0.0, 0.0, 0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8]
    """
    start, end = 0.1, 0.5
    progress = [(epoch / max_iter - start) / (end - start) for epoch in range(max_iter)]
    return [q * min(max(part, 0.0), 1.0) for part in progress]
