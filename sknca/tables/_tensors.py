"""From arrays to tensors, and where these are kept."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite as _assert_all_finite
from torch import Tensor

from .._devices import room_on

#: The dtypes that rows may have. Numbers of any other become the first of them.
FLOATS = (np.float64, np.float32, np.float16)


def assert_all_finite(X: Any, name: str = "X") -> None:
    """As scikit-learn's, which sums the entries, and warns if the sum overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        _assert_all_finite(X, input_name=name)


def home_of_rows(device: torch.device, n_bytes: int) -> torch.device:
    """Where this many bytes of rows are kept while a network on `device` goes through them: there,
    if they leave half of its free memory, else on the host.
    """
    if device.type != "cpu" and n_bytes > room_on(device) / 2:
        return torch.device("cpu")
    return device


def to_tensor(
    array: NDArray[Any],
    device: torch.device,
    center: NDArray[np.float64] | None = None,
    name: str = "X",
) -> Tensor:
    """A float32 copy of `array` on the device, whatever its strides, flags or owner; about
    the `center`, so that what lies far from zero loses no digits.

    Raises
    ------
    ValueError
        If an entry is not finite, or too large for float32.
    """
    tensor = torch.empty(array.shape, dtype=torch.float32, device="cpu")
    return fill(tensor, array, center, name).to(device)


def fill(
    tensor: Tensor, array: NDArray[Any], center: NDArray[np.float64] | None, name: str = "X"
) -> Tensor:
    """Write `array`, called `name`, about the center into a tensor of the same shape."""
    with np.errstate(over="ignore", invalid="ignore"):
        if center is None:
            tensor.numpy()[...] = array
        else:
            center = center.astype(np.promote_types(array.dtype, np.float32))
            np.subtract(array, center, out=tensor.numpy(), casting="same_kind")
    # The sum is enough in most cases: it is finite if all values are, unless they are huge.
    if not tensor.sum().isfinite() and not bool(tensor.isfinite().all()):
        assert_all_finite(array, name)
        raise ValueError(too_large(name))
    return tensor


def too_large(name: str) -> str:
    """What is said about finite entries of `name` that float32 cannot hold."""
    return f"Input {name} contains infinity or a value too large for dtype('float32')."
