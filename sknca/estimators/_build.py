"""From prepared samples to an objective, with the network that the parameters mean."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .._sparse_rows import Rows
from ..data import Batch, RowsGathered, TrainingData
from ..functional import check_metric
from ..networks import MLP, SkipMLP, UnitCode, answers_of, encoder_of
from ..objectives import EmbeddingObjective
from ..tables import ROWS_TO_START_FROM
from ..training import LabelSpreader
from ._encoders import check_continues, chosen_dropout, default_width, make_network, width_of_output
from ._ranks import check_can_be_joint, sample_to_start_from, total

if TYPE_CHECKING:
    from ._base import BaseEmbedding


@dataclass(frozen=True)
class Earlier:
    """What an earlier fit left, for `warm_start` to continue."""

    network: nn.Module
    objective: EmbeddingObjective
    classes: list[Any]


@dataclass(frozen=True)
class PreparedData:
    """Tensors, and what the start of an encoder is to know of them."""

    data: TrainingData
    held_out: tuple[Batch, Batch | None] | None  # and among what they look for their neighbors
    spread: NDArray[np.float64] | None  # (n_features,)
    labels: NDArray[np.int64]  # of all samples to learn from, the held-out ones among them


def build(
    embedding: BaseEmbedding, prepared: PreparedData, max_iter: int, earlier: Earlier | None
) -> EmbeddingObjective:
    """A new objective on the device, with its own network, to be trained for so many epochs."""
    device, data = embedding.device_, prepared.data
    if earlier is None:
        network = _new_network(embedding, data, prepared.spread)
    else:
        network = _continued_network(embedding, data, earlier.network)
    check_can_be_joint(network)
    if check_metric(embedding.metric).unit_length:
        network = UnitCode(network)
    network = network.to(device, torch.float32)
    embedding._n_features_out = _width(embedding, network, data.example().to(device))
    objective = embedding._make_objective(network, prepared.labels, max_iter)
    if earlier is not None:
        same_classes = earlier.classes == list(getattr(embedding, "classes_", []))
        objective.continue_from(earlier.objective, same_classes=same_classes)
    return objective.to(device, torch.float32)


def spreader_of(
    embedding: BaseEmbedding,
    earlier: Earlier | None,
    objective: EmbeddingObjective,
    max_iter: int,
) -> LabelSpreader:
    """What spreads labels among the codes of an objective that is trained for so many epochs; at
    the start among the rows, because the network has not learned anything.
    """
    encoder = answers_of(objective.network)
    start: Callable[[Rows], Tensor] | None = None
    if earlier is None:

        def start(x: Rows) -> Tensor:
            x = x.to(embedding.device_)
            if not isinstance(x, Tensor):  # whose first codes are their principal components
                return objective.codes(x)
            return encoder.squash(x)

    return LabelSpreader(objective.codes, len(embedding.classes_), max_iter, start)


def _new_network(
    embedding: BaseEmbedding, data: TrainingData, spread: NDArray[np.float64] | None
) -> nn.Module:
    n_features = data.x.shape[1]
    encoder = make_network(
        embedding.encoder,
        SkipMLP if len(embedding.hidden_layer_sizes) else MLP,
        n_features,
        embedding.n_components or default_width(n_features),
        hidden_layer_sizes=embedding.hidden_layer_sizes,
        activation=embedding.activation,
        dropout=chosen_dropout(embedding.dropout, n_features, total(len(data.rows))),
        name="encoder",
        sparse=isinstance(data.x, RowsGathered),
    )
    asked = answers_of(encoder)
    if asked.starts_from_data and spread is not None:
        sample = sample_to_start_from(data, ROWS_TO_START_FROM)
        asked.start_from(sample, torch.from_numpy(spread).float())
    elif asked.starts_from_data and not isinstance(embedding.encoder, nn.Module):
        raise ValueError(
            f"encoder makes a {type(encoder).__name__}, which starts from the data. Pass the class "
            "or a functools.partial of it, so that this is known before it is made."
        )
    return encoder


def _continued_network(
    embedding: BaseEmbedding, data: TrainingData, network: nn.Module
) -> nn.Module:
    encoder = encoder_of(network)
    maker, width = embedding._encoder_of_fit, embedding._n_features_out
    check_continues(embedding, encoder, maker, width, data.x.shape[1])
    return copy.deepcopy(encoder)


def _width(embedding: BaseEmbedding, network: nn.Module, x: Rows) -> int:
    """The width of the codes; without `n_components`, a ready-made encoder decides it."""
    expected = embedding.n_components
    if expected is None and not isinstance(embedding.encoder, nn.Module):
        expected = default_width(x.shape[1])
    return width_of_output(network, x, expected, "encoder")
