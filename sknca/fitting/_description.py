"""What distinguishes a fit from others: its parameters and its arrays.

A checkpoint compares the fit that wrote it with the fit that reads it, and the processes of a joint
fit compare theirs. Two fits that learn the same are alike, however their values are written down: a
dict in any order, 1 and 1.0, numbers of NumPy and of Python, a list and a tuple, an array in any
order of its memory and of its bytes.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..tables import Table

#: What is described.
Array = Table | NDArray[Any]

#: This many bytes of an array are made contiguous together.
_BYTES_AT_HAND = 2**24

#: Parameters that version 0.2 did not have, with the text of what it did.
_SINCE_0_2 = {"n_members": "1"}


@dataclass(frozen=True)
class Description:
    """What distinguishes a fit from others.

    Parameters
    ----------
    parameters : dict
        The parameters as texts, as `describe_parameters` returns them. In a joint fit whose
        processes have different parts of the data, a list of one text for each process.

    others : dict
        Everything else, which is compared as it is.

    in_0_2 : dict, default={}
        Those entries of `others` that version 0.2 would have written in another way.
    """

    parameters: Mapping[str, Any]
    others: Mapping[str, Any]
    in_0_2: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entries(self) -> dict[str, Any]:
        return {**self.others, **self.parameters}

    def differences(self, other: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
        """The name of each entry that differs from another fit's, its value there and here."""
        for name, here in self.others.items():
            if other.get(name) not in (here, self.in_0_2.get(name, here)):
                yield name, other.get(name), here
        for name, here in self.parameters.items():
            before = _SINCE_0_2.get(name)
            there = other.get(name, [before] * len(here) if isinstance(here, list) else before)
            if not _are_alike(there, here):
                yield name, there, here


def describe_parameters(parameters: Mapping[str, Any], *, but: Collection[str]) -> dict[str, str]:
    """All parameters as texts, except those that may differ."""
    return {name: text_of(value) for name, value in parameters.items() if name not in but}


def describe_arrays(
    arrays: Mapping[str, Array | None], *, as_stored: bool = False
) -> dict[str, Any]:
    """Shape, dtype and checksum of arrays of numbers. With `as_stored`, as version 0.2 described
    them: in the order of their bytes, and with indices as wide as they are.
    """
    described: dict[str, Any] = {}
    for name, array in arrays.items():
        shape, text, sum_ = None, None, None
        if array is not None:
            parts = [(part, part.dtype if as_stored else dtype) for part, dtype in _parts(array)]
            sum_ = "".join(checksum(part, dtype) for part, dtype in parts)
            text = f"{'sparse ' * (len(parts) > 1)}{parts[0][1].str}"
            shape = list(array.shape)
        described |= {
            f"{name}.shape": shape,
            f"{name}.dtype": text,
            f"the checksum of {name}": sum_,
        }
    return described


def stored_otherwise(arrays: Mapping[str, Array | None]) -> dict[str, Array]:
    """Those that version 0.2 described in another way."""
    return {
        name: array
        for name, array in arrays.items()
        if array is not None and any(part.dtype != dtype for part, dtype in _parts(array))
    }


def _parts(array: Array) -> list[tuple[Any, np.dtype[Any]]]:
    """What an array consists of, and the dtypes to compare it by."""
    if isinstance(array, Table):
        return array.parts()
    return [(array, array.dtype.newbyteorder("<"))]


def checksum(array: Any, dtype: np.dtype[Any]) -> str:
    """The checksum of all values of an array of numbers in this dtype, some rows at a time."""
    digest = hashlib.blake2b(digest_size=8)
    rows = max(_BYTES_AT_HAND // max(array[:1].nbytes, 1), 1)
    for start in range(0, len(array), rows):
        part = np.ascontiguousarray(array[start : start + rows], dtype=dtype)
        digest.update(part.data.cast("B"))
    return digest.hexdigest()


def text_of(value: Any) -> str:
    """A parameter as the literal of a Python value; code of the user as its name.

    Examples
    --------
    >>> import numpy as np
    >>> text_of({"b": np.float64(2), "a": (1, np.int64(3))})
    "{'a': [1, 3], 'b': 2.0}"
    """
    if isinstance(value, nn.Module):
        return f"a {type(value).__name__}"
    if isinstance(value, np.random.RandomState):
        return "a RandomState"
    if isinstance(value, partial):
        named = [f"{name}={text_of(of_name)}" for name, of_name in sorted(value.keywords.items())]
        return f"partial({', '.join([*map(text_of, (value.func, *value.args)), *named])})"
    if callable(value):
        return str(getattr(value, "__qualname__", type(value).__qualname__))
    if hasattr(value, "tolist"):  # of NumPy, pandas or torch
        value = value.tolist()
    if isinstance(value, str):
        return repr(str.__str__(value))
    if isinstance(value, Mapping):
        items = sorted(f"{text_of(key)}: {text_of(item)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return f"[{', '.join(map(text_of, value))}]"
    if isinstance(value, bool):
        return repr(value)
    if isinstance(value, Integral):
        return repr(int(value))
    return repr(float(value) if isinstance(value, Real) else value)


def _are_alike(one: Any, other: Any) -> bool:
    """Whether two texts of a parameter, or the texts of all processes, are of equal values."""
    if one == other or (one == "partial" and str(other).startswith("partial(")):
        return True  # version 0.2 wrote nothing else of a partial
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_are_alike, one, other))
    try:
        return bool(_value_of(one) == _value_of(other))
    except Exception:  # of any kind: a text may be from a file, and need not be a literal
        return False


def _value_of(text: str) -> Any:
    return ast.literal_eval(_WithoutNumPy().visit(ast.parse(text, mode="eval")))


class _WithoutNumPy(ast.NodeTransformer):
    """Version 0.2 wrote `np.int64(1)` for a number of NumPy in a list or a dict."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="np")), args=[number], keywords=[]):
                return number
        return node
