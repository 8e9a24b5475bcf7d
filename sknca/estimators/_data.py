"""From arrays to tensors: conversion, the validation split, the seed."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from torch import Tensor

#: The dtypes that rows may have. Numbers of any other become the first of them.
FLOATS = (np.float32, np.float64, np.float16)


def to_tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    """A float32 copy of `array` on the device, whatever its strides, flags or owner.

    Raises
    ------
    ValueError
        If an entry is too large for float32.
    """
    tensor = torch.empty(array.shape, dtype=torch.float32, device="cpu")
    with np.errstate(over="ignore"):
        tensor.numpy()[...] = array
    if array.dtype == np.float64 and not bool(tensor.isfinite().all()):
        raise ValueError("Input X contains infinity or a value too large for dtype('float32').")
    return tensor.to(device)


def split_rows(
    labels: NDArray[np.int64], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of rows to train on and of rows to hold out, each class in proportion where
    that can be done; the only row of a class is trained on.
    """
    counts = np.bincount(labels)
    divisible = np.flatnonzero(counts[labels] > 1)
    n_classes = np.count_nonzero(counts > 1)
    n_held_out = int(np.ceil(fraction * len(divisible)))
    can_stratify = n_classes <= n_held_out <= len(divisible) - n_classes
    train, held_out = train_test_split(
        divisible,
        test_size=fraction,
        random_state=seed,
        stratify=labels[divisible] if can_stratify else None,
    )
    return np.union1d(train, np.flatnonzero(counts[labels] == 1)), np.sort(held_out)


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """The seed of a fit. None gives a fresh one and leaves NumPy's global state alone; a
    RandomState advances.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    generator: np.random.RandomState = check_random_state(random_state)
    return int(generator.randint(2**31 - 1))
