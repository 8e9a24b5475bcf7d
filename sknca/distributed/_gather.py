"""Rows of all processes, with the gradient that each process needs of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor
from torch import distributed as dist

from ._ranks import Ranks, processes_of_fit


def gather(rows: Tensor) -> Tensor:
    """The rows of all processes, one below the other, differentiable.

    `torch.distributed.all_gather` returns tensors without a history: a loss of the gathered codes
    would train each process only through the rows that it has put back itself, or not at all. Here
    the gradient of each row is the sum over the losses of all processes, and returns to the process
    that the row is from.

    All processes must call it, in the same order, in the forward and in the backward pass. The
    numbers of rows may differ.

    Parameters
    ----------
    rows : Tensor of shape (n, ...)
        The rows of this process, for example its codes or its labels.

    Returns
    -------
    everyone : Tensor of shape (m, ...)
        The rows of process 0, of process 1, and so on; the rows themselves if no process group is
        initialized.

    Notes
    -----
    With DistributedDataParallel, which averages the gradients of the processes, the loss of all
    gathered codes in each process gives exactly the gradient of one process with the whole batch.
    :func:`soft_nearest_neighbor_loss` does the same with a part of the work.

    Examples
    --------
    >>> import torch
    >>> from sknca.distributed import gather
    >>> gather(torch.eye(2))  # one process
    tensor([[1., 0.],
            [0., 1.]])
    """
    ranks = current()
    if ranks is None:
        return rows
    shares = Shares.of(ranks, len(rows), rows.device)
    flat = rows.reshape(len(rows), math.prod(rows.shape[1:]))  # of no rows, -1 has no meaning
    everyone = gather_rows(flat, shares) if flat.requires_grad else ranks.gather(flat, shares.sizes)
    return everyone.reshape(len(everyone), *rows.shape[1:])


def current() -> Ranks | None:
    """The processes of a joint fit, or else of the group that was initialized; None if there is
    one process.
    """
    processes = processes_of_fit()
    if not processes.is_joint and dist.is_available() and dist.is_initialized():
        processes = Ranks()
    return processes if isinstance(processes, Ranks) and processes.is_joint else None


@dataclass(frozen=True)
class Shares:
    """How many rows of something that several processes have together each of them has."""

    ranks: Ranks
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, ranks: Ranks, n: int, device: torch.device) -> Self:
        """Those of a process that has n rows, as the processes tell each other."""
        sizes = ranks.gather(torch.tensor([n], device=device), [1] * ranks.size)
        return cls(ranks, tuple(int(size) for size in sizes.tolist()))

    @property
    def own(self) -> slice:
        """Where the rows of this process are among those of all."""
        start = sum(self.sizes[: self.ranks.rank])
        return slice(start, start + self.sizes[self.ranks.rank])


def gather_rows(rows: Tensor, shares: Shares, beside: Sequence[Tensor] = ()) -> Any:
    """The rows (n, d) in float32 or float64 of all processes, which have so many, differentiable;
    and, in the same message, the tensors (n,) beside them, without a gradient.
    """
    apply: Any = _Gather.apply
    everyone = apply(rows, shares.ranks, shares.sizes, *beside)
    return everyone if beside else everyone[0]


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, ranks: Ranks, sizes: tuple[int, ...], *beside: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.ranks, ctx.sizes = ranks, sizes
        # As bytes, so that one message carries tensors of several dtypes.
        parts = [rows.contiguous(), *(some[:, None].contiguous() for some in beside)]
        widths = [part.shape[1] * part.element_size() for part in parts]
        packed = torch.cat([part.view(torch.uint8) for part in parts], 1)
        everyone = ranks.gather(packed, sizes).split(widths, 1)
        gathered = [
            some.contiguous().view(part.dtype) for some, part in zip(everyone, parts, strict=True)
        ]
        others = [some.squeeze(1) for some in gathered[1:]]
        ctx.mark_non_differentiable(*others)
        return gathered[0], *others

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        own = ctx.ranks.sum_to_owners(grad, ctx.sizes)
        return own, None, None, *(None for _ in range(len(ctx.needs_input_grad) - 3))
