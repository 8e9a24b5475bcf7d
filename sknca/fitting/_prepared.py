"""Checked samples as tensors, and what an encoder that starts from the data needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._sparse_rows import Rows
from ..data import Batch, Source, TrainingData
from ..networks import answers_of, reads_sparse, starts_from_data
from ..tables import Samples, Table, common_unit, to_tensor
from ._found import Earlier
from ._plan import Plan


@dataclass(frozen=True)
class Features:
    """How samples become tensors: about the center of each feature, on the device."""

    device: torch.device
    center: NDArray[np.float64] | None  # (n_features,)
    spread: NDArray[np.float64] | None  # (n_features,), for the start of a new encoder
    sparse: bool  # whether the encoder reads the rows of a sparse table as they are

    def source(self, table: Table) -> Source:
        """From which batches are taken."""
        sparse = table.is_sparse and self.sparse
        return table.source(self.device, self.center, sparse=sparse)

    def to_device(self, table: Table) -> Rows:
        """All rows (n, n_features) in float32, on the device if there is room."""
        sparse = table.is_sparse and self.sparse
        return table.to_device(self.device, self.center, sparse=sparse)


@dataclass(frozen=True)
class Prepared:
    """Tensors, and what an encoder that starts from the data needs."""

    features: Features
    data: TrainingData
    labels: NDArray[np.int64]  # of all samples to learn from, the held-out ones among them
    classes: NDArray[Any] | None
    held_out: tuple[Batch, Batch | None] | None = None  # and those among which neighbors are


def samples_on_device(samples: Samples, features: Features) -> TrainingData:
    """The samples as tensors."""
    weight = samples.weight
    return TrainingData(
        features.source(samples.X),
        torch.from_numpy(samples.labels).to(features.device),
        None if weight is None else to_tensor(weight, features.device),
        torch.from_numpy(samples.rows),
        groups=None if samples.groups is None else torch.from_numpy(samples.groups),
    )


def prepare_features(
    plan: Plan,
    samples: Samples,
    device: torch.device,
    generator: torch.Generator,
    earlier: Earlier | None,
) -> Features:
    """Center and spread of the samples to learn from, or those of an earlier fit."""
    is_sparse = samples.X.is_sparse
    if earlier is not None:
        sparse = is_sparse and answers_of(earlier.objective.network).reads_sparse
        return Features(device, earlier.center, None, sparse)
    sparse = is_sparse and reads_sparse(plan.encoder.maker)
    if not starts_from_data(plan.encoder.maker):  # it may need pixels as they are
        return Features(device, None, None, sparse)
    center, spread = start_of_features(plan, samples.X, samples.rows, generator)
    return Features(device, center, spread, sparse)


def start_of_features(
    plan: Plan, table: Table, rows: NDArray[np.int64], generator: torch.Generator
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """The center and the spread of the features, for an encoder that starts from the data."""
    center, spread = table.center_and_spread(rows, generator, plan.processes)
    return center, spread if plan.encoder.scale else common_unit(spread)
