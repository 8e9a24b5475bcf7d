"""The file: arrays and JSON in the safetensors format, under a checksum."""

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

#: Raised when a file means something else than before. Whatever the format, a file begins
#: with the checksum, and then says which format it has.
FORMAT = 1

#: What follows the eight bytes that tell the length of the header; then comes the checksum.
_START = b'{"__metadata__":{"sknca":"{\\"sha256\\":\\"'
_CHECKSUM = slice(8 + len(_START), 8 + len(_START) + 64)
_NO_CHECKSUM = b"0" * 64

#: The dtypes that the safetensors format has for NumPy.
_DTYPES = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64"),
}


def pack(content: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a file that holds `content`, as JSON, and the arrays.

    Raises
    ------
    ValueError
        If an array is of a dtype that the file cannot hold.
    """
    for name, array in arrays.items():
        if array.dtype.name not in _DTYPES:
            raise ValueError(f"{name} is of dtype {array.dtype}, which cannot be saved.")
    content = {"sha256": _NO_CHECKSUM.decode(), "format": FORMAT, **content}
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    data = bytearray(safetensors.numpy.save(contiguous, {"sknca": text}))
    if data[8 : _CHECKSUM.start] != _START:
        raise RuntimeError("This version of safetensors lays files out in another way.")
    data[_CHECKSUM] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def check_is_whole(data: bytes) -> None:
    """Refuse bytes that `pack` did not make, or that are no longer what it made.

    Raises
    ------
    ValueError
        If they are of another kind, truncated or altered.
    """
    if data[8 : _CHECKSUM.start] != _START:
        raise ValueError("it is no file that sknca.save wrote, or its beginning is lost")
    bare = bytearray(data)
    bare[_CHECKSUM] = _NO_CHECKSUM
    if hashlib.sha256(bare).hexdigest().encode() != data[_CHECKSUM]:
        raise ValueError("it is truncated or altered: its checksum is not that of its contents")


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The content and the arrays of a file. What is in them may be anything, and if it was not
    written by `pack`, so may be the exception.
    """
    n_header = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n_header])
    content = json.loads(header["__metadata__"]["sknca"])
    if content["format"] != FORMAT:
        raise ValueError(
            f"it is of format {content['format']!r}, written by sknca {content.get('sknca')}; "
            f"this version reads format {FORMAT}"
        )
    return content, safetensors.numpy.load(data)


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file at once: until all is on the disk, what was at `path` stays there. A file that
    is replaced leaves its permissions to the new one.
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
