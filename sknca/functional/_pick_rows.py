"""Rows by index, with a gradient that is reproducible on a GPU too."""

from typing import Any

import torch
from torch import Tensor

#: Entries in a block of the matrix of which row was picked at which place.
_BLOCK_ENTRIES = 2**24


def pick_rows(z: Tensor, index: Tensor) -> Tensor:
    """The rows of `z` (n, d) at `index` (k,).

    If a row is picked twice, torch adds its gradients in no fixed order on a GPU, so that they
    would be rounded differently from run to run. Here a matrix product adds them.
    """
    # index_select has a quicker gradient than indexing.
    if z.is_cpu:
        return z.index_select(0, index)
    picked: Tensor = _PickRows.apply(z, index)
    return picked


class _PickRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.n_rows = len(z)
        return z.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        rows = torch.arange(ctx.n_rows, device=index.device)
        block_size = max(_BLOCK_ENTRIES // max(len(index), 1), 1)
        with torch.autocast(gradient.device.type, enabled=False):
            sums = [
                (some[:, None] == index).to(gradient.dtype) @ gradient  # (b, k) @ (k, d)
                for some in rows.split(block_size)
            ]
        return torch.cat(sums), None
