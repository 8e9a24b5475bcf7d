"""From the parameters to the training of an objective, with the bar and the callbacks."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .._threads import threads_for
from .._warnings import warn_user
from ..data import Batch, TrainingData, hold_out, one_of_each
from ..distributed._ranks import ranks_of_fit
from ..objectives import EmbeddingObjective
from ..training import (
    ROWS_TO_LOOK_AT,
    WATCHED_PART,
    DivergenceError,
    EpochRecord,
    LabelSpreader,
    OverfittingWatch,
    TrainingInterrupted,
    TrainingState,
    fraction_to_watch,
    one_cycle,
    reseed,
    train,
)
from ._callbacks import FitCallbacks
from ._checkpoint import Checkpoint
from ._parameters import EmbeddingParameters
from ._progress import Progress, progress
from ._ranks import agreed_to_stop, any_of, interruptible, is_first, pooled_sample, total
from ._settings import (
    advice,
    check_codes,
    make_state,
    make_step,
    may_go_on,
    product_of_a_step,
    size_of_batches,
)

#: One epoch in so many comes before the adversarial steps.
_EPOCHS_TO_ONE_WITHOUT_PERTURBATIONS = 8

#: After which part of the epochs an objective is shown the training rows, to adapt to them.
_PART_TO_ADAPT_AFTER = 0.35


@dataclass
class _Watched:
    """A part of the training rows, and the watch of the others for overfitting."""

    part: TrainingData
    watch: OverfittingWatch
    until: int


class Training:
    """The training of one fit, as the parameters say.

    Parameters
    ----------
    parameters : EmbeddingParameters
        Of the embedding.

    make_objective : callable
        From a number of epochs to a new objective that is to be trained for so many.

    max_iter : int
        Number of epochs, if nothing else decides.

    generator : torch.Generator
        Draws the batches and what is held out.

    callbacks : FitCallbacks
        Are told of each epoch.

    as_if_stopped : callable
        From an objective and the records so far to the attributes that the embedding would have
        if it were stopped there, for a callback that wants to see them.

    make_spreader : callable, default=None
        From an objective and its number of epochs to what spreads labels for it, if any does.

    checkpoint : Checkpoint or None
        Is told of the state after each epoch, and may hold one to go on from.

    Attributes
    ----------
    state : TrainingState
        Of the objective that is trained, or was last.

    overfits : bool or None
        What a watch for overfitting has found, if there was one.
    """

    state: TrainingState

    def __init__(
        self,
        parameters: EmbeddingParameters,
        make_objective: Callable[[int], EmbeddingObjective],
        *,
        max_iter: int,
        generator: torch.Generator,
        callbacks: FitCallbacks,
        as_if_stopped: Callable[[EmbeddingObjective, list[EpochRecord]], dict[str, Any]],
        make_spreader: Callable[[EmbeddingObjective, int], LabelSpreader] | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.overfits: bool | None = None
        self._parameters = parameters
        self._make_objective = make_objective
        self._max_iter = max_iter
        self._make_spreader = make_spreader
        self._generator = generator
        self._callbacks = callbacks
        self._as_if_stopped = as_if_stopped
        self._checkpoint = checkpoint
        self._watched: _Watched | None = None
        self._asked_to_stop = False
        self._may_go_on = True

    @property
    def objective(self) -> EmbeddingObjective:
        objective = self.state.objective
        assert isinstance(objective, EmbeddingObjective)
        return objective

    def run(
        self,
        data: TrainingData,
        *,
        held_out: tuple[Batch, Batch | None] | None = None,
        watched: bool = False,
    ) -> None:
        """Train, from the checkpoint on if it holds a state.

        Parameters
        ----------
        data : TrainingData
            The samples.

        held_out : tuple of Batch, default=None
            Samples to validate on, and those among which they look for their neighbors, or None.

        watched : bool, default=False
            Whether held-out samples show for the first half of the epochs whether the training
            overfits. If so, it starts anew, on all samples, for fewer epochs. If not, it goes on
            with all samples.

        Raises
        ------
        ValueError
            If there is nothing to train, the training diverges, or samples are to be perturbed and
            the loss has no gradient in them.
        TrainingInterrupted
            If the user interrupts after the first epoch. The objective keeps what it has learned.
        """
        if self._checkpoint is not None and self._checkpoint.found is not None:
            with self._checkpoint.being_loaded():
                self._resume(data, self._checkpoint.found)
        else:
            if watched:
                self._watched = self._hold_out(data, self._max_iter)
            self._begin(data, self._max_iter)
        if self._checkpoint is None or not self._checkpoint.is_finished:
            self._run_to_end(data, held_out)
        self.state.finish()
        check_codes(self._parameters, self.objective.network, data)

    def _run_to_end(self, data: TrainingData, held_out: tuple[Batch, Batch | None] | None) -> None:
        before: TrainingState | None = None
        given = self._parameters
        verbose = given.verbose if is_first() else 0
        try:
            with progress(type(given).__name__, self.state, verbose) as shown:
                if self._watched is not None and self.overfits is None:
                    watch = self._watched.watch
                    if not watch.is_over:
                        self._train(self._watched.part, shown, until=self._watched.until)
                    if not self._asked_to_stop:
                        self.overfits = watch.overfits and not watch.is_over
                    if self.overfits:
                        before = self.state
                        self._begin(data, watch.short_training)
                if not self._asked_to_stop:
                    self._train(data, shown, held_out)
        except BaseException as error:
            if self._checkpoint is not None:
                self._checkpoint.write()
            if not self.state.history and before is not None:
                self.state = before
            if isinstance(error, DivergenceError):
                raise ValueError(f"{error} {advice(self._parameters)}") from error
            if isinstance(error, KeyboardInterrupt) and self.state.history:
                self.state.finish()
                raise TrainingInterrupted(self.state.history) from error
            raise
        if self._checkpoint is not None:
            self._checkpoint.write(finished=self._may_go_on)
        self._warn_if_not_converged()

    def _begin(self, data: TrainingData, max_iter: int) -> None:
        """Make a new objective, to be trained for so many epochs."""
        rate = self._parameters.learning_rate_init
        objective, make_spreader = self._make_objective(max_iter), self._make_spreader
        ranks = ranks_of_fit()
        if ranks is not None:
            ranks.broadcast([*objective.parameters(), *objective.buffers()])
            # Dropout is to be drawn independently.
            reseed([self._generator.initial_seed(), ranks.rank], data.y.device)
        self.state = make_state(
            self._parameters,
            objective,
            learning_rate=lambda progress: rate * one_cycle(progress),
            max_iter=max_iter,
            generator=self._generator,
            device=data.y.device,
            spreader=None if make_spreader is None else make_spreader(objective, max_iter),
        )
        # One that was found to overfit is trained too briefly to adapt.
        after = None if self.overfits else math.ceil(_PART_TO_ADAPT_AFTER * max_iter)
        self._adapts_after = after

    def _resume(self, data: TrainingData, found: Mapping[str, Any]) -> None:
        """Go on where the training was that wrote the checkpoint."""
        if found["watch"] is not None:
            self._watched = self._hold_out(data, found["planned"])
            assert self._watched is not None  # as in the fit that wrote the file
            self._watched.watch.load_state_dict(found["watch"])
        self.overfits = found["overfits"]
        self._begin(data, found["max_iter"] if self.overfits else self._max_iter)
        ranks = ranks_of_fit()
        own = {} if ranks is None else found["of_processes"][ranks.rank]
        self.state.load_state_dict({**found["state"], **own})

    def _train(
        self,
        data: TrainingData,
        shown: Progress,
        held_out: tuple[Batch, Batch | None] | None = None,
        *,
        until: int | None = None,
    ) -> None:
        """Train until an epoch, or to the end, and tell everybody of each."""
        given, state, objective = self._parameters, self.state, self.objective
        n_rows = total(len(data.rows))
        batch_size = size_of_batches(given, n_rows)
        first_epoch = state.max_iter // _EPOCHS_TO_ONE_WITHOUT_PERTURBATIONS
        product = product_of_a_step(given, objective.network, batch_size, state.device)
        shown.begin_training(state, n_rows)

        def begin_epoch() -> None:
            self._callbacks.begin_epoch()
            shown.begin_epoch()

        with interruptible(), threads_for(product):
            step = make_step(given, state, batch_size, first_epoch)
            for record in train(
                state,
                data,
                shown.watching(step) if given.verbose else step,
                batch_size=batch_size,
                validate=None if held_out is None else partial(objective.held_out, *held_out),
                until=until,
                on_epoch_begin=begin_epoch,
            ):
                shown.end_epoch(record)
                if self._end_epoch(data):
                    break

    def _end_epoch(self, data: TrainingData) -> bool:
        """Whether to stop here."""
        epochs, watched = self.state.epoch, None if self.overfits is not None else self._watched
        if self.objective.adapts and epochs == self._adapts_after:
            self.objective.adapt_to(self._rows_to_look_at(data))
        if watched is not None:
            watched.watch.end_epoch(epochs - 1)
        if self._checkpoint is not None:
            state = self._state_dict(copied=self._checkpoint.keeps(epochs))
            # The loss of an epoch does not show what its last step did. If that diverged, the next
            # loss does, and the file keeps the epoch before.
            self._may_go_on = not any_of(not may_go_on(self.objective.network, data))
            if self._may_go_on:
                self._checkpoint.end_epoch(epochs, state)
        self._asked_to_stop = agreed_to_stop(self._end_epoch_of_callbacks())
        return self._asked_to_stop or (watched is not None and watched.watch.is_over)

    def _end_epoch_of_callbacks(self) -> bool:
        ranks = ranks_of_fit()
        try:
            return self._callbacks.end_epoch(
                lambda: self._as_if_stopped(self.objective, self.state.history)
            )
        except KeyboardInterrupt:
            if ranks is None:
                raise
            ranks.is_interrupted = True
            return False

    def _state_dict(self, *, copied: bool) -> dict[str, Any]:
        """All that a checkpoint must hold to go on from here."""
        watched, ranks = self._watched, ranks_of_fit()
        state = self.state.state_dict(copied=copied)
        more = {}
        if ranks is not None:
            own = {name: state[name] for name in ("batches", "random")}
            more["of_processes"] = ranks.exchange(own)
        return {
            **more,
            "state": state,
            "max_iter": self.state.max_iter,
            "planned": self._max_iter,
            "overfits": self.overfits,
            "watch": None if watched is None else watched.watch.state_dict(),
        }

    def _rows_to_look_at(self, data: TrainingData) -> Batch:
        """Some of the samples, no two of which are of the same class and the same group: copies of
        each other agree with their labels whatever the training has learned.
        """
        some = one_of_each(data, self._generator)
        return pooled_sample(some, self._generator, ROWS_TO_LOOK_AT)

    def _hold_out(self, data: TrainingData, max_iter: int) -> _Watched | None:
        """Hold rows out, to watch for overfitting in a training of so many epochs; None if there
        are none that can be.
        """
        groups = None if data.groups is None else data.groups[data.rows]
        n_groups = None if groups is None else len(groups.unique())
        fraction = fraction_to_watch(
            self._parameters.validation_fraction, total(len(data.rows)), n_groups
        )
        kept, left_out = hold_out(data.labels, fraction, self._generator, groups)
        if groups is not None and len(left_out) == 0:
            return None
        part = replace(data, rows=data.rows[kept])
        held_out, others = (
            self._rows_to_look_at(some) for some in (replace(data, rows=data.rows[left_out]), part)
        )

        def look() -> tuple[Tensor, Tensor]:
            ranks, seen = ranks_of_fit(), self.objective.overfitting(held_out, others)
            return seen if ranks is None else ranks.of_first(seen)

        watch = OverfittingWatch(look, max_iter, of_groups=groups is not None)
        return _Watched(part, watch, math.ceil(WATCHED_PART * max_iter))

    def _warn_if_not_converged(self) -> None:
        state = self.state
        stopped = state.stopping.should_stop or self._asked_to_stop
        if state.stopping.tol is not None and state.epoch == state.max_iter and not stopped:
            warn_user(
                f"Maximum iterations (max_iter={state.max_iter}) reached before the loss stopped "
                "improving.",
                ConvergenceWarning,
            )
