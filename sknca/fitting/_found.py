"""What a fit leaves to the estimator, and to the next fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..networks import Maker
from ..objectives import EmbeddingObjective
from ..training import EpochRecord, TrainingInterrupted
from ._stream import Stream


@dataclass(frozen=True)
class OutOfBag:
    """Of all samples, which member left each out, and its probabilities of the classes."""

    member: NDArray[np.int64]  # (n,), -1 if none did
    probabilities: NDArray[np.float64]  # (n, n_classes), NaN if all members learned from a sample


@dataclass(frozen=True)
class Fitted:
    """What a fit has found, from which the estimator takes its attributes."""

    objective: EmbeddingObjective  # its network is one of its modules
    history: list[EpochRecord]
    device: torch.device
    classes: NDArray[Any] | None  # None: nothing was learned from labels
    n_components: int
    center: NDArray[np.float64] | None  # (n_features,), subtracted before samples become tensors
    validated: bool = False
    overfits: bool | None = None  # None: it was not watched
    has_converged: bool = True  # or did not have to
    transduction: NDArray[Any] | None = None  # (n,), labels, if some were spread
    out_of_bag: OutOfBag | None = None  # if members left samples out
    stream: Stream | None = None  # for the next portion
    interruption: TrainingInterrupted | None = None


@dataclass(frozen=True)
class Earlier:
    """What an earlier fit left, from which `warm_start` and `partial_fit` continue."""

    objective: EmbeddingObjective
    maker: Maker | None  # of its encoder
    classes: NDArray[Any] | None
    n_components: int
    center: NDArray[np.float64] | None
    device: torch.device
    history: list[EpochRecord] = field(default_factory=list)
    stream: Stream | None = None
