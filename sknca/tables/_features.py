"""Where each feature has its center, and what its unit is, whatever a few of its values are."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..distributed import Processes

#: More rows would not make the quartiles more accurate.
ROWS_TO_START_FROM = 4096

#: This many features are sorted together.
_FEATURES_AT_HAND = 256

#: The distance of the quartiles of a normal distribution, in standard deviations.
_QUARTILES_OF_NORMAL = 1.349

#: Values that differ by at most this many units in the last place are one value. In half precision,
#: whole numbers may differ by one unit.
_ULPS = {np.float64: 10, np.float32: 3, np.float16: 0}


def center_and_spread(
    X: Any, rows: NDArray[np.int64], generator: torch.Generator, processes: Processes
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The median of each feature (n_features,), and its spread (n_features,), 0 if it is constant.

    The spread is the interquartile range, in standard deviations of a normal distribution. Where
    a feature is mostly one value (a count, a rare category, a pixel of the background) it is half
    of what the other values typically differ from that one. So neither a fraction of outliers nor
    rare values decide. Differences of some units in the last place count as none.

    Parameters
    ----------
    X : ndarray or Table of shape (n_samples, n_features)
        Finite or not: that is checked when rows become tensors.

    rows : ndarray of shape (n_train,)
        Indices of the rows to go by. Of many, some are drawn; a feature that is constant in these
        is looked at in all.

    generator : torch.Generator
        On the CPU. Draws these rows.

    processes : Processes
        Those that fit together. Center and spread are of the samples of all of them.
    """
    sample, n = rows, processes.total(len(rows))
    if n > ROWS_TO_START_FROM:
        drawn = torch.randperm(len(rows), generator=generator, device="cpu")
        size = -(-ROWS_TO_START_FROM * len(rows) // n)  # of this process
        sample = rows[drawn[:size].sort().values.numpy()]
    center, spread = np.empty(X.shape[1]), np.empty(X.shape[1])
    some_rows = processes.concatenated(X[sample])
    for start in range(0, X.shape[1], _FEATURES_AT_HAND):
        some = slice(start, start + _FEATURES_AT_HAND)
        center[some], spread[some] = _of_features(some_rows[:, some])
    if n > ROWS_TO_START_FROM:
        constant = np.flatnonzero(spread == 0)
        for feature in constant[_vary(X, rows, constant, processes)]:
            some = slice(feature, feature + 1)
            column = processes.concatenated(_column(X, rows, some))
            center[some], spread[some] = _of_features(column)
    return center, spread


def _vary(
    X: Any, rows: NDArray[np.int64], features: NDArray[np.int64], processes: Processes
) -> NDArray[np.bool_]:
    """Which of the features (k,) are not the same in all of the rows."""
    varies = np.zeros(len(features), dtype=bool)
    if len(features) == 0:
        return varies
    first = processes.concatenated(X[rows[:1]][:, features])[:1]
    for start in range(0, len(rows), ROWS_TO_START_FROM):
        some = X[rows[start : start + ROWS_TO_START_FROM]][:, features]
        varies |= (some != first).any(0)
    found: NDArray[np.bool_] = np.any(processes.concatenated(varies[None]), axis=0)
    return found


def _of_features(X: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ordered = X.T.astype(np.float64, order="C")  # (k, m)
    ordered.sort(axis=1)
    m = ordered.shape[1]
    center = ordered[:, (m - 1) // 2].copy()  # one of the values: what is mostly 0 stays 0
    low, high = ordered[:, m // 4], ordered[:, m - 1 - m // 4]
    with np.errstate(over="ignore", invalid="ignore"):
        rounding = _rounding_of(X.dtype) * np.abs(center)
        spread = (high - low) / _QUARTILES_OF_NORMAL
        mostly_one = ~(high - low > rounding)
        spread[mostly_one] = _of_rare_values(
            ordered[mostly_one], center[mostly_one], rounding[mostly_one]
        )
    return center, spread


def _column(X: Any, rows: NDArray[np.int64], column: slice) -> NDArray[Any]:
    """One feature (n_train, 1), without a copy of the others."""
    blocks = range(0, max(len(rows), 1), ROWS_TO_START_FROM)
    return np.concatenate([X[rows[i : i + ROWS_TO_START_FROM]][:, column] for i in blocks])


def _rounding_of(dtype: np.dtype[Any]) -> float:
    """The relative difference of values that are one."""
    return float(_ULPS[dtype.type] * np.finfo(dtype).eps) if dtype.kind == "f" else 0.0


def _of_rare_values(
    ordered: NDArray[np.float64],  # (k, m)
    center: NDArray[np.float64],  # (k,)
    rounding: NDArray[np.float64],  # (k,)
) -> NDArray[np.float64]:
    """Half the median distance from the center of the values that differ from it (k,)."""
    distance = np.abs(ordered - center[:, None])
    distance.sort(axis=1)
    m = distance.shape[1]
    n_same = (distance <= rounding[:, None]).sum(1)
    middle = np.minimum((n_same + m) // 2, m - 1)
    typical = np.take_along_axis(distance, middle[:, None], axis=1)[:, 0] / 2
    return np.where(n_same < m, typical, 0.0)


def common_unit(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """One spread for all features (n_features,), their root mean square; 0 for constant ones."""
    varies = spread > 0
    with np.errstate(over="ignore"):  # such features are too large for float32, which is told next
        return varies * np.sqrt(np.mean(np.square(spread[varies]))) if varies.any() else spread


def spread_of_entries(
    matrix: Any, rows: NDArray[np.int64], generator: torch.Generator
) -> NDArray[np.float64]:
    """The spread (n_features,) of features whose center is zero: half of what their entries
    typically differ from it. That of a feature without an entry in the rows is 0.

    Parameters
    ----------
    matrix : sparse array of shape (n_samples, n_features)
        The samples, by rows, each entry stored once.

    rows : ndarray of shape (n_train,)
        Indices of the rows to use. If there are many, some are drawn. A feature without an entry in
        these has the median spread of the other features.

    generator : torch.Generator
        On the CPU. Draws these rows.
    """
    sample = rows
    if len(rows) > ROWS_TO_START_FROM:
        drawn = torch.randperm(len(rows), generator=generator, device="cpu")
        sample = rows[drawn[:ROWS_TO_START_FROM].sort().values.numpy()]
    spread = _half_median(matrix[sample])
    if len(sample) < len(rows):
        occurs = np.bincount(matrix[rows].indices, minlength=matrix.shape[1]) > 0
        unseen = occurs & (spread == 0)
        if (spread > 0).any():
            spread[unseen] = np.median(spread[spread > 0])
    return spread


def _half_median(matrix: Any) -> NDArray[np.float64]:
    """Half the median of the absolute entries of each column (n_features,), 0 without any."""
    values = np.abs(matrix.data.astype(np.float64))
    order = np.lexsort((values, matrix.indices))
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
    middle = np.cumsum(counts) - counts + counts // 2  # of each column's entries
    spread = np.zeros(matrix.shape[1])
    some = counts > 0
    spread[some] = values[order][middle[some]] / 2
    return spread
