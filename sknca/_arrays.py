"""What users give as arrays."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse

#: The types of missing values of Python, pandas and polars, in addition to NaN.
MISSING = {"NAType", "NaTType", "NoneType"}

#: Methods that read what has not been read, of polars, pyarrow and the like.
_TO_READ = ("collect", "read_all", "to_table")


def as_array(X: Any, name: str = "X") -> Any:
    """What scikit-learn would misread, as an array that it reads right; all else as it is.

    A torch tensor becomes a NumPy array of the same dtype, without a copy if it is on the CPU. (To
    scikit-learn, a tensor's float32 is no float32.) Floats of the other byte order are converted to
    that of this machine. (To scikit-learn, they are no floats, and become float64.)

    Raises
    ------
    TypeError
        If `X`, called `name`, has not been read, or can be read only once.
    """
    if isinstance(X, torch.Tensor):
        X = X.float() if X.dtype == torch.bfloat16 else X  # which NumPy does not have
        return X.numpy(force=True)
    _check_is_read(X, name)
    if isinstance(X, np.ndarray) or sparse.issparse(X):
        return in_native_order(X)
    return X


def in_native_order(array: Any) -> Any:
    """Floats in the byte order of this machine; all else as it is."""
    if array.dtype.kind != "f" or array.dtype.isnative:
        return array
    return array.astype(array.dtype.newbyteorder("="))


def _check_is_read(X: Any, name: str) -> None:
    if hasattr(X, "__array__") or hasattr(X, "__len__"):
        return
    kind = type(X).__name__
    for method in _TO_READ:
        if callable(getattr(X, method, None)):
            raise TypeError(
                f"{name} is a {kind}, which is not in memory yet. Call .{method}() on it first."
            )
    if isinstance(X, Iterator):
        raise TypeError(
            f"{name} is a {kind}, which can be read only once. Make an array or a list of it first."
        )
