"""Blocks for which there is not enough memory: halved, and tried again."""

from collections.abc import Callable
from typing import TypeVar

import torch

from .._warnings import warn_user

T = TypeVar("T")

#: What torch says on the CPU.
_SHORTAGES = ("not enough memory", "can't allocate memory", "DefaultCPUAllocator")


def in_smaller_blocks(compute: Callable[[int], T], block_size: int) -> T:
    """Compute in blocks of at most `block_size` rows. If there is not enough memory for a block, it
    is halved and tried again. The result is the same up to rounding.

    Parameters
    ----------
    compute : callable
        From the size of a block to the result. It may be called again after it has failed.

    block_size : int
        The first size.

    Raises
    ------
    RuntimeError
        If there is not enough memory for blocks of one row.

    Warns
    -----
    UserWarning
        If blocks are halved.
    """
    while True:
        try:
            return compute(block_size)
        except RuntimeError as error:
            if block_size <= 1 or not _is_shortage(error):
                raise
        # Outside of the handler, whose traceback keeps the memory of the attempt.
        block_size //= 2
        warn_user(
            "There is not enough memory for a block of the pairs of samples, so smaller blocks are "
            "used, which takes longer. Reduce batch_size, or block_size if you set it."
        )


def _is_shortage(error: RuntimeError) -> bool:
    if isinstance(error, torch.OutOfMemoryError):
        return not torch.cuda.is_current_stream_capturing()  # a recording cannot be repeated
    return any(said in str(error) for said in _SHORTAGES)
