"""Where each feature has its center, and what its unit is, whatever a few of its values are."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

#: More rows would tell the quartiles no better.
ROWS_TO_START_FROM = 4096

#: So many features are sorted together.
_FEATURES_AT_HAND = 256

#: Quartiles of a normal distribution are so many standard deviations apart.
_QUARTILES_OF_NORMAL = 1.349

#: Values that differ by so many units in the last place are one value. In half precision whole
#: numbers differ by as little.
_ULPS = {np.float64: 10, np.float32: 3, np.float16: 0}


def center_and_spread(
    X: NDArray[Any], rows: NDArray[np.int64], generator: torch.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The median of each feature (n_features,), and its spread (n_features,), 0 if it is constant.

    The spread is the interquartile range, in standard deviations of a normal distribution. Where
    a feature is mostly one value (a count, a rare category, a pixel of the background) it is half
    of what the other values typically differ from that one. So neither a fraction of outliers nor
    rare values decide. Differences of some units in the last place count as none.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Finite or not, which is seen where rows become tensors.

    rows : ndarray of shape (n_train,)
        Indices of the rows to go by. Of many, some are drawn; a feature that is constant in these
        is looked at in all.

    generator : torch.Generator
        On the CPU. Draws these rows.
    """
    sample = rows
    if len(rows) > ROWS_TO_START_FROM:
        drawn = torch.randperm(len(rows), generator=generator, device="cpu")
        sample = rows[drawn[:ROWS_TO_START_FROM].sort().values.numpy()]
    center, spread = np.empty(X.shape[1]), np.empty(X.shape[1])
    for start in range(0, X.shape[1], _FEATURES_AT_HAND):
        some = slice(start, start + _FEATURES_AT_HAND)
        center[some], spread[some] = _of_features(X[sample, some])
    if len(sample) < len(rows):
        for feature in np.flatnonzero(spread == 0):
            column = X[rows, feature : feature + 1]
            if (column != column[0]).any():
                center[feature : feature + 1], spread[feature : feature + 1] = _of_features(column)
    return center, spread


def _of_features(X: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    ordered = X.T.astype(np.float64, order="C")  # (k, m)
    ordered.sort(axis=1)
    m = ordered.shape[1]
    center = ordered[:, (m - 1) // 2].copy()  # one of the values: what is mostly 0 stays 0
    low, high = ordered[:, m // 4], ordered[:, m - 1 - m // 4]
    with np.errstate(over="ignore", invalid="ignore"):
        rounding = _ULPS[X.dtype.type] * np.finfo(X.dtype).eps * np.abs(center)
        spread = (high - low) / _QUARTILES_OF_NORMAL
        mostly_one = ~(high - low > rounding)
        spread[mostly_one] = _of_rare_values(
            ordered[mostly_one], center[mostly_one], rounding[mostly_one]
        )
    return center, spread


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
    return varies * np.sqrt(np.mean(np.square(spread[varies]))) if varies.any() else spread
