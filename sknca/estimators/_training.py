"""From the parameters to the training of an objective, with the bar and the callbacks."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from .._threads import threads_for
from .._warnings import warn_user
from ..networks import SkipMLP, UnitCode, largest_product
from ..objectives import EmbeddingObjective
from ..training import (
    ROWS_TO_LOOK_AT,
    WATCHED_PART,
    AdamW,
    EpochRecord,
    OverfittingWatch,
    Stopping,
    TrainingData,
    TrainingInterrupted,
    fraction_to_watch,
    hold_out,
    labeled_sample,
    one_cycle,
    train,
)
from ._callbacks import FitCallbacks
from ._parameters import EmbeddingParameters
from ._progress import progress_bar

#: What `batch_size="auto"` means.
AUTO_BATCH_SIZE = 256

#: After which part of the epochs an objective is shown the training rows, to adapt to them.
_PART_TO_ADAPT_AFTER = 0.35

#: The most components that there are if nobody says how many.
_USUAL_WIDTH = 32

#: With the encoder that brings features to unit spread. How far rows may be moved for another, only
#: the user knows.
_AUTO_ADVERSARIAL_RADIUS = 0.7


class Training:
    """The training of one fit, as the parameters say.

    Parameters
    ----------
    parameters : EmbeddingParameters
        Of the embedding.

    make_objective : callable
        From a number of epochs to a new objective that is to be trained for so many.

    generator : torch.Generator
        As of `train`.

    callbacks : FitCallbacks
        Are told of each epoch.

    as_if_stopped : callable
        From an objective and the records so far to the attributes that the embedding would have
        if it were stopped there, for a callback that wants to see them.

    Attributes
    ----------
    objective : EmbeddingObjective
        What is trained, or was last.

    overfits : bool or None
        What a watch for overfitting has found, if there was one.
    """

    objective: EmbeddingObjective

    def __init__(
        self,
        parameters: EmbeddingParameters,
        make_objective: Callable[[int], EmbeddingObjective],
        *,
        generator: torch.Generator,
        callbacks: FitCallbacks,
        as_if_stopped: Callable[[EmbeddingObjective, list[EpochRecord]], dict[str, Any]],
    ) -> None:
        self.overfits: bool | None = None
        self._parameters = parameters
        self._make_objective = make_objective
        self._generator = generator
        self._callbacks = callbacks
        self._as_if_stopped = as_if_stopped
        self._asked_to_stop = False

    def begin(self, max_iter: int, *, adapts: bool = True) -> EmbeddingObjective:
        """Make a new objective, to be trained for so many epochs."""
        self.objective = self._make_objective(max_iter)
        self._adapts_after = math.ceil(_PART_TO_ADAPT_AFTER * max_iter) if adapts else None
        groups = [group for group in self.objective.parameter_groups() if group["params"]]
        if not groups:
            raise ValueError("encoder has no parameter that can be trained.")
        self._max_iter = max_iter
        self._optimizer = AdamW(
            groups,
            lr=self._parameters.learning_rate_init,
            weight_decay=self._parameters.weight_decay,
        )
        return self.objective

    def run(
        self,
        data: TrainingData,
        *,
        history: list[EpochRecord] | None = None,
        until: int | None = None,
        validate: Callable[[], Tensor] | None = None,
        watch: OverfittingWatch | None = None,
    ) -> list[EpochRecord]:
        """Train the objective that was begun.

        Parameters
        ----------
        data, validate
            As of `train`.

        history : list of EpochRecord, default=None
            What is known of the epochs so far, if it goes on.

        until : int, default=None
            Stop before this epoch. None: when all are over.

        watch : OverfittingWatch, default=None
            Is told of each epoch.

        Returns
        -------
        history : list of EpochRecord
            One record for each epoch.

        Raises
        ------
        ValueError
            If there is nothing to train, the loss is not finite, or rows are to be moved and it
            has no gradient in them.
        """
        given = self._parameters
        batch_size = AUTO_BATCH_SIZE if given.batch_size == "auto" else given.batch_size
        radius, spread = _radius_and_spread(given, self.objective.network)
        tol = 0.0 if given.tol is None and given.early_stopping is True else given.tol
        stopping = Stopping(tol, given.n_iter_no_change)
        name = type(given).__name__
        done = len(history or [])
        batch_size = min(batch_size, len(data.rows))
        with (
            threads_for(self._largest_product(batch_size, data.y.device)),
            progress_bar(name, self._max_iter, len(data.rows), given.verbose, done) as show,
        ):
            history = train(
                self.objective,
                data,
                optimizer=self._optimizer,
                learning_rate=lambda progress: given.learning_rate_init * one_cycle(progress),
                batch_size=batch_size,
                max_iter=self._max_iter,
                stopping=stopping,
                generator=self._generator,
                adversarial_radius=radius,
                adversarial_fraction=given.adversarial_fraction,
                spread=spread,
                validate=validate,
                on_epoch_begin=self._callbacks.begin_epoch,
                on_epoch_end=partial(self._end_epoch, show, watch, data),
                history=history or (),
                until=until,
            )
        stopped = stopping.should_stop or self._asked_to_stop
        if tol is not None and len(history) == self._max_iter and not stopped:
            warn_user(
                f"Maximum iterations (max_iter={self._max_iter}) reached before the loss stopped "
                "improving.",
                ConvergenceWarning,
            )
        return history

    def _largest_product(self, batch_size: int, device: torch.device) -> float:
        """Multiplications in the largest matrix product of a step that the CPU computes."""
        if device.type != "cpu":
            return 0
        of_loss = batch_size**2 * (self._parameters.n_components or _USUAL_WIDTH)
        return max(largest_product(self.objective.network, batch_size), of_loss)

    def run_watched(self, data: TrainingData) -> list[EpochRecord]:
        """Train while held-out rows show whether that overfits.

        They are held out for the first half of the epochs. If the training overfits, it starts
        anew, on all rows, for fewer epochs. If not, it goes on with all rows.
        """
        max_iter = self._parameters.max_iter
        fraction = fraction_to_watch(self._parameters.validation_fraction, len(data.rows))
        kept, left_out = hold_out(data.labels, fraction, self._generator)
        part = replace(data, rows=data.rows[kept])
        held_out, others = (
            labeled_sample(some, self._generator, ROWS_TO_LOOK_AT)
            for some in (replace(data, rows=data.rows[left_out]), part)
        )
        self.begin(max_iter)
        until = math.ceil(WATCHED_PART * max_iter)
        watch = OverfittingWatch(lambda: self.objective.overfitting(held_out, others), max_iter)
        history = self.run(part, until=until, watch=watch)
        if self._asked_to_stop:
            return history
        self.overfits = watch.overfits and not watch.is_over
        if not self.overfits:
            return self.run(data, history=history)
        watched = self.objective
        try:
            self.begin(watch.short_training, adapts=False)
            return self.run(data)
        except TrainingInterrupted:
            raise
        except KeyboardInterrupt as interruption:  # before the first epoch anew
            self.objective = watched
            raise TrainingInterrupted(history) from interruption

    def _end_epoch(
        self,
        show: Callable[[EpochRecord], None],
        watch: OverfittingWatch | None,
        data: TrainingData,
        history: list[EpochRecord],
    ) -> bool:
        show(history[-1])
        if self.objective.adapts and len(history) == self._adapts_after:
            self.objective.adapt_to(labeled_sample(data, self._generator, ROWS_TO_LOOK_AT))
            self.objective.train()
        if watch is not None and watch.end_epoch(len(history) - 1):
            self.objective.train()
        self._asked_to_stop = self._callbacks.end_epoch(
            lambda: self._as_if_stopped(self.objective, history)
        )
        return self._asked_to_stop or (watch is not None and watch.is_over)


def _radius_and_spread(
    parameters: EmbeddingParameters, network: nn.Module
) -> tuple[float, Tensor | float]:
    """The adversarial radius, and its unit along each feature (d,): that of the network."""
    encoder = network.encoder if isinstance(network, UnitCode) else network
    radius = parameters.adversarial_radius
    if isinstance(encoder, SkipMLP):
        return _AUTO_ADVERSARIAL_RADIUS if radius == "auto" else radius, encoder.spread
    return 0.0 if radius == "auto" else radius, 1.0
