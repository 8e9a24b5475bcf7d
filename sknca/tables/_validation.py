"""From what users give to tables, by scikit-learn's validation."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data as _validate_data

from .._arrays import as_array, in_native_order
from .._compat import NO_WEIGHT, check_feature_names, check_n_features, check_sample_weight
from .._warnings import warn_user
from ..distributed import Alone, Processes
from ._dense import DenseTable
from ._frames import explained
from ._mapped import MappedTable, is_mapped
from ._sparse import SparseTable, check_format
from ._table import Table
from ._tensors import FLOATS

#: One process, the usual case.
ALONE = Alone()

#: This many samples show the mean and the spread of a feature; and this many are too few for its
#: spread.
_ROWS_TO_COMPARE = 4096
_FEW_TO_COMPARE = 10


def read_table(
    estimator: Any,
    X: Any,
    y: Any = "no_validation",
    *,
    reset: bool = False,
    least: int = 1,
    finite: bool = True,
    processes: Processes = ALONE,
) -> Table:
    """The samples after scikit-learn's validation, which sets or compares the features of the
    estimator.

    Parameters
    ----------
    estimator : estimator
        Of which `n_features_in_` and `feature_names_in_` are set or compared.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Values of an array that is mapped from a file are checked when they are read.

    y : ndarray of shape (n_samples,) or None, default="no_validation"
        Stands for labels, which scikit-learn would convert. None is refused if the estimator needs
        labels.

    reset : bool, default=False
        Whether the features are set, and not compared.

    least : int, default=1
        Number of samples that are needed, in all processes together.

    finite : bool, default=True
        Whether all values must be finite. They are checked again when rows become tensors.

    processes : Processes, default=Alone()
        Those that fit together, of which each has a part of the samples.
    """
    here = 0 if processes.is_joint else least
    if is_mapped(X):
        table = _read_mapped(estimator, X, y, reset=reset, least=here)
    else:
        table = _read_array(estimator, X, y, reset=reset, least=here, finite=finite)
    _check_enough(len(table), least, "X", estimator, processes)
    return table


def _read_array(estimator: Any, X: Any, y: Any, *, reset: bool, least: int, finite: bool) -> Table:
    check_format(X)
    checked = validate_data(
        estimator,
        X,
        y,
        dtype=FLOATS,
        accept_sparse="csr",
        ensure_min_samples=least,
        reset=reset,
        ensure_all_finite=finite,
    )
    return _table_of(checked[0] if isinstance(checked, tuple) else checked)


def _read_mapped(estimator: Any, X: NDArray[Any], y: Any, *, reset: bool, least: int) -> Table:
    """As `read_table`, but for the values: each row is checked when it is read."""
    with explained(X, type(estimator).__name__):
        checked = _validate_data(estimator, X, y, reset=reset, skip_check_array=True)
    if isinstance(checked, tuple):
        check_consistent_length(*checked)
    check_array(X[:least], dtype=None, ensure_min_samples=least, ensure_all_finite=False)
    return MappedTable(X)


def _check_enough(n: int, least: int, name: str, estimator: Any, processes: Processes) -> None:
    """Refuse too few samples, in all processes together."""
    if processes.is_joint and processes.total(n) < least:
        raise ValueError(
            f"Found {name} with {processes.total(n)} sample(s) in all processes together while a "
            f"minimum of {least} is required by {type(estimator).__name__}."
        )


def _table_of(rows: Any, name: str = "X") -> Table:
    if sparse.issparse(rows):
        return SparseTable(rows, name)
    return DenseTable(in_native_order(rows), name)


def read_validation_table(
    estimator: Any, X_val: Any, y_val: Any, *, with_labels: bool, processes: Processes = ALONE
) -> Table:
    """The held-out samples. `y_val` stands for their labels, which are given if `fit` has some."""
    if X_val is None or (y_val is None) == with_labels:
        raise ValueError(
            "X_val and y_val must be given together (y_val only if labels are learned from); "
            f"got X_val={'None' if X_val is None else '...'}, "
            f"y_val={'None' if y_val is None else '...'}."
        )
    array = as_array(X_val, "X_val")
    check_feature_names(estimator, array, reset=False)
    check_format(array, "X_val")
    with explained(X_val, type(estimator).__name__, "X_val"):
        rows = check_array(
            array,
            dtype=FLOATS,
            accept_sparse="csr",
            input_name="X_val",
            ensure_min_samples=0 if processes.is_joint else 1,
        )
    _check_enough(rows.shape[0], 1, "X_val", estimator, processes)
    check_n_features(estimator, rows, reset=False)
    check_consistent_length(rows, y_val)
    return _table_of(rows, "X_val")


def validate_data(estimator: Any, X: Any, y: Any = "no_validation", **options: Any) -> Any:
    """As scikit-learn's; of a DataFrame the error says what is wrong with which columns, and
    warnings point at the user's line.
    """
    with explained(X, type(estimator).__name__):
        return _validate_data(estimator, as_array(X), y, **options)


def read_weight(sample_weight: Any, X: Any, *, may_be_zero: bool = False) -> NDArray[np.float64]:
    """Sample weights (n,), none of which is negative. Unless all `may_be_zero`, one is not."""
    sample_weight = as_array(sample_weight, "sample_weight")
    try:
        weight: NDArray[np.float64] = check_sample_weight(sample_weight, X, may_be_zero=may_be_zero)
    except (ValueError, TypeError) as error:
        if re.search("[Ss]ample.weight", str(error)):
            raise
        raise type(error)(f"sample_weight: {error}") from error
    return weight


def relative_weight(
    sample_weight: Any, X: Any, processes: Processes
) -> tuple[NDArray[np.float64] | None, NDArray[np.int64]]:
    """Weights (n,), of which only the ratios count, and the indices of those that are not 0."""
    if sample_weight is None:
        return None, np.arange(len(X))
    if processes.is_joint and len(X) == 0 and np.shape(sample_weight) == (0,):
        weight = np.zeros(0)
    else:
        weight = read_weight(sample_weight, X, may_be_zero=processes.is_joint)
    largest = max(processes.exchange(weight.max(initial=0.0)))
    if largest == 0:
        raise ValueError(NO_WEIGHT)
    return weight / largest, np.flatnonzero(weight)


def warn_if_unlike(X_val: Table, X: Table, rows: NDArray[np.int64]) -> None:
    """Warn if validation rows do not look like those rows of `X`: of another place or another
    spread in more than half of the features. Of sparse rows, most features are zero in both.
    """
    if X.is_sparse or X_val.is_sparse or len(rows) == 0 or len(X_val) == 0:
        return
    here = _without_outliers(X[rows[:: -(-len(rows) // _ROWS_TO_COMPARE)]])
    there = _without_outliers(X_val[:: -(-len(X_val) // _ROWS_TO_COMPARE)])
    with np.errstate(all="ignore"):  # what is not finite is seen where rows become tensors
        spread = here.std(0)  # (n_features,)
        varies = spread > 0
        if not varies.any():
            return
        here, there, spread = here[:, varies], there[:, varies], spread[varies]
        distance = np.median(abs(there.mean(0) - here.mean(0)) / spread)
        ratio = np.median(there.std(0) / spread) if len(there) >= _FEW_TO_COMPARE else 1.0
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
