"""How the parameters of each embedding become its objective."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .._warnings import warn_user
from ..distributed import Processes
from ..functional import Find, Metric, Strategy, check_metric, check_strategy
from ..networks import MLP, Maker, choose_layers
from ..objectives import (
    EmbeddingObjective,
    PrimaryLoss,
    PrimaryTask,
    SNNLObjective,
    TemperatureSchedule,
    TripletObjective,
    build_primary_loss,
    q_plan,
)
from ..tables import weight_of_classes
from ._new_networks import DROPOUT, make_network, width_of_output
from ._plan import Task


@dataclass(frozen=True)
class DecoderPlan:
    """The decoder of a reconstruction."""

    maker: Maker | None
    hidden_layer_sizes: tuple[Any, ...]
    activation: str
    dropout: float | Literal["auto"]

    def make(self, n_components: int, n_features: int) -> nn.Module:
        decoder = make_network(
            self.maker,
            MLP,
            n_components,
            n_features,
            hidden_layer_sizes=self.hidden_layer_sizes,
            activation=self.activation,
            dropout=DROPOUT if self.dropout == "auto" else self.dropout,
            name="decoder",
        )
        code = torch.zeros(2, n_components, device="cpu", dtype=torch.float32)
        width_of_output(decoder.cpu(), code, n_features, "decoder")
        return decoder


@dataclass(frozen=True)
class SNNLPlan:
    """The objective of `SNNLEmbedding`."""

    metric: str | Metric
    temperature: float
    schedule: TemperatureSchedule
    q: float
    adapts_q: bool
    layers: str | Sequence[int | str]
    code_units: int | None
    primary: type[PrimaryLoss] | None
    decoder: DecoderPlan
    snnl_weight: float
    class_weight: Mapping[Any, float] | str | None
    batch_size: int

    def check(self, processes: Processes) -> None:
        if self.snnl_weight == 0 and self.primary is None:
            raise ValueError("snnl_weight=0 with primary_loss=None leaves nothing to train.")
        if self.snnl_weight < 0 and check_metric(self.metric).largest == math.inf:
            warn_user(
                f"With snnl_weight={self.snnl_weight} and metric={self.metric!r} the loss has no "
                "lower bound, so codes may grow without limit. Use metric='cosine', which has one."
            )

    def make(self, task: Task) -> EmbeddingObjective:
        class_weight = self._class_weight(task)
        return SNNLObjective(
            task.network,
            metric=self.metric,
            temperatures=self.schedule.plan(self.temperature, task.max_iter),
            q=q_plan(self.q, task.max_iter),
            adapts_q=self.adapts_q,
            learned=self.schedule.is_learned,
            layers=choose_layers(task.network, self.layers),
            code_units=self.code_units,
            primary=self._primary_loss(task),
            snnl_weight=self.snnl_weight,
            partly_labeled=task.processes.any_of(bool((task.labels < 0).any())),
            class_weight=None if class_weight is None else class_weight.tolist(),
        )

    def _class_weight(self, task: Task) -> NDArray[np.float64] | None:
        if self.class_weight is None or task.classes is None:
            return None
        labels, n_classes = task.labels, len(task.classes)
        counts = task.processes.counts_of(labels[labels >= 0], n_classes)
        return weight_of_classes(self.class_weight, task.classes, counts, self.batch_size)

    def _primary_loss(self, task: Task) -> PrimaryLoss | None:
        if self.primary is None:
            return None
        n_components, n_features = task.n_components, task.n_features
        n_classes = 0 if task.classes is None else len(task.classes)
        make_decoder = partial(self.decoder.make, n_components, n_features)
        task_of_loss = PrimaryTask(n_components, n_features, n_classes, make_decoder)
        return build_primary_loss(self.primary, task_of_loss)


@dataclass(frozen=True)
class TripletPlan:
    """The objective of `TripletEmbedding`."""

    metric: str | Metric
    margin: float | Literal["soft"]
    mining: str | Strategy | Find

    def check(self, processes: Processes) -> None:
        strategy = check_strategy(self.mining)
        mining = repr(self.mining if isinstance(self.mining, str) else strategy)
        if self.margin == "soft" and strategy.needs_margin:
            raise ValueError(f"mining={mining} needs a number as margin, got margin='soft'.")
        if strategy.draws and processes.is_joint:
            raise ValueError(
                f"mining={mining} is for a single process: each of several would draw other "
                f"triplets.{' If it draws none, pass Strategy(find).' * callable(self.mining)}"
            )

    def make(self, task: Task) -> EmbeddingObjective:
        return TripletObjective(
            task.network, metric=self.metric, margin=self.margin, mining=self.mining
        )
