"""Blocks for which there is not enough memory: halved, and tried again."""

import os
import sys
import warnings
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")

#: A warning points at no line of these.
_INSIDE = ("sknca", "torch", "sklearn", "joblib")

#: What torch says on the CPU.
_SHORTAGES = ("not enough memory", "can't allocate memory", "DefaultCPUAllocator")


def in_smaller_blocks(compute: Callable[[int], T], block_size: int) -> T:
    """What is computed in blocks of at most so many rows, or of half as many, and so on, if there
    is not enough memory for a block. The same up to rounding.

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
        _warn(
            "There is not enough memory for a block of the pairs of samples, so smaller blocks are "
            "used, which takes longer. Reduce batch_size, or block_size if you set it."
        )


def _is_shortage(error: RuntimeError) -> bool:
    if isinstance(error, torch.OutOfMemoryError):
        return not torch.cuda.is_current_stream_capturing()  # a recording cannot be repeated
    return any(said in str(error) for said in _SHORTAGES)


def _warn(message: str) -> None:
    """At the first line outside."""
    packages = [sys.modules[name].__file__ or "" for name in _INSIDE if name in sys.modules]
    inside = tuple(os.path.dirname(path) + os.sep for path in packages)
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)
