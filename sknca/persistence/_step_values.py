"""Values of scikit-learn's steps that `sknca._values` does not know, as JSON and back."""

from collections import UserList
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import make_column_selector

from .._values import decode, encode

#: The types that a parameter may be, such as the dtype of an encoder, by their names in a file.
_TYPES: dict[str, type[Any]] = {
    **{f"numpy.{one.__name__}": one for one in (np.number, np.integer, np.floating, np.bool_)},
    **{f"numpy.{one.__name__}": one for one in (np.float16, np.float32, np.float64, np.object_)},
    **{f"numpy.{one.__name__}": one for one in (np.int8, np.int16, np.int32, np.int64)},
    **{f"numpy.{one.__name__}": one for one in (np.uint8, np.uint16, np.uint32, np.uint64)},
    **{one.__name__: one for one in (bool, float, int, object, str)},
}
_NAMES = {kind: name for name, kind in _TYPES.items()}

_SELECTOR = ("pattern", "dtype_include", "dtype_exclude")


def encode_value(value: Any, name: str, arrays: dict[str, NDArray[Any]]) -> Any:
    """A value as JSON, if it is of a kind that only steps have; otherwise None.

    Raises
    ------
    ValueError
        If it contains an object that a file cannot contain.
    """
    if isinstance(value, type) and value in _NAMES:
        return {"type": _NAMES[value]}
    if isinstance(value, np.dtype) and value.kind in "biufO":
        return {"dtype of": value.str}
    if isinstance(value, UserList):  # columns of the remainder before scikit-learn 1.7
        return encode(value.data, name, arrays)
    if is_of_pandas(value):
        return encode(value.tolist(), name, arrays)
    if isinstance(value, slice):
        return {"slice": encode([value.start, value.stop, value.step], name, arrays)}
    if isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 1:
        items = value.tolist()
        if not all(isinstance(item, str) for item in items):
            plain = (str, bool, int, float, type(None))
            if any(not isinstance(item, (np.generic, *plain)) for item in items):
                raise ValueError(f"{name} contains objects that files cannot contain.")
            return {"objects": encode(items, name, arrays)}
    if isinstance(value, np.ndarray) and value.ndim == 2 and not value.flags.c_contiguous:
        # Products of a matrix may round differently if it lies in memory in another order.
        if value.strides[0] > value.strides[1] or 1 in value.shape:
            return None
        return {"transposed": encode(value.T, name, arrays)}
    if type(value) is make_column_selector:
        chosen = {one: getattr(value, one) for one in _SELECTOR}
        return {"selector": encode(chosen, name, arrays, encode_value)}
    return None


def is_of_pandas(columns: Any) -> bool:
    """Whether columns are chosen by an index or a mask of pandas, which files contain as lists."""
    return type(columns).__module__.split(".")[0] == "pandas" and hasattr(columns, "tolist")


def decode_value(value: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Any:
    """What `encode_value` made JSON of.

    Raises
    ------
    Exception
        Of any kind, if it did not make it.
    """
    match value:
        case {"type": name}:
            return _TYPES[name]
        case {"dtype of": text} if text == "|O" or text[1:2] in (*"biuf",):
            return np.dtype(text)
        case {"slice": limits}:
            start, stop, step = decode(limits, arrays)
            if not all(isinstance(one, (int, str, type(None))) for one in (start, stop, step)):
                raise ValueError("it contains a slice of something else than places and names")
            return slice(start, stop, step)
        case {"objects": items}:
            items = decode(items, arrays)
            if not all(isinstance(one, (str, bool, int, float, type(None))) for one in items):
                raise ValueError("it contains an array of other objects than texts and numbers")
            array = np.empty(len(items), dtype=object)
            array[:] = items
            return array
        case {"transposed": array}:
            return decode(array, arrays).T
        case {"selector": chosen}:
            chosen = decode(chosen, arrays, decode_value)
            if not isinstance(chosen["pattern"], (str, type(None))):
                raise ValueError("it contains a selector with a pattern that is no text")
            return make_column_selector(**{one: chosen[one] for one in _SELECTOR})
    raise ValueError(f"it contains a value of an unknown kind, {', '.join(value)}")
