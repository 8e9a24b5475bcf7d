"""Arrays: what they must be like, and how they become tensors."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import (
    check_array,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)
from sklearn.utils.validation import _check_feature_names, _check_n_features
from torch import Tensor

#: The dtypes that rows may have. Numbers of any other become the first of them.
FLOATS = (np.float64, np.float32, np.float16)


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


def check_partners(labels: NDArray[np.int64]) -> None:
    """Refuse labels (n,), from 0, that leave nothing to learn."""
    counts = np.bincount(labels)
    if np.count_nonzero(counts) < 2:
        raise ValueError("The number of classes has to be greater than one; got 1 class")
    if counts.max() < 2:
        raise ValueError(
            "y has only one training row of each class: no row has a neighbour of its class "
            "to learn from."
        )


def check_validation_data(
    estimator: Any, X_val: Any, y_val: Any
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The held-out rows, and their labels as positions in `estimator.classes_`."""
    if X_val is None or y_val is None:
        raise ValueError("X_val and y_val must be given together, got only one of them.")
    _check_feature_names(estimator, X_val, reset=False)
    rows = check_array(X_val, dtype=FLOATS, input_name="X_val")
    _check_n_features(estimator, rows, reset=False)
    y_val = column_or_1d(y_val, warn=True)
    check_consistent_length(rows, y_val)
    unseen = set(y_val.tolist()) - set(estimator.classes_.tolist())
    if unseen:
        raise ValueError(f"y_val contains labels that are not in y: {sorted(unseen, key=str)}.")
    return rows, np.searchsorted(estimator.classes_, y_val)


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """The seed of a fit. None gives a fresh one and leaves NumPy's global state alone; a
    RandomState advances.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    generator: np.random.RandomState = check_random_state(random_state)
    return int(generator.randint(2**31 - 1))
