"""What the parameters of an embedding mean for a fit. They are read once, before it begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..distributed import Processes
from ..networks import Maker
from ..objectives import EmbeddingObjective
from ..training import EPOCHS_TO_SKIP, LEAST_EPOCHS_TO_WATCH, MakeOptimizer, epochs_for

#: The largest number of components if `n_components` is None.
MOST_USUAL_COMPONENTS = 32

#: Divided by a lower one, distances of standardized samples approach the limit of float32.
_LOW_TEMPERATURE = 1e-20

#: With fewer samples, held-out samples do not show overfitting.
_ROWS_TO_WATCH = 100


@dataclass(frozen=True)
class Task:
    """What an objective is made for."""

    network: nn.Module
    labels: NDArray[np.int64]  # (n,), of all samples to learn from, -1 without a label
    classes: NDArray[Any] | None  # (n_classes,)
    n_features: int
    n_components: int
    max_iter: int
    processes: Processes


class ObjectivePlan(Protocol):
    """How the objective of a network is made; it is frozen."""

    def check(self, processes: Processes) -> None:
        """Refuse parameters that do not go together, or warn of them."""

    def make(self, task: Task) -> EmbeddingObjective: ...


@dataclass(frozen=True)
class EncoderPlan:
    """The encoder, or several side by side, that the parameters mean."""

    maker: Maker | None  # None: the built-in one
    n_components: int | None  # of all members together
    n_members: int
    hidden_layer_sizes: tuple[Any, ...]
    activation: str
    dropout: float | Literal["auto"]
    scale: bool
    normalizes: bool  # whether codes are L2-normalized

    def __post_init__(self) -> None:
        if self.n_members == 1:
            return
        if isinstance(self.maker, nn.Module):
            raise ValueError(
                f"n_members={self.n_members} needs encoders with different initial weights, but "
                "encoder is a module. Pass a callable (n_features, n_components) -> nn.Module."
            )
        if self.n_components is not None and self.n_components % self.n_members:
            raise ValueError(
                f"n_components={self.n_components} must be divisible by "
                f"n_members={self.n_members}: each member has an equal part of a code."
            )

    @property
    def width(self) -> int | None:
        """Components of each member."""
        return None if self.n_components is None else self.n_components // self.n_members


@dataclass(frozen=True)
class Plan:
    """Everything that the parameters mean, of one fit or one portion."""

    name: str  # of the estimator, for messages
    parameters: Mapping[str, Any]  # as they were given, for messages and for checkpoints
    encoder: EncoderPlan
    objective: ObjectivePlan
    processes: Processes
    device: str | torch.device
    verbose: int | bool

    # What is learned from.
    needs_labels: bool
    unlabeled: Any  # the label of samples that have none
    learns_from_unlabeled: bool  # whether samples without a label have a loss of their own
    spreads_labels: bool
    may_validate_on_other_classes: bool
    has_fixed_classes: bool  # whether no new class may come in a further portion
    runs_code_of_others: bool  # whether code of the user may draw from torch's generators

    # What is held out.
    holds_out: bool
    asks_to_watch: bool  # a part, to detect overfitting
    unwatchable: str | None  # why such a part would show nothing, whatever the samples
    validation_fraction: float

    # How it is trained.
    max_iter: int | None  # None: by the number of samples
    most_epochs: int
    batch_size: int
    make_optimizer: MakeOptimizer
    learning_rate: float
    weight_decay: float
    adversarial_radius: float | Literal["auto"]
    adversarial_fraction: float
    tol: float | None
    n_iter_no_change: int

    def number_of_epochs(self, n_rows: int) -> int:
        """The number of epochs of a training with `n_rows` samples in all processes together."""
        if self.max_iter is not None:
            return self.max_iter
        batch_size = min(self.size_of_batches(n_rows) * self.processes.size, n_rows)
        return epochs_for(n_rows, batch_size, self.most_epochs)

    def size_of_batches(self, n_rows: int) -> int:
        """Samples in a batch, if there are `n_rows`."""
        return min(self.batch_size, n_rows)

    def why_not_watched(self, n_labeled: int, max_iter: int, *, has_groups: bool) -> str | None:
        """Why no samples are held out to detect overfitting; None if some are."""
        # Few epochs of many samples, or of copies, overfit too. Others have not.
        may_be_few = has_groups or self.max_iter is None
        least = LEAST_EPOCHS_TO_WATCH if may_be_few else EPOCHS_TO_SKIP
        if not self.asks_to_watch:
            return "it was not asked for"
        if self.unwatchable is None and max_iter < least:
            return f"it has fewer than {least} epochs"
        if self.unwatchable is None and n_labeled < _ROWS_TO_WATCH:
            return f"fewer than {_ROWS_TO_WATCH} samples have a label"
        return self.unwatchable

    def leaves_out(self, labels: NDArray[np.int64], *, continues: bool) -> bool:
        """Whether each of several members leaves out a part of samples with these labels. Not if
        labels are spread, which would tell it the labels of that part, nor if an earlier fit has
        told them.
        """
        if self.encoder.n_members == 1 or continues or not self.needs_labels:
            return False
        is_partly_labeled = self.processes.any_of(bool((labels < 0).any()))
        return not (self.spreads_labels and is_partly_labeled)

    @property
    def width_of_loss(self) -> int:
        """Components of a member's codes, as far as is known before the data are."""
        return self.encoder.width or MOST_USUAL_COMPONENTS

    @property
    def least_improvement(self) -> float | None:
        """By how much the loss has to improve; None if it does not have to."""
        return 0.0 if self.tol is None and self.holds_out else self.tol

    @property
    def advice(self) -> str:
        """What to do if a training diverged."""
        radius, rate = self.adversarial_radius, self.learning_rate
        too = " or adversarial_radius" if radius == "auto" or radius > 0 else ""
        temperature = self.parameters.get("temperature", 1.0)
        if temperature < _LOW_TEMPERATURE:
            return f"Scale the features (StandardScaler), or raise temperature={temperature}."
        return f"Scale the features (StandardScaler), or lower learning_rate_init={rate}{too}."
