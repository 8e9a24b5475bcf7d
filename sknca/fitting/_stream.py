"""What is kept from one portion of a stream to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..tables import ROWS_TO_START_FROM, Table

#: At most this many numbers are kept of the rows of a stream.
_MOST_KEPT = 2**22

#: Steps of the warm-up, which has no adversarial steps.
WARM_UP_STEPS = 100


@dataclass(frozen=True)
class KeptRows:
    """A random sample of all rows so far, by which the center and the spread are refined."""

    rows: Table  # (n_kept, n_features)
    n_seen: int

    def with_more(self, table: Table, seed: int) -> KeptRows:
        """Add rows, so that each row so far is kept with the same probability."""
        room = ROWS_TO_START_FROM
        if not self.rows.is_sparse:
            room = min(room, max(_MOST_KEPT // table.shape[1], 1))
        n_before, n_more = len(self.rows), len(table)
        chosen = np.arange(min(max(room, n_before), n_before + n_more))  # of all those before, more
        n_rest = n_before + n_more - len(chosen)
        n_seen = self.n_seen + n_more
        places = np.random.default_rng([seed, n_seen]).integers(
            np.arange(n_seen - n_rest, n_seen) + 1
        )
        taken = places < len(chosen)
        chosen[places[taken]] = len(chosen) + np.flatnonzero(taken)  # of several, the last
        return KeptRows(self.rows.joined(table, chosen), n_seen)


@dataclass(frozen=True)
class Stream:
    """What is kept from one portion to the next, in addition to the objective."""

    seed: int
    n_steps: int
    training: dict[str, Any]  # of `TrainingState.state_dict` all but the objective
    kept: KeptRows | None  # None if the encoder does not start from data, or was started by `fit`


class WarmUp:
    """The learning rate of each step of a stream: a warm-up, and then a constant."""

    def __init__(self, rate: float, n_steps: int) -> None:
        self.rate = rate
        self.n_steps = n_steps  # so far

    def __call__(self, progress: float) -> float:
        self.n_steps += 1
        return self.rate * min(self.n_steps / WARM_UP_STEPS, 1.0)
