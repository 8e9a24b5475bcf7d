"""From prepared samples to an objective, with the network that the plan means."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .._sparse_rows import Rows
from ..data import RowsGathered
from ..networks import MLP, SkipMLP, UnitCode, answers_of, encoder_of, members_of
from ..objectives import EmbeddingObjective, MembersObjective
from ..tables import ROWS_TO_START_FROM
from ..training import LabelSpreader
from ._found import Earlier
from ._joint import check_can_be_joint, sample_to_start_from
from ._new_networks import (
    check_continues,
    chosen_dropout,
    default_width,
    make_network,
    width_of_output,
)
from ._plan import Plan, Task
from ._prepared import Prepared


def build(
    plan: Plan, prepared: Prepared, max_iter: int, earlier: Earlier | None
) -> tuple[EmbeddingObjective, int]:
    """A new objective on the device, with its own network, to be trained for `max_iter` epochs; and
    the width of its codes.
    """
    plan.objective.check(plan.processes)
    if earlier is None:
        networks = [_new_network(plan, prepared) for _ in range(plan.encoder.n_members)]
    else:
        networks = _continued_networks(plan, prepared.data.x.shape[1], earlier)
    made = [_objective_of(plan, prepared, network, max_iter) for network in networks]
    objectives, widths = zip(*made, strict=True)
    objective: EmbeddingObjective = objectives[0]
    if len(objectives) > 1:
        leaves_out = prepared.data.parts is not None
        objective = MembersObjective(objectives, leaves_out=leaves_out)
    if earlier is not None:
        same_classes = _names(earlier.classes) == _names(prepared.classes)
        objective.continue_from(earlier.objective, same_classes=same_classes)
    return objective.to(prepared.features.device, torch.float32), sum(widths)


def _objective_of(
    plan: Plan, prepared: Prepared, network: nn.Module, max_iter: int
) -> tuple[EmbeddingObjective, int]:
    """The objective of one network, and the width of its codes."""
    data, device = prepared.data, prepared.features.device
    if plan.processes.is_joint:
        check_can_be_joint(network)
    if plan.encoder.normalizes:
        network = UnitCode(network)
    network = network.to(device, torch.float32)
    two = data.example().to(device)
    n_components = width_of_output(network, two, _expected_width(plan, two), "encoder")
    task = Task(
        network,
        prepared.labels,
        prepared.classes,
        n_features=data.x.shape[1],
        n_components=n_components,
        max_iter=max_iter,
        processes=plan.processes,
    )
    return plan.objective.make(task), n_components


def spreader_of(
    prepared: Prepared,
    objective: EmbeddingObjective,
    max_iter: int,
    earlier: Earlier | None,
) -> LabelSpreader:
    """Spreads labels among the codes of an objective that is trained for `max_iter` epochs, and at
    the start among the samples, because the network has not learned anything yet.
    """
    assert prepared.classes is not None
    encoder = answers_of(objective.network)
    start: Callable[[Rows], Tensor] | None = None
    if earlier is None:

        def start(x: Rows) -> Tensor:
            x = x.to(prepared.features.device)
            if not isinstance(x, Tensor):  # whose first codes are their principal components
                return objective.codes(x)
            return encoder.squash(x)

    return LabelSpreader(objective.codes, len(prepared.classes), max_iter, start)


def _new_network(plan: Plan, prepared: Prepared) -> nn.Module:
    wanted, data, processes = plan.encoder, prepared.data, plan.processes
    n_features = data.x.shape[1]
    encoder = make_network(
        wanted.maker,
        SkipMLP if len(wanted.hidden_layer_sizes) else MLP,
        n_features,
        wanted.width or default_width(n_features),
        hidden_layer_sizes=wanted.hidden_layer_sizes,
        activation=wanted.activation,
        dropout=chosen_dropout(wanted.dropout, n_features, processes.total(len(data.rows))),
        name="encoder",
        sparse=isinstance(data.x, RowsGathered),
    )
    asked, spread = answers_of(encoder), prepared.features.spread
    if asked.starts_from_data and spread is not None:
        sample = sample_to_start_from(data, ROWS_TO_START_FROM, processes)
        asked.start_from(sample, torch.from_numpy(spread).float())
    elif asked.starts_from_data and not isinstance(wanted.maker, nn.Module):
        raise ValueError(
            f"encoder makes a {type(encoder).__name__}, which starts from the data. Pass the class "
            "or a functools.partial of it, so that this is known before it is made."
        )
    unit = asked.spread
    if unit is not None and unit.shape != (n_features,):
        raise ValueError(
            f"{type(encoder).__name__}.spread must have shape {(n_features,)}, got "
            f"{tuple(unit.shape)}."
        )
    return encoder


def _continued_networks(plan: Plan, n_features: int, earlier: Earlier) -> list[nn.Module]:
    encoders = [encoder_of(network) for network in members_of(earlier.objective.network)]
    check_continues(plan, encoders, earlier.maker, earlier.n_components, n_features)
    return [copy.deepcopy(encoder) for encoder in encoders]


def _expected_width(plan: Plan, x: Rows) -> int | None:
    """The width of a member's codes; without `n_components`, a ready-made encoder decides it."""
    expected = plan.encoder.width
    if expected is None and not isinstance(plan.encoder.maker, nn.Module):
        return default_width(x.shape[1])
    return expected


def _names(classes: NDArray[Any] | None) -> list[Any]:
    return [] if classes is None else list(classes)
