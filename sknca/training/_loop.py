"""The training loop, top to bottom."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ._adversarial import BatchLoss
from ._batches import class_aware_batches
from ._rows import TrainingData
from ._step import Optimizer, make_step
from ._stopping import Stopping

#: One epoch in so many comes before rows are moved: what a small network has first to find out, the
#: moves would hide from it.
_EPOCHS_TO_ONE_WITHOUT_MOVES = 8

#: A training whose loss becomes so many times as large as it was before the first step has
#: diverged. (A temperature that falls makes it larger too, but not by that.)
_DIVERGED = 1e6

#: What is known of an epoch: `epoch`, `loss`, the objective's parts and settings, and
#: `validation_loss` (None without validation).
EpochRecord = dict[str, Any]


class Objective(BatchLoss, Protocol):
    """What the loop minimises: a module that holds the network and whatever it trains beside."""

    def settings(self, epoch: int) -> Mapping[str, Any]:
        """What the objective goes by in this epoch (its temperature, say)."""

    def train(self, mode: bool = True) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any: ...


class TrainingInterrupted(KeyboardInterrupt):
    """The user interrupted, and the objective keeps what these epochs of it have learned."""

    def __init__(self, history: list[EpochRecord]) -> None:
        epochs = "epoch" if len(history) == 1 else "epochs"
        super().__init__(f"Training interrupted by user. {len(history)} {epochs} are kept.")
        self.history = history


def train(
    objective: Objective,
    data: TrainingData,
    *,
    optimizer: Optimizer,
    learning_rate: Callable[[float], float],
    batch_size: int,
    max_iter: int,
    stopping: Stopping,
    generator: torch.Generator,
    adversarial_radius: float = 0.0,
    adversarial_fraction: float = 1.0,
    spread: Tensor | float = 1.0,
    validate: Callable[[], Tensor] | None = None,
    on_epoch_begin: Callable[[], None] | None = None,
    on_epoch_end: Callable[[list[EpochRecord]], bool] | None = None,
    history: Sequence[EpochRecord] = (),
    until: int | None = None,
) -> list[EpochRecord]:
    """Minimise the objective, and leave it at its best epoch where there is validation.

    Parameters
    ----------
    objective : Objective
        Trained in place. It ends in the state of the epoch with the lowest validation loss,
        or, without validation, of the last.

    data : TrainingData
        The rows.

    optimizer : Optimizer
        Of the objective's parameters, of torch or `AdamW`. Its learning rate is set before
        each step.

    learning_rate : callable
        From progress (0 at the first step, 1 after the last) to the learning rate.

    batch_size, max_iter : int
        Rows in a batch, and the greatest number of epochs.

    stopping : Stopping
        Watches the validation loss, or the training loss where there is none.

    generator : torch.Generator
        On the CPU. Draws the batches.

    adversarial_radius : float, default=0.0
        How far the rows of some batches, after the first eighth of the epochs, are moved to where
        their loss is higher, to learn from them there too.

    adversarial_fraction : float, default=1.0
        Which part of the batches of an epoch, in (0, 1], rounded up, the first among them.

    spread : float or Tensor of shape (d,), default=1.0
        The unit of that distance along each feature.

    validate : callable, default=None
        The validation loss of the objective as it stands.

    on_epoch_begin : callable, default=None
        Called before each epoch.

    on_epoch_end : callable, default=None
        Called after each epoch with the records so far. It answers whether to stop there.

    history : sequence of EpochRecord, default=()
        The epochs that the objective has been trained for already, with the same optimizer.

    until : int, default=None
        Stop before this epoch. None: all `max_iter` epochs.

    Returns
    -------
    history : list of EpochRecord
        One record for each epoch.

    Raises
    ------
    ValueError
        If the loss of an epoch is not finite, or rows are to be moved and it has no gradient
        in them.

    TrainingInterrupted
        If the user interrupts after the first epoch. The objective is left as if the training
        had stopped there.
    """
    history = list(history)
    interruption: KeyboardInterrupt | None = None
    best_state: dict[str, Any] | None = None
    start: Tensor | None = None  # the loss before anything was learned
    labels = data.labels
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    first_with_moves = max_iter // _EPOCHS_TO_ONE_WITHOUT_MOVES
    device = data.y.device
    learn = make_step(objective, optimizer, spread=spread, device=device, batch_size=batch_size)
    objective.train()
    try:
        for epoch in range(len(history), max_iter if until is None else until):
            if on_epoch_begin is not None:
                on_epoch_begin()
            n_rows = 0
            sums: dict[str, Tensor] = {}  # kept on the device: an epoch waits for it once
            places = class_aware_batches(labels, batch_size, generator)
            for step, (x, y, weight) in enumerate(data.batches(places)):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate((epoch + step / len(places)) / max_iter)
                moves = _in_turn(step, adversarial_fraction) and epoch >= first_with_moves
                losses = learn(x, y, weight, epoch, adversarial_radius if moves else 0.0)
                start = losses["loss"].clone() if start is None else start
                n_rows += len(x)
                for name, value in losses.items():
                    if name in sums:
                        sums[name].add_(value, alpha=len(x))
                    else:
                        sums[name] = value * len(x)

            record: EpochRecord = {"epoch": epoch}
            # All that is to be known of it, read together: reading waits for the device.
            assert start is not None  # there is a batch in every epoch
            *totals, first = torch.stack([*sums.values(), start]).tolist()
            record |= {name: total / n_rows for name, total in zip(sums, totals, strict=True)}
            record |= objective.settings(epoch)
            record["validation_loss"] = None
            if validate is not None:
                record["validation_loss"] = validate().item()
                objective.train()
            history.append(record)
            monitored = record["loss" if validate is None else "validation_loss"]
            finite = math.isfinite(record["loss"] + monitored)
            if not finite or record["loss"] > _DIVERGED * max(abs(first), 1.0):
                what = "much larger than at the start" if finite else "not finite"
                too = " or adversarial_radius" if adversarial_radius > 0 else ""
                raise ValueError(
                    f"The loss is {what} in epoch {epoch} (training loss {record['loss']}): "
                    "the training diverged. Scale the features (StandardScaler), or lower "
                    f"learning_rate_init{too}."
                )
            if stopping.update(monitored) and validate is not None:
                best_state = copy.deepcopy(objective.state_dict())
            asked_to_stop = on_epoch_end is not None and on_epoch_end(history)
            if asked_to_stop or stopping.should_stop:
                break
    except KeyboardInterrupt as raised:
        interruption = raised
    for parameter in parameters:
        parameter.grad = None  # as large as the network, and of no more use
    if best_state is not None:
        objective.load_state_dict(best_state)
        torch.clear_autocast_cache()
    if interruption is not None:
        raise TrainingInterrupted(history) if history else interruption
    return history


def _in_turn(step: int, fraction: float) -> bool:
    """Whether a step is one of that fraction of all, spread evenly from the first on."""
    return math.ceil((step + 1) * fraction) > math.ceil(step * fraction)
