"""Everything that changes while an objective is trained."""

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch

from ._isolation import Isolation
from ._label_spreader import LabelSpreader
from ._step import BatchLoss, Optimizer
from ._stopping import Stopping

#: What is known of an epoch: `epoch`, `loss`, the objective's parts and settings, `learning_rate`
#: and `validation_loss` (None without validation).
EpochRecord = dict[str, Any]


class Objective(BatchLoss, Protocol):
    """What a training minimizes: a module with the network and everything else that is trained."""

    def settings(self, epoch: int) -> Mapping[str, Any]:
        """What the objective uses in this epoch, for example its temperature."""

    def training_state(self) -> dict[str, Any]:
        """What changes in a training, except the tensors of `state_dict`."""

    def load_training_state(self, state: Mapping[str, Any]) -> None: ...

    def train(self, mode: bool = True) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...


class TrainingState:
    """Everything that changes while an objective is trained.

    A state that loads the `state_dict` of another one, which was made in the same way, continues in
    the same way, bit for bit.

    Parameters
    ----------
    objective : Objective
        Trained in place.

    optimizer : Optimizer
        Of the objective's parameters, of torch or `AdamW`. Its learning rate is set before
        each step.

    learning_rate : callable
        From progress (0 at the first step, 1 after the last) to the learning rate.

    max_iter : int
        The greatest number of epochs.

    stopping : Stopping
        Watches the validation loss, or the training loss if there is no validation.

    isolation : Isolation
        Where the objective is trained, and what draws.

    spreader : LabelSpreader, default=None
        Spreads labels to the samples that have none. If None, these are learned from as they are.

    Attributes
    ----------
    rate : float
        The learning rate of the latest step.

    history : list of EpochRecord
        One record for each epoch so far.

    first_loss : float or None
        The loss before anything was learned.

    best : dict or None
        The tensors of the objective after the epoch with the lowest validation loss.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: Optimizer,
        *,
        learning_rate: Callable[[float], float],
        max_iter: int,
        stopping: Stopping,
        isolation: Isolation,
        spreader: LabelSpreader | None = None,
    ) -> None:
        self.objective = objective
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.stopping = stopping
        self.isolation = isolation
        self.spreader = spreader
        self.rate = 0.0
        self.history: list[EpochRecord] = []
        self.first_loss: float | None = None
        self.best: dict[str, Any] | None = None

    @property
    def device(self) -> torch.device:
        """Where the objective is trained."""
        return self.isolation.device

    @property
    def epoch(self) -> int:
        """The number of epochs so far."""
        return len(self.history)

    def set_learning_rate(self, progress: float) -> None:
        """Set the rate of the next step, after a part of all steps."""
        self.rate = self.learning_rate(progress)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate

    def keep_as_best(self) -> None:
        self.best = copy.deepcopy(self.objective.state_dict())

    def finish(self) -> None:
        """Leave the objective as it was after its best epoch, without gradients."""
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None  # as large as the network, and no longer used
        if self.best is not None:
            self.objective.load_state_dict(self.best)
            torch.clear_autocast_cache()

    def state_dict(self, *, copied: bool = True) -> dict[str, Any]:
        """Everything that changes: tensors, numbers and texts in dicts and lists. If it is not
        copied, the next step changes it.
        """
        state = {
            "objective": self.objective.state_dict(),
            "of_objective": self.objective.training_state(),
            "optimizer": self.optimizer.state_dict(),
            "stopping": self.stopping.state_dict(),
            "batches": self.isolation.generator.get_state(),
            "random": self.isolation.random_state(),
            "history": self.history,
            "first_loss": self.first_loss,
        }
        # These are replaced, and their tensors never change.
        kept = {
            "spread": None if self.spreader is None else self.spreader.state_dict(),
            "best": self.best,
        }
        return {**(copy.deepcopy(state) if copied else state), **kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the training that had this `state_dict`.

        Raises
        ------
        Exception
            Of any kind, if the state is of another training, or is no state.
        """
        history = copy.deepcopy(state["history"])
        if not isinstance(history, list) or not all(
            isinstance(record.get("loss", 0.0), float) for record in history
        ):
            raise ValueError("Its history is not a list of the records of epochs.")
        self.best = copy.deepcopy(state["best"])
        if self.best is not None:
            self.objective.load_state_dict(self.best)  # to find out now whether it fits
        self.objective.load_state_dict(state["objective"])
        self.objective.load_training_state(state["of_objective"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))  # which may keep it
        self.stopping.load_state_dict(state["stopping"])
        self.isolation.generator.set_state(state["batches"])
        self.isolation.load_random_state(state["random"])
        if self.spreader is not None:
            self.spreader.load_state_dict(state["spread"], self.device)
        self.history = history
        self.first_loss = state["first_loss"]
