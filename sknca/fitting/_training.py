"""The training of one fit, with the bar, the callbacks, the checkpoint and what is watched."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import torch

from .._threads import threads_for
from ..data import Batch, TrainingData
from ..distributed import Ranks
from ..objectives import EmbeddingObjective
from ..training import (
    DivergenceError,
    Isolation,
    TrainingInterrupted,
    TrainingState,
    one_cycle,
    train,
)
from ._build import build, spreader_of
from ._checkpoint import Checkpoint
from ._found import Earlier, Fitted
from ._joint import agreed_to_stop, interruptible
from ._out_of_bag import out_of_bag
from ._plan import Plan
from ._prepared import Prepared
from ._progress import Progress, progress, show_note
from ._steps import check_codes, make_state, make_step, may_go_on, product_of_a_step
from ._watched import Watched, hold_out_to_watch, rows_to_look_at, why_not_watched

#: The first of this many parts of the epochs has no adversarial steps.
_EPOCHS_TO_ONE_WITHOUT_PERTURBATIONS = 8

#: After this part of the epochs, an objective adapts to training samples.
_PART_TO_ADAPT_AFTER = 0.35


class Callbacks(Protocol):
    """What is called at each epoch. It may run code of the user."""

    def begin_epoch(self) -> None: ...

    def end_epoch(self, found: Callable[[], Fitted]) -> bool:
        """Whether to stop here. `found` returns what the fit has found, as if it stopped here."""


class Training:
    """The training of one fit.

    Parameters
    ----------
    plan : Plan
        What the parameters mean.

    prepared : Prepared
        The samples.

    max_iter : int
        Number of epochs, if nothing else decides.

    isolation : Isolation
        Where it runs, and what draws.

    earlier : Earlier or None
        The fit to continue from, if there is one.

    callbacks : Callbacks or None
        They are called at each epoch.

    checkpoint : Checkpoint or None
        It gets the state after each epoch, and may have one to continue from.

    Attributes
    ----------
    state : TrainingState
        Of the objective that is trained, or was last.

    overfits : bool or None
        What the watch for overfitting has found, if there was one.
    """

    state: TrainingState

    def __init__(
        self,
        plan: Plan,
        prepared: Prepared,
        *,
        max_iter: int,
        isolation: Isolation,
        earlier: Earlier | None = None,
        callbacks: Callbacks | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.overfits: bool | None = None
        self._plan = plan
        self._prepared = prepared
        self._max_iter = max_iter
        self._isolation = isolation
        self._generator = isolation.generator
        self._earlier = earlier
        self._callbacks = callbacks
        self._checkpoint = checkpoint
        self._n_components = 0
        self._watched: Watched | None = None
        self._asked_to_stop = False
        self._may_go_on = True
        any_of = plan.processes.any_of
        self._spreads = plan.spreads_labels and any_of(bool((prepared.labels < 0).any()))
        if self._spreads and plan.processes.is_joint:
            raise ValueError(
                "spread_labels=True is for a single process: set spread_labels=False, and samples "
                "without a label are not used by the loss of the labels."
            )

    @property
    def objective(self) -> EmbeddingObjective:
        objective = self.state.objective
        assert isinstance(objective, EmbeddingObjective)
        return objective

    def found(self) -> Fitted:
        """What the fit has found so far."""
        prepared, spreader = self._prepared, self.state.spreader
        transduction = None
        if spreader is not None:
            assert prepared.classes is not None
            every = torch.arange(prepared.data.x.shape[0], device="cpu")
            labels = spreader.transduction(replace(prepared.data, rows=every))
            transduction = prepared.classes[labels.numpy()]
        return replace(
            self.so_far(),
            transduction=transduction,
            out_of_bag=out_of_bag(self.objective, prepared, self._generator, self._plan.processes),
            has_converged=self._has_converged,
        )

    def so_far(self) -> Fitted:
        """The same, without what takes a while."""
        prepared = self._prepared
        return Fitted(
            self.objective,
            self.state.history,
            prepared.features.device,
            prepared.classes,
            self._n_components,
            prepared.features.center,
            validated=prepared.held_out is not None,
            overfits=self.overfits,
        )

    def run(self) -> None:
        """Train, from the checkpoint on if it holds a state.

        A part of the samples may be held out in the first half of the epochs, to detect
        overfitting. If the training overfits, it starts again on all samples, for fewer epochs.
        Otherwise, it continues with all samples.

        Raises
        ------
        ValueError
            If there is nothing to train, the training diverges, or samples must be perturbed and
            the loss has no gradient with respect to them.
        TrainingInterrupted
            If the user interrupts after the first epoch. The objective keeps what it has learned.
        """
        data, checkpoint, plan = self._prepared.data, self._checkpoint, self._plan
        reason = why_not_watched(plan, self._prepared, self._max_iter, self._earlier)
        if checkpoint is not None and checkpoint.found is not None:
            with checkpoint.being_loaded():
                self._resume(checkpoint.found)
        else:
            if reason is None:
                self._watched = self._hold_out(self._max_iter)
                if self._watched is None:
                    reason = "each of the groups has all samples of a class"
            self._begin(self._max_iter)
        if reason is not None and plan.asks_to_watch and plan.processes.is_first:
            note = f"not checked for overfitting, because {reason}"
            show_note(plan.name, note, plan.verbose)
        if checkpoint is None or not checkpoint.is_finished:
            self._run_to_end(data)
        self.state.finish()
        check_codes(self._plan, self.state, data)

    def _run_to_end(self, data: TrainingData) -> None:
        before: TrainingState | None = None
        plan = self._plan
        verbose = plan.verbose if plan.processes.is_first else 0
        try:
            with progress(plan.name, self.state, verbose) as shown:
                if self._watched is not None and self.overfits is None:
                    watch = self._watched.watch
                    if not watch.is_over:
                        self._train(self._watched.part, shown, until=self._watched.until)
                    if not self._asked_to_stop:
                        self.overfits = watch.overfits and not watch.is_over
                    if self.overfits:
                        before = self.state
                        self._begin(watch.short_training)
                if not self._asked_to_stop:
                    self._train(data, shown, self._prepared.held_out)
        except BaseException as error:
            if self._checkpoint is not None:
                self._checkpoint.write()
            if not self.state.history and before is not None:
                self.state = before
            if isinstance(error, DivergenceError):
                raise ValueError(f"{error} {self._plan.advice}") from error
            if isinstance(error, KeyboardInterrupt) and self.state.history:
                self.state.finish()
                raise TrainingInterrupted(self.state.history) from error
            raise
        if self._checkpoint is not None:
            self._checkpoint.write(finished=self._may_go_on)

    def _begin(self, max_iter: int) -> None:
        """Make a new objective, to be trained for `max_iter` epochs."""
        plan, prepared, processes = self._plan, self._prepared, self._plan.processes
        objective, self._n_components = build(plan, prepared, max_iter, self._earlier)
        if processes.is_joint:
            processes.broadcast([*objective.parameters(), *objective.buffers()])
            # Dropout has to be drawn independently.
            self._isolation.reseed([self._generator.initial_seed(), processes.rank])
        spreader = None
        if self._spreads:
            spreader = spreader_of(prepared, objective, max_iter, self._earlier)
        self.state = make_state(
            plan,
            objective,
            learning_rate=lambda progress: plan.learning_rate * one_cycle(progress),
            max_iter=max_iter,
            isolation=self._isolation,
            spreader=spreader,
        )
        # One that was found to overfit is trained too briefly to adapt.
        after = None if self.overfits else math.ceil(_PART_TO_ADAPT_AFTER * max_iter)
        self._adapts_after = after

    def _hold_out(self, max_iter: int) -> Watched | None:
        return hold_out_to_watch(
            self._plan,
            self._prepared.data,
            max_iter,
            self._generator,
            lambda held_out, others: self.objective.overfitting(held_out, others),
        )

    def _resume(self, found: Mapping[str, Any]) -> None:
        """Continue the training that wrote the checkpoint."""
        if found["watch"] is not None:
            self._watched = self._hold_out(found["planned"])
            assert self._watched is not None  # as in the fit that wrote the file
            self._watched.watch.load_state_dict(found["watch"])
        self.overfits = found["overfits"]
        self._begin(found["max_iter"] if self.overfits else self._max_iter)
        processes = self._plan.processes
        own = found["of_processes"][processes.rank] if processes.is_joint else {}
        self.state.load_state_dict({**found["state"], **own})

    def _train(
        self,
        data: TrainingData,
        shown: Progress,
        held_out: tuple[Batch, Batch | None] | None = None,
        *,
        until: int | None = None,
    ) -> None:
        """Train until an epoch, or to the end, with progress, checkpoint and callbacks."""
        plan, state, objective = self._plan, self.state, self.objective
        processes, device = plan.processes, state.device
        n_rows = processes.total(len(data.rows))
        batch_size = plan.size_of_batches(n_rows)
        first_epoch = state.max_iter // _EPOCHS_TO_ONE_WITHOUT_PERTURBATIONS
        product = product_of_a_step(plan, objective.network, batch_size, device)
        shown.begin_training(state, n_rows)

        def begin_epoch() -> None:
            self._begin_epoch_of_callbacks()
            shown.begin_epoch()

        with interruptible(processes), threads_for(product):
            step = make_step(plan, state, batch_size, first_epoch)
            for record in train(
                state,
                data,
                shown.watching(step) if plan.verbose else step,
                batch_size=batch_size,
                validate=None if held_out is None else partial(objective.held_out, *held_out),
                until=until,
                on_epoch_begin=begin_epoch,
                ranks=processes if isinstance(processes, Ranks) else None,
            ):
                shown.end_epoch(record)
                if self._end_epoch(data):
                    break

    def _end_epoch(self, data: TrainingData) -> bool:
        """Whether to stop here."""
        epochs, watched = self.state.epoch, None if self.overfits is not None else self._watched
        processes = self._plan.processes
        if self.objective.adapts and epochs == self._adapts_after:
            self.objective.adapt_to(rows_to_look_at(data, self._generator, processes))
        if watched is not None:
            watched.watch.end_epoch(epochs - 1)
        if self._checkpoint is not None:
            state = self._state_dict(copied=self._checkpoint.keeps(epochs))
            # The loss of an epoch does not show what its last step did. If that diverged, the next
            # loss does, and the file keeps the epoch before.
            self._may_go_on = not processes.any_of(not may_go_on(self.state, data))
            if self._may_go_on:
                self._checkpoint.end_epoch(epochs, state)
        self._asked_to_stop = agreed_to_stop(self._end_epoch_of_callbacks(), processes)
        return self._asked_to_stop or (watched is not None and watched.watch.is_over)

    def _begin_epoch_of_callbacks(self) -> None:
        if self._callbacks is not None:
            with self._isolation.outside():
                self._callbacks.begin_epoch()

    def _end_epoch_of_callbacks(self) -> bool:
        if self._callbacks is None:
            return False

        def found() -> Fitted:
            so_far = self.so_far()
            objective, history = copy.deepcopy(so_far.objective), list(so_far.history)
            return replace(so_far, objective=objective, history=history)

        try:
            with self._isolation.outside():
                return self._callbacks.end_epoch(found)
        except KeyboardInterrupt:
            if not self._plan.processes.is_joint:
                raise
            self._plan.processes.is_interrupted = True
            return False

    def _state_dict(self, *, copied: bool) -> dict[str, Any]:
        """Everything that a checkpoint needs to continue from here."""
        watched, processes = self._watched, self._plan.processes
        state = self.state.state_dict(copied=copied)
        more = {}
        if processes.is_joint:
            own = {name: state[name] for name in ("batches", "random")}
            more["of_processes"] = processes.exchange(own)
        return {
            **more,
            "state": state,
            "max_iter": self.state.max_iter,
            "planned": self._max_iter,
            "overfits": self.overfits,
            "watch": None if watched is None else watched.watch.state_dict(),
        }

    @property
    def _has_converged(self) -> bool:
        """Whether the loss stopped improving within the epochs, if there was a criterion."""
        state = self.state
        stopped = state.stopping.should_stop or self._asked_to_stop
        return state.stopping.tol is None or state.epoch < state.max_iter or stopped
