"""From the rows of a table to outputs of a trained network."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .._threads import threads_for
from ..networks import (
    CHUNK_ROWS,
    CODE,
    answers_of,
    apply_layers,
    chunk_rows,
    device_of,
    largest_product,
)
from ..tables import Table

#: This many rows are copied to the device together.
_ROWS_AT_HAND = 8 * CHUNK_ROWS

#: For a network that does not read sparse rows, this many entries, with zeros, are made together.
_ENTRIES_AT_HAND = 2**24


def apply_to_array(
    network: nn.Module,
    table: Table,
    width: int,
    center: NDArray[np.float64] | None = None,
) -> NDArray[Any]:
    """The outputs (n, width) of a trained network for centered rows, in the dtype of the table.

    Raises
    ------
    ValueError
        If an entry is not finite, or too large for float32; or a code is too large for float16.
    """
    dtype = table.dtype if table.dtype.kind == "f" else np.float64
    outputs = np.empty((len(table), width), dtype=dtype)
    for where, some in _outputs_in_pieces(network, table, [CODE], center):
        with np.errstate(over="ignore"):
            outputs[where] = some[CODE].numpy(force=True)
    if dtype == np.float16 and not np.isfinite(outputs).all():
        raise ValueError("The codes of X are too large for its dtype, float16. Use float32.")
    return outputs


def apply_layers_to_array(
    network: nn.Module,
    table: Table,
    names: Sequence[str],
    center: NDArray[np.float64] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """The outputs of the named modules of a trained network, as `apply_to_array`."""
    pieces = [some for _, some in _outputs_in_pieces(network, table, names, center, home="cpu")]
    return {name: torch.cat([some.pop(name) for some in pieces]).numpy() for name in names}


def _outputs_in_pieces(
    network: nn.Module,
    table: Table,
    names: Sequence[str],
    center: NDArray[np.float64] | None,
    home: str | None = None,
) -> Iterator[tuple[slice, dict[str, Tensor]]]:
    """Slices of the rows, and the outputs of the named modules for them, on the device of the
    network or at `home`.
    """
    # Copies, because a network may work in place; always in the same memory, which is in the cache.
    device = device_of(network, default=torch.device("cpu"))
    size = min(max(_ROWS_AT_HAND, chunk_rows(network, device)), len(table))
    sparse = table.is_sparse and answers_of(network).reads_sparse
    if table.is_sparse and not sparse:
        size = max(min(size, _ENTRIES_AT_HAND // table.shape[1]), 1)
    shape = 0 if sparse else size, table.shape[1]
    room = torch.empty(shape, dtype=torch.float32, device="cpu")
    product = largest_product(network, min(len(table), CHUNK_ROWS))
    for start in range(0, len(table), size):
        where = slice(start, start + size)
        # Also for the rows: in a forked process, a sum in several threads would wait forever.
        with threads_for(product):
            some = table.rows(where, center, sparse=sparse, out=room)
            outputs = apply_layers(network, some, names)
        yield where, {name: output.to(home or output.device) for name, output in outputs.items()}
