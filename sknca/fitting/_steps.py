"""From the plan to the state and the steps of a training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..data import TrainingData
from ..networks import answers_of, apply, largest_product
from ..objectives import EmbeddingObjective
from ..training import (
    AdversarialGradient,
    AdversarialStep,
    Isolation,
    LabelSpreader,
    Step,
    Stopping,
    TrainingState,
    TrainingStep,
    replayed_if_it_pays,
)
from ._plan import Plan

#: This many training samples show whether a network is sane.
_ROWS_TO_CHECK = 256

#: If the encoder has the units of the features. Otherwise only the user knows how large
#: perturbations may be.
_AUTO_ADVERSARIAL_RADIUS = 0.7


def make_state(
    plan: Plan,
    objective: EmbeddingObjective,
    *,
    learning_rate: Callable[[float], float],
    max_iter: int,
    isolation: Isolation,
    spreader: LabelSpreader | None = None,
) -> TrainingState:
    """The state of an objective before its training.

    Raises
    ------
    ValueError
        If there is nothing to train.
    """
    groups = [group for group in objective.parameter_groups() if group["params"]]
    if not groups:
        raise ValueError("encoder has no trainable parameter.")
    return TrainingState(
        objective,
        plan.make_optimizer(groups, lr=plan.learning_rate, weight_decay=plan.weight_decay),
        learning_rate=learning_rate,
        max_iter=max_iter,
        stopping=Stopping(plan.least_improvement, plan.n_iter_no_change),
        isolation=isolation,
        spreader=spreader,
    )


def make_step(plan: Plan, state: TrainingState, batch_size: int, first_epoch: int) -> TrainingStep:
    """The step that the plan means, with adversarial steps from an epoch on."""
    objective: Any = state.objective
    joint = plan.processes if plan.processes.is_joint else None
    plain = Step(objective, state.optimizer, average=None if joint is None else joint.average)
    radius, spread = _radius_and_spread(plan, objective.network)
    if radius == 0:
        return replayed_if_it_pays([plain], state.device, batch_size)[0]
    gradient = AdversarialGradient(radius, spread, None if joint is None else joint.largest)
    adversarial = replace(plain, gradient=gradient)
    return AdversarialStep(
        *replayed_if_it_pays([plain, adversarial], state.device, batch_size),
        fraction=plan.adversarial_fraction,
        first_epoch=first_epoch,
    )


def _radius_and_spread(plan: Plan, network: nn.Module) -> tuple[float, Tensor | float]:
    """The adversarial radius, and its unit along each feature (d,): that of the network."""
    radius, spread = plan.adversarial_radius, answers_of(network).spread
    if spread is None:
        return 0.0 if radius == "auto" else radius, 1.0
    return _AUTO_ADVERSARIAL_RADIUS if radius == "auto" else radius, spread


def product_of_a_step(
    plan: Plan, network: nn.Module, batch_size: int, device: torch.device
) -> float:
    """Multiplications in the largest matrix product of a step that the CPU computes."""
    if device.type != "cpu":
        return 0
    return max(largest_product(network, batch_size), batch_size**2 * plan.width_of_loss)


def may_go_on(state: TrainingState, data: TrainingData) -> bool:
    """Whether the squared norms of the codes of training samples are finite."""
    return bool(_some_codes(state, data).float().square().sum().isfinite())


def check_codes(plan: Plan, state: TrainingState, data: TrainingData) -> None:
    """Refuse a trained network whose codes of training samples are not finite. The loss of an epoch
    does not show what its last step did.
    """
    if not bool(_some_codes(state, data).isfinite().all()):
        raise ValueError(
            "The codes are not finite after the last epoch: the training diverged. " + plan.advice
        )


def _some_codes(state: TrainingState, data: TrainingData) -> Tensor:
    """The codes of some training samples. Later random numbers do not depend on it."""
    objective: Any = state.objective
    if len(data.rows) == 0:  # in this process
        return torch.zeros(0, device=state.device)
    before = state.isolation.random_state()
    codes = apply(objective.network, data.sample(_ROWS_TO_CHECK))
    state.isolation.load_random_state(before)
    return codes
