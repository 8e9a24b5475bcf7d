"""Parameters and fitted attributes as JSON, with numeric arrays stored separately.

A JSON object always stands for a type that JSON does not have: `{"tuple": [1, 2]}`, for example.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

#: Texts; numbers, booleans, dates and spans of time; as `numpy.dtype.str` writes them.
_TEXTS = re.compile(r"\|O|[<>]U\d+")
_NUMBERS = re.compile(r"[<>|][biuf]\d+|[<>][mM]8(\[\w+\])?")

#: An array of strings in a file may be wider than its longest string by this many characters.
_SPARE_WIDTH = 1000


#: More kinds of values: from a value, its name and the arrays to JSON (None if it is of another
#: kind), and from the JSON object and the arrays to the value.
Encoder = Callable[[Any, str, dict[str, NDArray[Any]]], Any]
Decoder = Callable[[Mapping[str, Any], Mapping[str, NDArray[Any]]], Any]


def encode(
    value: Any, name: str, arrays: dict[str, NDArray[Any]], more: Encoder | None = None
) -> Any:
    """`value`, called `name`, as JSON; its numeric arrays are put into `arrays`.

    Scalars of NumPy become Python's, and a range a list. `more` knows further kinds of values.

    Raises
    ------
    ValueError
        If it is an object that a file cannot contain.
    """
    if more is not None and (described := more(value, name, arrays)) is not None:
        return described
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, range):
        value = list(value)
    if isinstance(value, (list, tuple)):
        items = [encode(item, f"{name}[{i}]", arrays, more) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {
            "dict": {key: encode(v, f"{name}[{key!r}]", arrays, more) for key, v in value.items()}
        }
    if isinstance(value, dict):
        pairs = enumerate(value.items())
        items = [encode([*pair], f"{name}[{i}]", arrays, more) for i, pair in pairs]
        return {"items": items}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if isinstance(value, np.ndarray):
        return _encode_array(value, name, arrays)
    if isinstance(value, torch.Tensor):
        arrays[name] = value.numpy(force=True)
        return {"tensor": name}
    raise ValueError(
        f"{name}={value!r} cannot be saved: files contain numbers, strings, arrays of these, and "
        "lists of them, but no other objects."
    )


def _encode_array(
    array: NDArray[Any], name: str, arrays: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    dtype = array.dtype
    if dtype.kind in "UO":
        texts = array.tolist()
        if array.ndim != 1 or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"{name} contains objects other than strings, which cannot be saved.")
        if dtype.kind == "U":
            widest = np.dtype(("U", _widest(texts))).newbyteorder(dtype.byteorder)
            dtype = min(dtype, widest, key=lambda one: one.itemsize)
        return {"texts": texts, "dtype": dtype.str}
    # Dates and spans of time are whole numbers of their unit.
    stored = np.dtype(np.int64) if dtype.kind in "mM" else dtype.newbyteorder("=")
    arrays[name] = array.astype(stored)
    return {"array": name, "dtype": dtype.str}


def decode(value: Any, arrays: Mapping[str, NDArray[Any]], more: Decoder | None = None) -> Any:
    """What `encode` made JSON of. `more` knows further kinds of values.

    Raises
    ------
    Exception
        Of any kind, if `encode` did not make it.
    """
    match value:
        case list():
            return [decode(item, arrays, more) for item in value]
        case {"float": text}:
            return float(text)
        case {"tuple": items}:
            return tuple(decode(item, arrays, more) for item in items)
        case {"dict": items}:
            return {key: decode(item, arrays, more) for key, item in items.items()}
        case {"items": items}:
            return {decode(key, arrays, more): decode(item, arrays, more) for key, item in items}
        case {"device": text}:
            return torch.device(text)
        case {"texts": texts, "dtype": dtype}:
            texts = [str(text) for text in texts]
            expected = _dtype(dtype, _TEXTS)
            if expected.itemsize > 4 * _widest(texts):  # four bytes a character
                raise ValueError(f"it contains strings in an array that is too wide, {dtype!r}")
            return np.array(texts, expected)
        case {"array": name, "dtype": dtype}:
            return arrays[name].astype(_dtype(dtype, _NUMBERS), copy=False)
        case {"tensor": name}:
            return torch.from_numpy(arrays[name])
        case dict() if more is not None:
            return more(value, arrays)
        case dict():
            raise ValueError(f"it contains a value of an unknown kind, {', '.join(value)}")
    return value


def _widest(texts: list[str]) -> int:
    return max(map(len, texts), default=0) + _SPARE_WIDTH


def _dtype(text: str, known: re.Pattern[str]) -> np.dtype[Any]:
    if not known.fullmatch(text):
        raise ValueError(f"it contains an array of an unknown dtype, {text!r}")
    return np.dtype(text)
