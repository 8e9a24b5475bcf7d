"""From the parameters to the state and the steps of a training."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..data import TrainingData
from ..distributed._ranks import ranks_of_fit
from ..networks import answers_of, apply, largest_product
from ..objectives import EmbeddingObjective
from ..training import (
    AdversarialGradient,
    AdversarialStep,
    LabelSpreader,
    Step,
    Stopping,
    TrainingState,
    TrainingStep,
    epochs_for,
    load_random_state,
    random_state,
    replayed_if_it_pays,
)
from ._encoders import USUAL_WIDTH
from ._parameters import EmbeddingParameters

#: What `batch_size="auto"` means.
_AUTO_BATCH_SIZE = 256

#: So many training samples show whether a network is sane.
_ROWS_TO_CHECK = 256

#: Divided by a lower one, distances of standardized samples come near the end of float32.
_LOW_TEMPERATURE = 1e-20

#: If the encoder knows the unit of the features. Otherwise only the user knows how large
#: perturbations may be.
_AUTO_ADVERSARIAL_RADIUS = 0.7


def make_state(
    parameters: EmbeddingParameters,
    objective: EmbeddingObjective,
    *,
    learning_rate: Callable[[float], float],
    max_iter: int,
    generator: torch.Generator,
    device: torch.device,
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
    rate, decay = parameters.learning_rate_init, parameters.weight_decay
    stopping = Stopping(least_improvement(parameters), parameters.n_iter_no_change)
    return TrainingState(
        objective,
        parameters._make_optimizer(groups, lr=rate, weight_decay=decay),
        learning_rate=learning_rate,
        max_iter=max_iter,
        stopping=stopping,
        generator=generator,
        device=device,
        spreader=spreader,
    )


def least_improvement(parameters: EmbeddingParameters) -> float | None:
    """By how much the loss has to improve; None if it need not."""
    return 0.0 if parameters.tol is None and parameters._stops_early else parameters.tol


def make_step(
    parameters: EmbeddingParameters, state: TrainingState, batch_size: int, first_epoch: int
) -> TrainingStep:
    """The step that the parameters mean, with adversarial steps from an epoch on."""
    objective: Any = state.objective
    ranks = ranks_of_fit()
    plain = Step(objective, state.optimizer, average=None if ranks is None else ranks.average)
    radius, spread = _radius_and_spread(parameters, objective.network)
    if radius == 0:
        return replayed_if_it_pays([plain], state.device, batch_size)[0]
    largest = None if ranks is None else ranks.largest
    gradient = AdversarialGradient(radius, spread, largest)
    adversarial = replace(plain, gradient=gradient)
    return AdversarialStep(
        *replayed_if_it_pays([plain, adversarial], state.device, batch_size),
        fraction=parameters.adversarial_fraction,
        first_epoch=first_epoch,
    )


def _radius_and_spread(
    parameters: EmbeddingParameters, network: nn.Module
) -> tuple[float, Tensor | float]:
    """The adversarial radius, and its unit along each feature (d,): that of the network."""
    radius, spread = parameters.adversarial_radius, answers_of(network).spread
    if spread is None:
        return 0.0 if radius == "auto" else radius, 1.0
    return _AUTO_ADVERSARIAL_RADIUS if radius == "auto" else radius, spread


def number_of_epochs(parameters: EmbeddingParameters, n_rows: int) -> int:
    """What `max_iter` means for so many training samples, of all processes together."""
    if parameters.max_iter != "auto":
        return parameters.max_iter
    batch_size = size_of_batches(parameters, n_rows)
    ranks = ranks_of_fit()
    if ranks is not None:
        batch_size = min(batch_size * ranks.size, n_rows)
    return epochs_for(n_rows, batch_size, parameters._most_epochs)


def size_of_batches(parameters: EmbeddingParameters, n_rows: float = math.inf) -> int:
    """Samples in a batch, of so many."""
    size = _AUTO_BATCH_SIZE if parameters.batch_size == "auto" else parameters.batch_size
    return size if n_rows >= size else int(n_rows)


def product_of_a_step(
    parameters: EmbeddingParameters, network: nn.Module, batch_size: int, device: torch.device
) -> float:
    """Multiplications in the largest matrix product of a step that the CPU computes."""
    if device.type != "cpu":
        return 0
    of_loss = batch_size**2 * (parameters.n_components or USUAL_WIDTH)
    return max(largest_product(network, batch_size), of_loss)


def advice(parameters: EmbeddingParameters) -> str:
    """What to do if a training diverged."""
    radius = parameters.adversarial_radius
    too = " or adversarial_radius" if radius == "auto" or radius > 0 else ""
    rate = parameters.learning_rate_init
    temperature = parameters._resolved_parameters().get("temperature", 1.0)
    if temperature < _LOW_TEMPERATURE:
        return f"Scale the features (StandardScaler), or raise temperature={temperature}."
    return f"Scale the features (StandardScaler), or lower learning_rate_init={rate}{too}."


def may_go_on(network: nn.Module, data: TrainingData) -> bool:
    """Whether the codes of training samples, and so their distances, are finite."""
    return bool(_some_codes(network, data).float().square().sum().isfinite())


def check_codes(parameters: EmbeddingParameters, network: nn.Module, data: TrainingData) -> None:
    """Refuse a trained network whose codes of training samples are not finite. The loss of an epoch
    does not show what its last step did.
    """
    if not bool(_some_codes(network, data).isfinite().all()):
        raise ValueError(
            "The codes are not finite after the last epoch: the training diverged. "
            + advice(parameters)
        )


def _some_codes(network: nn.Module, data: TrainingData) -> Tensor:
    """The codes of some training samples. What draws later does not draw otherwise for it."""
    device = data.y.device
    if len(data.rows) == 0:  # in this process
        return torch.zeros(0, device=device)
    before = random_state(device)
    codes = apply(network, data.sample(_ROWS_TO_CHECK))
    load_random_state(before, device)
    return codes
