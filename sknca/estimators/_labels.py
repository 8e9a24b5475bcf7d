"""Which samples have a label, and what may mark those that have none."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from .._warnings import warn_user
from ..training import taken_of_classes

#: What pandas and Python have where a value is missing, beside NaN.
_MISSING = {"NAType", "NaTType", "NoneType"}


def without_missing(
    y: Any, unlabeled: Any, name: str = "y"
) -> tuple[Any, NDArray[np.bool_] | None]:
    """Labels in which another label stands where one is missing, and where that is (n,); if none
    is missing, the labels as they are, and None.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels.

    unlabeled : label or None
        The parameter. If it is NaN or `pandas.NA`, missing labels (NaN, None and NA alike) mark
        samples without a label.

    Raises
    ------
    ValueError
        If labels are missing and `unlabeled` does not say what that means, or all are.
    """
    # A list of texts and NaN would become texts, one of them "nan".
    array = np.asarray(y) if hasattr(y, "dtype") else np.asarray(y, dtype=object)
    missing = _is_missing(array)
    if not missing.any():
        return y, None
    if not (unlabeled is not None and _is_missing(np.array([unlabeled], dtype=object)).any()):
        raise ValueError(
            f"Input {name} contains NaN, None or NA. If these samples have no label, set "
            "unlabeled=numpy.nan; otherwise leave them out."
        )
    if missing.all():
        raise ValueError(f"Input {name} contains no label: all are missing.")
    filled = array.copy()
    filled[missing] = array[~missing][0]
    return np.array(filled.tolist()), missing.ravel()  # of the dtype of the labels alone


def is_labeled(y: NDArray[Any], unlabeled: Any) -> NDArray[np.bool_]:
    """Which of the labels `y` (n,), none missing, are not the value `unlabeled`.

    Raises
    ------
    ValueError
        If `unlabeled` is of another type than the labels, so that it could mark none.
    """
    if unlabeled is None or _is_missing(np.array([unlabeled], dtype=object)).any():
        return np.ones(len(y), dtype=bool)
    kinds = {"U": str, "b": Real, "i": Real, "u": Real, "f": Real}
    if not isinstance(unlabeled, kinds.get(y.dtype.kind, object)):
        raise ValueError(
            f"unlabeled={unlabeled!r} cannot mark rows among labels of dtype {y.dtype}."
        )
    return np.array([label != unlabeled for label in y.tolist()], dtype=bool)


def warn_if_marked(y: NDArray[Any]) -> None:
    """Warn of labels `y` (n,) that look as if -1 meant no label: more than half are, and it
    is the only negative one of three or more.
    """
    if y.dtype.kind not in "if":
        return
    labels, counts = np.unique(y, return_counts=True)
    if len(labels) > 2 and labels[0] == -1 and labels[1] >= 0 and 2 * counts[0] > len(y):
        warn_user(
            f"{counts[0]} of {len(y)} labels are -1, and they are learned as one class. If -1 "
            "marks samples without a label, set unlabeled=-1."
        )


def _is_missing(y: NDArray[Any]) -> NDArray[np.bool_]:
    if y.dtype.kind == "f":
        missing: NDArray[np.bool_] = np.isnan(y)
        return missing
    if y.dtype.kind != "O":
        return np.zeros(y.shape, dtype=bool)
    found = [type(v).__name__ in _MISSING or (isinstance(v, float) and v != v) for v in y.flat]
    return np.array(found, dtype=bool).reshape(y.shape)


def weight_of_classes(
    class_weight: Mapping[Any, float] | str,
    classes: NDArray[Any],  # (n_classes,)
    labels: NDArray[np.int64],  # (n,), positions in the classes, or -1
    batch_size: int,
) -> NDArray[np.float64]:
    """The weight of each class (n_classes,) after the parameter `class_weight`.

    "balanced" weighs a class by the inverse of the number of its rows that an epoch takes.

    Raises
    ------
    ValueError
        If a class of `class_weight` is not in `y`, or a weight is negative or not finite.
    """
    if isinstance(class_weight, str):
        counts = np.bincount(labels[labels >= 0], minlength=len(classes))
        taken = taken_of_classes(torch.from_numpy(counts), batch_size).numpy()
        balanced: NDArray[np.float64] = taken.sum() / (len(classes) * np.maximum(taken, 1))
        return balanced
    unknown = set(class_weight) - set(classes.tolist())
    if unknown:
        raise ValueError(f"class_weight has labels that are not in y: {sorted(unknown, key=str)}.")
    weights: NDArray[np.float64] = compute_class_weight(
        dict(class_weight), classes=classes, y=classes
    )
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
        raise ValueError(
            "class_weight must hold finite weights that are not negative, and a positive one, got "
            f"{class_weight!r}."
        )
    return weights
