"""The file: arrays and JSON in the safetensors format, with a checksum."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

#: Increased if the meaning of a file changes. In every format, a file begins with the checksum,
#: followed by the number of its format.
FORMAT = 1

#: After the eight bytes with the length of the header, and before the checksum.
_START = b'{"__metadata__":{"sknca":"{\\"sha256\\":\\"'
_CHECKSUM = slice(8 + len(_START), 8 + len(_START) + 64)
_NO_CHECKSUM = b"0" * 64

#: The dtypes that the safetensors format has for NumPy.
_DTYPES = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64"),
}


def pack(content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a file with `content`, as JSON, and the arrays.

    Raises
    ------
    ValueError
        If an array has a dtype that the file cannot contain.
    """
    for name, array in arrays.items():
        if array.dtype.name not in _DTYPES:
            raise ValueError(f"{name} has dtype {array.dtype}, which cannot be saved.")
    content = {"sha256": _NO_CHECKSUM.decode(), "format": FORMAT, **content}
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    data = bytearray(safetensors.numpy.save(contiguous, {"sknca": text}))
    if data[8 : _CHECKSUM.start] != _START:
        raise RuntimeError("This version of safetensors lays files out in another way.")
    data[_CHECKSUM] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def check_is_whole(data: bytes) -> None:
    """Refuse bytes that `pack` did not return, or that were changed since.

    Raises
    ------
    ValueError
        If they are of another kind, truncated or altered.
    """
    if data[8 : _CHECKSUM.start] != _START:
        raise ValueError("it was not written by sknca.save, or its beginning is damaged")
    bare = bytearray(data)
    bare[_CHECKSUM] = _NO_CHECKSUM
    if hashlib.sha256(bare).hexdigest().encode() != data[_CHECKSUM]:
        raise ValueError("it is truncated or altered: its checksum does not match its contents")


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The content and the arrays of a file. What is in them may be anything, and if it was not
    written by `pack`, so may be the exception.
    """
    n_header = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n_header])
    content = json.loads(header["__metadata__"]["sknca"])
    if content["format"] != FORMAT:
        raise ValueError(
            f"it has format {content['format']!r}, written by sknca {content.get('sknca')}; "
            f"this version reads format {FORMAT}"
        )
    return content, safetensors.numpy.load(data)


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file atomically: until all is on the disk, an existing file at `path` stays. The new
    file has the permissions of the one that it replaces.
    """
    target = Path(os.path.realpath(path))  # the file that a link leads to, not the link
    partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file:
            if target.exists():
                shutil.copymode(target, partial)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
