"""A step of the training: as it is written, or recorded once and replayed on a GPU.

A step on a small batch is some hundred operators of a few microseconds each, and to launch one
takes longer than that. A CUDA graph launches them all together. It replays the same operators on
the same memory, so what changes from step to step is written to that memory first: the batch, the
learning rate and the epoch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ._adversarial import BatchLoss, accumulate_gradient

#: Larger batches keep a GPU busy without.
_LARGEST_TO_RECORD = 4096

#: Batches come in few sizes, and with or without perturbations. More kinds of steps than these are
#: not worth their memory.
_MOST_RECORDS = 32

#: The losses of a batch, by name.
Losses = Mapping[str, Tensor]


class Optimizer(Protocol):
    """What the loop asks of an optimizer; those of torch give it."""

    param_groups: list[dict[str, Any]]

    def step(self) -> Any: ...


@dataclass(frozen=True)
class Step:
    """The gradient of a batch, and the change of the parameters by it."""

    objective: BatchLoss
    optimizer: Optimizer
    spread: Tensor | float

    def __call__(
        self, x: Tensor, y: Tensor, weight: Tensor | None, epoch: int | Tensor, radius: float
    ) -> Losses:
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        total, parts = accumulate_gradient(
            self.objective, x, y, weight, epoch, adversarial_radius=radius, spread=self.spread
        )
        self.optimizer.step()
        # A network that computes in bfloat16, say, keeps copies of its weights there
        # for as long as any autocast is open around it, and one may be.
        torch.clear_autocast_cache()
        return {name: value.detach() for name, value in {"loss": total, **parts}.items()}


#: Runs what was recorded.
Replay = Callable[[], Losses]


class ReplayedStep:
    """As `Step`, but each kind of step is recorded when it comes for the second time.

    Parameters
    ----------
    step : Step
        Must be the same operators for all batches of a size, and wait for nothing.

    device : torch.device
        Where all of it is.

    record : callable, default=None
        From a function without arguments to one that does the same; it need not run the function.
        None records a CUDA graph.
    """

    def __init__(
        self,
        step: Step,
        device: torch.device,
        record: Callable[[Callable[[], Losses]], Replay] | None = None,
    ) -> None:
        self._step = step
        self._record = record or _GraphRecorder()
        self._rate = torch.zeros((), dtype=torch.float32, device=device)
        self._epoch = torch.zeros(1, dtype=torch.long, device=device)
        self._epoch_written = 0
        self._seen: set[tuple[int, float]] = set()
        self._records: dict[tuple[int, float], tuple[list[Tensor], Replay]] = {}

    def __call__(
        self, x: Tensor, y: Tensor, weight: Tensor | None, epoch: int, radius: float
    ) -> Losses:
        groups = self._step.optimizer.param_groups
        self._rate.fill_(groups[0]["lr"])
        if epoch != self._epoch_written:
            self._epoch.fill_(epoch)
            self._epoch_written = epoch
        for group in groups:
            group["lr"] = self._rate
        kind = len(x), radius
        batch = [x, y] if weight is None else [x, y, weight]
        if kind not in self._records:
            if kind not in self._seen or len(self._records) == _MOST_RECORDS:
                self._seen.add(kind)
                return self._step(x, y, weight, self._epoch, radius)
            self._records[kind] = self._new_record(batch, radius)
        places, replay = self._records[kind]
        for place, tensor in zip(places, batch, strict=True):
            place.copy_(tensor)
        return replay()

    def _new_record(self, batch: list[Tensor], radius: float) -> tuple[list[Tensor], Replay]:
        places = [tensor.clone() for tensor in batch]
        x, y, weight = [*places, None][:3]
        assert x is not None
        assert y is not None
        return places, self._record(lambda: self._step(x, y, weight, self._epoch, radius))


class _GraphRecorder:
    """Records CUDA graphs, which share their memory: no two run together."""

    def __init__(self) -> None:
        self._pool: Any = None

    def __call__(self, function: Callable[[], Losses]) -> Replay:
        graph = torch.cuda.CUDAGraph()
        # Other threads of the program may use the device meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            losses = function()
        self._pool = self._pool or graph.pool()

        def replay() -> Losses:
            graph.replay()
            return losses

        return replay


def make_step(
    objective: BatchLoss,
    optimizer: Optimizer,
    *,
    spread: Tensor | float,
    device: torch.device,
    batch_size: int,
) -> Step | ReplayedStep:
    """The step of an objective: replayed on CUDA, if it can be recorded and that pays."""
    step = Step(objective, optimizer, spread)
    can_be_recorded = getattr(objective, "has_fixed_steps", False)
    if device.type == "cuda" and can_be_recorded and batch_size <= _LARGEST_TO_RECORD:
        return ReplayedStep(step, device)
    return step
