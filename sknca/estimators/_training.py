"""From the parameters to the training of an objective, with the bar and the callbacks."""

from collections.abc import Callable
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from .._warnings import warn_user
from ..networks import SkipMLP, UnitCode
from ..objectives import EmbeddingObjective
from ..training import AdamW, EpochRecord, Stopping, TrainingData, one_cycle, train
from ._callbacks import FitCallbacks
from ._parameters import EmbeddingParameters
from ._progress import progress_bar

_AUTO_BATCH_SIZE = 256

#: With the encoder that brings features to unit spread. How far rows may be moved for another, only
#: the user knows.
_AUTO_ADVERSARIAL_RADIUS = 0.7


def train_objective(
    parameters: EmbeddingParameters,
    objective: EmbeddingObjective,
    data: TrainingData,
    *,
    validate: Callable[[], Tensor] | None,
    generator: torch.Generator,
    callbacks: FitCallbacks,
    as_if_stopped: Callable[[list[EpochRecord]], dict[str, Any]],
) -> list[EpochRecord]:
    """Train the objective as the parameters say.

    Parameters
    ----------
    parameters : EmbeddingParameters
        Of the embedding.

    objective, data, validate, generator
        As of `train`.

    callbacks : FitCallbacks
        Are told of each epoch.

    as_if_stopped : callable
        From the records so far to the attributes that the embedding would have if it were
        stopped there, for a callback that wants to see them.

    Returns
    -------
    history : list of EpochRecord
        One record for each epoch.

    Raises
    ------
    ValueError
        If there is nothing to train, the loss is not finite, or rows are to be moved and it has
        no gradient in them.
    """
    groups = [group for group in objective.parameter_groups() if group["params"]]
    if not groups:
        raise ValueError("encoder has no parameter that can be trained.")
    batch_size = _AUTO_BATCH_SIZE if parameters.batch_size == "auto" else parameters.batch_size
    radius, spread = _radius_and_spread(parameters, objective.network)
    max_iter = parameters.max_iter
    tol = 0.0 if parameters.tol is None and parameters.early_stopping else parameters.tol
    stopping = Stopping(tol, parameters.n_iter_no_change)
    name = type(parameters).__name__
    asked_to_stop = False
    with progress_bar(name, max_iter, len(data.rows), parameters.verbose) as show:

        def end_epoch(history: list[EpochRecord]) -> bool:
            nonlocal asked_to_stop
            show(history[-1])
            asked_to_stop = callbacks.end_epoch(lambda: as_if_stopped(history))
            return asked_to_stop

        history = train(
            objective,
            data,
            optimizer=AdamW(
                groups,
                lr=parameters.learning_rate_init,
                weight_decay=parameters.weight_decay,
            ),
            learning_rate=lambda progress: parameters.learning_rate_init * one_cycle(progress),
            batch_size=min(batch_size, len(data.rows)),
            max_iter=max_iter,
            stopping=stopping,
            generator=generator,
            adversarial_radius=radius,
            adversarial_fraction=parameters.adversarial_fraction,
            spread=spread,
            validate=validate,
            on_epoch_begin=callbacks.begin_epoch,
            on_epoch_end=end_epoch,
        )
    stopped = stopping.should_stop or asked_to_stop
    if tol is not None and len(history) == max_iter and not stopped:
        warn_user(
            f"Maximum iterations (max_iter={max_iter}) reached before the loss stopped improving.",
            ConvergenceWarning,
        )
    return history


def _radius_and_spread(
    parameters: EmbeddingParameters, network: nn.Module
) -> tuple[float, Tensor | float]:
    """The adversarial radius, and its unit along each feature (d,): that of the network."""
    encoder = network.encoder if isinstance(network, UnitCode) else network
    radius = parameters.adversarial_radius
    if isinstance(encoder, SkipMLP):
        return _AUTO_ADVERSARIAL_RADIUS if radius == "auto" else radius, encoder.spread
    return 0.0 if radius == "auto" else radius, 1.0
