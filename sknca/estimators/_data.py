"""Arrays: what they must be like, and how they become tensors."""

from collections.abc import Callable, Iterator, Sequence
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
from torch import Tensor, nn

from .._arrays import as_array
from .._compat import check_feature_names, check_n_features
from .._sparse_rows import Rows
from .._threads import threads_for
from .._warnings import warn_user
from ..networks import (
    CHUNK_ROWS,
    CODE,
    answers_of,
    apply_layers,
    chunk_rows,
    device_of,
    largest_product,
)
from ._frames import FLOATS, assert_all_finite, explained, one_column
from ._mapped import MappedArray
from ._sparse import SparseArray, check_format

#: So many rows tell what a feature's mean and spread are; and so many too little of its spread.
_ROWS_TO_COMPARE = 4096
_FEW_TO_COMPARE = 10

#: So many rows are copied together, on their way through a network.
_ROWS_AT_HAND = 8 * CHUNK_ROWS

#: Sparse rows for a network that does not read them: so many entries, zeros among them, together.
_ENTRIES_AT_HAND = 2**24


#: Rows of an estimator, after validation.
Array = NDArray[Any] | MappedArray | SparseArray


def to_tensor(
    array: NDArray[Any], device: torch.device, centre: NDArray[np.float64] | None = None
) -> Tensor:
    """A float32 copy of `array` on the device, whatever its strides, flags or owner; about
    the `centre`, so that what lies far from zero loses no digits.

    Raises
    ------
    ValueError
        If an entry is not finite, or too large for float32.
    """
    tensor = torch.empty(array.shape, dtype=torch.float32, device="cpu")
    return _fill(tensor, array, centre).to(device)


def _fill(tensor: Tensor, array: NDArray[Any], centre: NDArray[np.float64] | None) -> Tensor:
    with np.errstate(over="ignore", invalid="ignore"):
        if centre is None:
            tensor.numpy()[...] = array
        else:
            centre = centre.astype(np.promote_types(array.dtype, np.float32))
            np.subtract(array, centre, out=tensor.numpy(), casting="same_kind")
    # The sum alone mostly tells: it is finite where all are, unless they are huge.
    if not tensor.sum().isfinite() and not bool(tensor.isfinite().all()):
        assert_all_finite(array)
        raise ValueError("Input X contains infinity or a value too large for dtype('float32').")
    return tensor


def reader(
    X: NDArray[Any] | MappedArray | SparseArray, centre: NDArray[np.float64] | None
) -> Callable[[Tensor], Tensor]:
    """From indices to rows about the center, in float32, as read from the array or the file.

    The reader raises ValueError if a row is not finite, or too large for float32.
    """

    def read(indices: Tensor) -> Tensor:
        rows = X[indices.numpy()]
        room = torch.empty(rows.shape, dtype=torch.float32, device="cpu")
        try:
            return _fill(room, rows, centre)
        except ValueError as error:
            bad = indices[~room.isfinite().all(1)].tolist()
            raise ValueError(f"{error} (row {bad[0]})") from error

    return read


def apply_to_array(
    network: nn.Module,
    rows: Array,
    width: int,
    centre: NDArray[np.float64] | None = None,
) -> NDArray[Any]:
    """The outputs (n, width) of a trained network for centered rows, in the dtype of the rows.

    Raises
    ------
    ValueError
        If an entry is not finite, or too large for float32; or a code is too large for float16.
    """
    dtype = rows.dtype if rows.dtype.kind == "f" else np.float64
    outputs = np.empty((len(rows), width), dtype=dtype)
    for where, some in _outputs_in_pieces(network, rows, [CODE], centre):
        with np.errstate(over="ignore"):
            outputs[where] = some[CODE].numpy(force=True)
    if dtype == np.float16 and not np.isfinite(outputs).all():
        raise ValueError("The codes of X are too large for its dtype, float16. Use float32.")
    return outputs


def apply_layers_to_array(
    network: nn.Module,
    rows: Array,
    names: Sequence[str],
    centre: NDArray[np.float64] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """The outputs of the named modules of a trained network, as `apply_to_array`."""
    pieces = [some for _, some in _outputs_in_pieces(network, rows, names, centre, home="cpu")]
    return {name: torch.cat([some.pop(name) for some in pieces]).numpy() for name in names}


def _outputs_in_pieces(
    network: nn.Module,
    rows: Array,
    names: Sequence[str],
    centre: NDArray[np.float64] | None,
    home: str | None = None,
) -> Iterator[tuple[slice, dict[str, Tensor]]]:
    """Which rows, and the outputs of the named modules for them; on the device of the network,
    which has room for a piece, or at `home`.
    """
    # Copies, for a network may work in place; always in the same memory, which is at hand.
    device = device_of(network, default=torch.device("cpu"))
    size = min(max(_ROWS_AT_HAND, chunk_rows(network, device)), len(rows))
    gathers = isinstance(rows, SparseArray) and answers_of(network).reads_sparse
    if isinstance(rows, SparseArray) and not gathers:
        size = max(min(size, _ENTRIES_AT_HAND // rows.shape[1]), 1)
    room = torch.empty(0 if gathers else size, rows.shape[1], dtype=torch.float32, device="cpu")
    product = largest_product(network, min(len(rows), CHUNK_ROWS))
    for start in range(0, len(rows), size):
        where = slice(start, start + size)
        some: Rows
        # The rows too: in a forked process, a sum in several threads would wait forever.
        with threads_for(product):
            if isinstance(rows, SparseArray) and gathers:
                some = rows.gather(where)
            else:
                array = rows[where]
                some = _fill(room[: len(array)], array, centre)
            outputs = apply_layers(network, some, names)
        yield where, {name: output.to(home or output.device) for name, output in outputs.items()}


def warn_if_unlike(X_val: Array, X: Array, rows: NDArray[np.int64]) -> None:
    """Warn if validation rows do not look like those rows of `X`: of another place or another
    spread in more than half of the features. Of sparse rows, most features are zero in both.
    """
    if isinstance(X, SparseArray) or isinstance(X_val, SparseArray):
        return
    X = _without_outliers(X[rows[:: -(-len(rows) // _ROWS_TO_COMPARE)]])
    X_val = _without_outliers(X_val[:: -(-len(X_val) // _ROWS_TO_COMPARE)])
    with np.errstate(all="ignore"):  # what is not finite is seen where rows become tensors
        spread = X.std(0)  # (n_features,)
        varies = spread > 0
        if not varies.any():
            return
        X, X_val, spread = X[:, varies], X_val[:, varies], spread[varies]
        distance = np.median(abs(X_val.mean(0) - X.mean(0)) / spread)
        ratio = np.median(X_val.std(0) / spread) if len(X_val) >= _FEW_TO_COMPARE else 1.0
    if distance > 2 or not 1 / 5 < ratio < 5:
        warn_user(
            f"X_val does not look like X: in the median feature its mean is {distance:.2g} "
            f"standard deviations of X away, and its standard deviation {ratio:.2g} times as "
            "large. In a pipeline, X_val passes the steps before this one only with "
            "transform_input=['X_val'] and metadata routing."
        )


def _without_outliers(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Rows in float64, each feature within its 2 and 98 % quantiles."""
    rows = rows.astype(np.float64)
    return rows.clip(*np.quantile(rows, [0.02, 0.98], axis=0, method="nearest"))


def check_validation_data(
    estimator: Any, X_val: Any, y_val: Any, *, with_labels: bool
) -> tuple[Array, NDArray[Any] | None]:
    """The held-out rows and their labels, which are there if `fit` has labels."""
    if X_val is None or (y_val is None) == with_labels:
        raise ValueError(
            "X_val and y_val must be given together (y_val only if labels are learned from); "
            f"got X_val={'None' if X_val is None else '...'}, "
            f"y_val={'None' if y_val is None else '...'}."
        )
    check_feature_names(estimator, X_val, reset=False)
    check_format(X_val, "X_val")
    with explained(X_val, type(estimator).__name__, "X_val"):
        rows = check_array(as_array(X_val), dtype=FLOATS, accept_sparse="csr", input_name="X_val")
    check_n_features(estimator, rows, reset=False)
    if not isinstance(rows, np.ndarray):
        rows = SparseArray(rows)
    if y_val is None:
        return rows, None
    y_val = column_or_1d(one_column(y_val))
    check_consistent_length(rows, y_val)
    return rows, y_val


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """The seed of a fit. None gives a fresh one and leaves NumPy's global state alone; a
    RandomState advances.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    generator: np.random.RandomState = check_random_state(random_state)
    return int(generator.randint(2**31 - 1))
