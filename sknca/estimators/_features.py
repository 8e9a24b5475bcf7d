"""Where each feature has its center, and what its unit is, whatever a few of its values are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: More rows would tell the quartiles no better.
ROWS_TO_START_FROM = 4096

#: Quartiles of a normal distribution are so many standard deviations apart.
_QUARTILES_OF_NORMAL = 1.349

#: Values that differ by no more units in the last place are one value.
_ULPS = 10


def center_and_spread(
    X: NDArray[Any], rows: NDArray[np.int64]
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
        Indices of the rows to go by: at most some thousands of them, at even steps.
    """
    sample = X[rows[:: -(-len(rows) // ROWS_TO_START_FROM)]]
    ordered = np.sort(sample.T.astype(np.float64, order="C"), axis=1)  # (n_features, m)
    m = ordered.shape[1]
    center = ordered[:, (m - 1) // 2]  # one of the values: what is mostly 0 stays 0
    low, high = ordered[:, m // 4], ordered[:, m - 1 - m // 4]
    with np.errstate(over="ignore", invalid="ignore"):
        rounding = _ULPS * np.finfo(X.dtype).eps * np.abs(center)
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
    distance = np.sort(np.abs(ordered - center[:, None]), axis=1)
    m = distance.shape[1]
    n_same = (distance <= rounding[:, None]).sum(1)
    middle = np.minimum((n_same + m) // 2, m - 1)
    typical = np.take_along_axis(distance, middle[:, None], axis=1)[:, 0] / 2
    return np.where(n_same < m, typical, 0.0)


def common_unit(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """One spread for all features (n_features,), their root mean square; 0 for constant ones."""
    varies = spread > 0
    return varies * np.sqrt(np.mean(np.square(spread[varies]))) if varies.any() else spread
