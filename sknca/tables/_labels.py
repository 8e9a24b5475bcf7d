"""Labels of any container as one array of their exact values."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from math import isfinite
from numbers import Integral, Number, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import type_of_target

from .._arrays import MISSING, as_array
from .._warnings import warn_user
from ._tensors import assert_all_finite

#: Dtypes, by their letters, whose values can be compared with each other.
_KINDS = {**dict.fromkeys("biuf", "number"), "U": "string", "M": "date", "m": "duration"}

#: What a marker must be an instance of to be among labels of a dtype.
_TYPES = {**dict.fromkeys("biuf", Real), "U": str}

#: The integers that int64 and uint64 hold, and those that float64 holds without gaps.
_INTEGERS = (np.dtype(np.int64), np.dtype(np.uint64))
_WHOLE_IN_FLOAT64 = 2**53


@dataclass(frozen=True)
class Labels:
    """Labels of n samples, k of which have one."""

    values: NDArray[Any]  # (k,), of bool, integers, floats, strings or times
    is_labeled: NDArray[np.bool_]  # (n,)
    name: str = "y"
    of_objects: bool = False  # numbers in an array of dtype object, none missing

    def __len__(self) -> int:
        return len(self.is_labeled)


def read_labels(y: Any, name: str = "y") -> Labels:
    """Labels as they are: none passes through a float that cannot hold it.

    Parameters
    ----------
    y : array-like of shape (n,) or (n, 1)
        Labels in an array, a list, or a column of pandas, polars, pyarrow and the like. Samples
        whose label is NaN, None, NA or NaT, or masked, have none.

    name : str, default="y"
        The parameter that was given, for error messages.

    Raises
    ------
    TypeError
        If strings and numbers are mixed, or `y` has not been read yet.
    ValueError
        If there are several labels a sample, or labels are infinite, complex, records, have no
        order, or do not fit in 64 bits.
    """
    y = as_array(y, name)
    array = _array_of(_only_column(y, name))
    if array.ndim == 2 and array.shape[1] == 1:
        array = _one_column(array, name)
    if array.ndim == 2 and array.shape[1] > 1:
        raise ValueError(_several_labels(array, name))
    if array.ndim == 0:
        raise ValueError(f"{name} should be a 1d array, got an array of shape () instead.")
    array = array if array.dtype.kind == "O" and array.ndim == 1 else column_or_1d(array)
    missing = is_missing(array)
    values, of_objects = array[~missing], False
    if array.dtype.kind == "O":
        of_objects = isinstance(y, np.ndarray) or getattr(y, "dtype", None) == np.dtype(object)
        values = _of_objects(values.tolist(), name)
    if values.dtype.kind == "V":
        raise ValueError(_not_a_class(values.dtype, name))
    if values.dtype.kind in "fc":
        assert_all_finite(column_or_1d(values), name)
    is_number = values.dtype.kind in "biuf"
    return Labels(values, ~missing, name, of_objects and is_number and not missing.any())


def without_unlabeled(labels: Labels, unlabeled: Any) -> Labels:
    """The labels but for those that the parameter `unlabeled` marks: NaN, None and NA alike if it
    is one of them.

    Raises
    ------
    ValueError
        If labels are missing and `unlabeled` does not say what that means, or it is of another
        type than the labels, so that it could mark none.
    """
    values, is_labeled = labels.values, labels.is_labeled
    if marks_missing(unlabeled):
        return labels
    if not is_labeled.all():
        raise ValueError(
            f"Input {labels.name} contains NaN, None or NA. If these samples have no label, set "
            "unlabeled=numpy.nan; otherwise leave them out."
        )
    if unlabeled is None or len(values) == 0:
        return labels
    if not isinstance(unlabeled, _TYPES.get(values.dtype.kind, object)):
        raise ValueError(
            f"unlabeled={unlabeled!r} cannot mark samples among labels of dtype {values.dtype}."
        )
    # Python compares an integer with a float exactly, NumPy does not.
    given = values if values.dtype.kind in "mM" else values.astype(object)
    is_labeled = np.asarray(given != unlabeled, dtype=bool)
    return replace(labels, values=values[is_labeled], is_labeled=is_labeled)


def all_labeled(labels: Labels) -> NDArray[Any]:
    """The labels (n,) of samples each of which must have one."""
    if not labels.is_labeled.all():
        raise ValueError(f"Input {labels.name} contains NaN, None or NA.")
    return labels.values


def marks_missing(unlabeled: Any) -> bool:
    """Whether the parameter `unlabeled` says that samples whose label is missing have none."""
    return unlabeled is not None and bool(is_missing(np.array([unlabeled], dtype=object))[0])


def is_missing(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Which labels (n,) are NaN, None, NA or NaT."""
    missing: NDArray[np.bool_] = np.zeros(len(y), dtype=bool)
    if y.dtype.kind in "fmM":
        missing = np.isnan(y)
    elif y.dtype.kind == "O":
        times = (float, np.floating, np.datetime64, np.timedelta64)
        found = [type(v).__name__ in MISSING or (isinstance(v, times) and v != v) for v in y]
        missing = np.array(found, dtype=bool)
    return missing


def uniform(*arrays: NDArray[Any], name: str = "y") -> list[NDArray[Any]]:
    """Arrays of labels in one dtype that holds the values of all exactly.

    Raises
    ------
    TypeError
        If strings and numbers are mixed.
    ValueError
        If no dtype holds all values.
    """
    parts = list(arrays)
    filled = [part for part in parts if len(part)] or parts[:1]
    if len({_KINDS.get(part.dtype.kind, part.dtype.kind) for part in filled}) > 1:
        raise TypeError(_mixed([type(part.tolist()[0]) for part in filled], name))
    dtype = np.result_type(*(part.dtype for part in filled))
    if dtype.kind == "f" and {part.dtype.kind for part in filled} != {"f"}:
        dtype = _exact_dtype(filled, name)
    # To times, not even an empty array of floats can be cast.
    return [part.astype(dtype, copy=False) if len(part) else np.empty(0, dtype) for part in parts]


def union(*parts: NDArray[Any], name: str = "y") -> NDArray[Any]:
    """The sorted classes (n_classes,) of all parts."""
    return np.unique(np.concatenate(uniform(*parts, name=name)))


def _exact_dtype(parts: list[NDArray[Any]], name: str) -> np.dtype[Any]:
    """A dtype for signed and unsigned integers, or for integers and floats."""
    floats = [part for part in parts if part.dtype.kind == "f"]
    ends = [int(end(part)) for part in parts for end in (np.min, np.max)]
    if all((part == np.trunc(part)).all() for part in floats):
        for dtype in _INTEGERS:
            if np.iinfo(dtype).min <= min(ends) and max(ends) <= np.iinfo(dtype).max:
                return dtype
    elif max(map(abs, ends)) <= _WHOLE_IN_FLOAT64:
        return np.dtype(np.float64)
    raise ValueError(_too_wide(name, min(ends), max(ends)))


def _only_column(y: Any, name: str) -> Any:
    """A table of one column as this column."""
    if not hasattr(y, "columns"):
        return y
    n_columns = y.shape[1]
    if n_columns != 1:
        raise ValueError(_several_labels(np.empty((len(y), n_columns), dtype=object), name))
    column_names = getattr(y, "column_names", y.columns)
    column = _array_of(y[column_names[0]])
    return _one_column(column[:, None], name)


def _one_column(y: NDArray[Any], name: str) -> NDArray[Any]:
    """A column (n, 1) as a vector, with scikit-learn's warning."""
    warn_user(
        f"A column-vector {name} was passed when a 1d array was expected. Please change the shape "
        f"of {name} to (n_samples, ), for example using ravel().",
        DataConversionWarning,
    )
    return y.ravel()


def _array_of(y: Any) -> NDArray[Any]:
    """An array of the labels, of dtype object if another might not hold them exactly."""
    if sparse.issparse(y):
        return np.empty(y.shape, dtype=object)
    if isinstance(y, np.ma.MaskedArray):
        values, mask = np.asarray(y.data), np.ma.getmaskarray(y)
        if mask.any():
            values = values.astype(object)
            values[mask] = None
        return values
    dtype = getattr(y, "dtype", None)
    if isinstance(dtype, np.dtype):
        array = np.asarray(y)
        return array.astype(object) if array.dtype.kind == "T" else array
    # Read by `numpy.asarray`, a list of strings and NaN has a string "nan", and integers of a
    # column that has missing values are floats.
    array = np.asarray(y, dtype=None if hasattr(y, "__array__") else object)
    if array.ndim == 0 or array.dtype.kind in "biumM":
        return array
    for read in ("to_pylist", "to_list", "tolist"):
        if hasattr(y, read):
            return np.asarray(_of_categories(y, getattr(y, read)()), dtype=object)
    return array


def _of_categories(y: Any, values: list[Any]) -> list[Any]:
    """The values of a column; of categories of pandas, by their codes: some versions make floats
    of integers if one is missing.
    """
    categories = getattr(getattr(y, "dtype", None), "categories", None)
    codes = getattr(getattr(y, "cat", y), "codes", None)
    if categories is None or codes is None:
        return values
    named = [*categories.tolist(), None]  # -1 is missing
    return [named[code] for code in np.asarray(codes)]


def _of_objects(values: list[Any], name: str) -> NDArray[Any]:
    """An array of the only dtype that the values have."""
    values = [v.item() if isinstance(v, np.ndarray) and v.ndim == 0 else v for v in values]
    if any(isinstance(value, (list, tuple, set, frozenset, np.ndarray)) for value in values):
        raise ValueError(_several_labels(np.empty((len(values), 0), dtype=object), name))
    types = {type(value) for value in values}
    are_numbers = {issubclass(kind, (Number, np.bool_)) for kind in types}
    are_strings = {issubclass(kind, str) for kind in types}
    if are_strings == {True, False} or are_numbers == {True, False}:
        raise TypeError(_mixed(types, name))
    if are_strings == {True}:
        array = np.array(values, dtype=str)
        if array.tolist() != values:
            raise ValueError(f"{name} has labels that end with a NUL character, which is cut off.")
        return array
    if are_numbers == {True}:
        return _of_numbers(values, name)
    array = np.array(values)
    try:
        array.sort()  # as classes are
    except TypeError as error:
        raise ValueError(_not_a_class(sorted(t.__name__ for t in types), name)) from error
    return np.array(values)


def _of_numbers(values: list[Any], name: str) -> NDArray[Any]:
    """Booleans, integers or floats; of integers and floats, integers if all are whole."""
    if all(isinstance(value, (bool, np.bool_)) for value in values):
        return np.array(values, dtype=bool)
    if all(isinstance(value, (float, np.floating)) for value in values):
        return np.array(values, dtype=np.float64)
    if not all(isinstance(value, (Real, Decimal, np.bool_)) for value in values):
        return np.array(values, dtype=complex)
    if not all(isinstance(v, Integral) or (isfinite(v) and v == int(v)) for v in values):
        return np.array([float(value) for value in values])
    whole = [int(value) for value in values]
    for dtype in _INTEGERS:
        if np.iinfo(dtype).min <= min(whole) and max(whole) <= np.iinfo(dtype).max:
            return np.array(whole, dtype=dtype)
    raise ValueError(_too_wide(name, min(whole), max(whole)))


def _mixed(types: Any, name: str) -> str:
    kinds = sorted({kind.__name__ for kind in types})
    return f"{name} must be uniformly strings or numbers. Got {kinds}."


def _not_a_class(kind: Any, name: str) -> str:
    return f"Unknown label type: {kind}. Convert {name} to strings or numbers."


def _too_wide(name: str, least: int, largest: int) -> str:
    return (
        f"{name} has labels from {least} to {largest}, which no dtype of 64 bits holds exactly. "
        "Convert them to strings."
    )


def _several_labels(array: NDArray[Any], name: str) -> str:
    """What to say of labels (n, k), or (n, 0) if the numbers of labels differ."""
    got, kind = "a list of labels for each sample", ""
    if array.shape[1]:
        got = f"an array of shape {array.shape}"
        kind = "" if array.dtype.kind == "O" else f" ({type_of_target(array)})"
    return (
        f"{name} should be a 1d array, got {got} instead. Several labels per sample{kind} are not "
        "supported: give each sample one class, for example one string for each combination."
    )
