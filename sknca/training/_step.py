"""A step of the training: as it is written, or recorded once and replayed on a GPU.

A step on a small batch is some hundred operators of a few microseconds each, and to launch one
takes longer than that. A CUDA graph launches them all together. It replays the same operators on
the same memory, so what changes from step to step is written to that memory first: the batch, the
learning rate and the epoch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .._devices import kind_of
from ..data import Batch

#: Larger batches keep a GPU busy without.
_LARGEST_TO_RECORD = 4096

#: Batches come in few sizes. More kinds of steps than these are not worth their memory.
_MOST_RECORDS = 16

#: The losses of a batch, by name.
Losses = Mapping[str, Tensor]


class BatchLoss(Protocol):
    """Called with a batch and the epoch, returns the total loss and its named parts.

    The epoch is a tensor (1,) on the device in a step that is replayed.
    """

    def __call__(
        self, batch: Batch, epoch: int | Tensor
    ) -> tuple[Tensor, Mapping[str, Tensor]]: ...


#: Adds the gradient of a batch to that of the parameters, and returns what the loss returned.
Gradient = Callable[[BatchLoss, Batch, int | Tensor], tuple[Tensor, Mapping[str, Tensor]]]


class Optimizer(Protocol):
    """What a training asks of an optimizer; those of torch have it."""

    param_groups: list[dict[str, Any]]

    def step(self) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


class MakeOptimizer(Protocol):
    """From groups of parameters, as torch's optimizers take them, to an optimizer: `AdamW`, a class
    of `torch.optim`, or a partial of one.
    """

    def __call__(
        self, groups: list[dict[str, Any]], /, *, lr: float, weight_decay: float
    ) -> Optimizer: ...


class TrainingStep(Protocol):
    """Learns from a batch in an epoch, and returns its losses."""

    def __call__(self, batch: Batch, epoch: int) -> Losses: ...


def gradient_of_batch(
    loss: BatchLoss, batch: Batch, epoch: int | Tensor
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Add the gradient of a batch's loss to that of the parameters."""
    total, parts = loss(batch, epoch)
    total.backward()
    return total, parts


@dataclass(frozen=True)
class Step:
    """The gradient of a batch, and the change of the parameters by it."""

    objective: BatchLoss
    optimizer: Optimizer
    gradient: Gradient = gradient_of_batch
    average: Callable[[list[Tensor]], None] | None = None  # of gradients over several processes

    def __call__(self, batch: Batch, epoch: int | Tensor) -> Losses:
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        # A network that computes in bfloat16 may have copied its weights without a gradient, and
        # torch 2.6 would use these copies.
        torch.clear_autocast_cache()
        total, parts = self.gradient(self.objective, batch, epoch)
        if self.average is not None:
            self.average([p for group in self.optimizer.param_groups for p in group["params"]])
        self.optimizer.step()
        # A network that computes in bfloat16 keeps copies of its weights while any autocast is open
        # around it.
        torch.clear_autocast_cache()
        return {name: value.detach() for name, value in {"loss": total, **parts}.items()}


#: Runs what was recorded.
Replay = Callable[[], Losses]


class ReplayedStep:
    """As `Step`, but the step of a batch size is recorded when that size occurs a second time.

    Parameters
    ----------
    step : Step
        Must run the same operators for all batches of a size, and must not wait for the device.

    device : torch.device
        The device of its tensors.

    record : callable
        From a function without arguments to one that does the same. It may not run the function.
    """

    def __init__(
        self, step: Step, device: torch.device, record: Callable[[Callable[[], Losses]], Replay]
    ) -> None:
        self._step = step
        self._record = record
        self._rate = torch.zeros((), dtype=torch.float32, device=device)
        self._epoch = torch.zeros(1, dtype=torch.long, device=device)
        self._epoch_written = 0
        self._seen: set[int] = set()
        self._records: dict[int, tuple[list[Tensor], Replay]] = {}

    def __call__(self, batch: Batch, epoch: int) -> Losses:
        groups = self._step.optimizer.param_groups
        self._rate.fill_(groups[0]["lr"])
        if epoch != self._epoch_written:
            self._epoch.fill_(epoch)
            self._epoch_written = epoch
        for group in groups:
            group["lr"] = self._rate
        size = len(batch.x)
        if size not in self._records:
            if size not in self._seen or len(self._records) == _MOST_RECORDS:
                self._seen.add(size)
                return self._step(batch, self._epoch)
            self._records[size] = self._new_record(batch)
        memory, replay = self._records[size]
        for place, tensor in zip(memory, _tensors(batch), strict=True):
            place.copy_(tensor)
        return replay()

    def _new_record(self, batch: Batch) -> tuple[list[Tensor], Replay]:
        memory = batch._replace(
            **{name: value.clone() for name, value in batch._asdict().items() if value is not None}
        )
        return _tensors(memory), self._record(lambda: self._step(memory, self._epoch))


def _tensors(batch: Batch) -> list[Tensor]:
    return [tensor for tensor in batch if isinstance(tensor, Tensor)]


class GraphRecorder:
    """Records CUDA graphs, which share their memory: no two run together."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, function: Callable[[], Losses]) -> Replay:
        graph = torch.cuda.CUDAGraph()
        # Other threads of the program may use the device at the same time.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            losses = function()
        self._pool = self._pool or graph.pool()

        def replay() -> Losses:
            graph.replay()
            return losses

        return replay


def replayed_if_it_pays(
    steps: Sequence[Step], device: torch.device, batch_size: int
) -> list[TrainingStep]:
    """The steps of an objective, to be replayed on a GPU if they can be recorded and that pays."""
    fixed = getattr(steps[0].objective, "has_fixed_steps", False)
    can_be_recorded = fixed and getattr(steps[0].optimizer, "has_fixed_steps", False)
    is_shared = steps[0].average is not None
    too_large = batch_size > _LARGEST_TO_RECORD
    if not kind_of(device).records or not can_be_recorded or too_large or is_shared:
        return list(steps)
    recorder = GraphRecorder()
    return [ReplayedStep(step, device, recorder) for step in steps]
