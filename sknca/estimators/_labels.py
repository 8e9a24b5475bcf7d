"""Which samples have a label, and what may mark those that have none."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from .._warnings import warn_user
from ..data import taken_of_classes
from ..distributed._ranks import ranks_of_fit
from ._ranks import counts_of, everyones

if TYPE_CHECKING:
    from ._base import BaseEmbedding

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
            f"unlabeled={unlabeled!r} cannot mark samples among labels of dtype {y.dtype}."
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
            f"{counts[0]} of {len(y)} labels are -1, which is learned like any other class. If -1 "
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


def encode_labels(
    embedding: BaseEmbedding,
    y: NDArray[Any] | None,
    n: int,
    missing: NDArray[np.bool_] | None,
    *,
    known: bool = False,
) -> NDArray[np.int64]:
    """Labels (n,) as positions in `classes_`, -1 where there is none; sets `classes_` to what
    they are, or, with `known`, goes by those that are set.
    """
    labels = np.full(n, -1)
    if y is None:
        if not known:
            embedding.__dict__.pop("classes_", None)
        return labels
    labeled = embedding._is_labeled(y, missing)
    if known:
        may_be_unseen = embedding._may_validate_on_other_classes() and ranks_of_fit() is None
        labels[labeled] = positions(y[labeled], embedding.classes_, may_be_unseen=may_be_unseen)
    else:
        check_classes(y[labeled])
        if embedding.unlabeled is None:
            warn_if_marked(y)
        classes, labels[labeled] = np.unique(y[labeled], return_inverse=True)
        embedding.classes_ = classes
        if ranks_of_fit() is not None:
            embedding.classes_ = np.unique(everyones(classes))
            labels[labeled] = np.searchsorted(embedding.classes_, y[labeled])
    return labels


def encode_portion(
    embedding: BaseEmbedding,
    y: NDArray[Any] | None,
    n: int,
    missing: NDArray[np.bool_] | None,
    classes: ArrayLike | None,
    *,
    is_new: bool,
) -> NDArray[np.int64]:
    """Labels (n,) of a portion as positions in `classes_`, -1 where there is none. New classes
    enter `classes_`, unless these are fixed: those of the head of a classification.

    Raises
    ------
    ValueError
        In scikit-learn's words, if fixed classes are not given, other than before, or not all.
    """
    labels = np.full(n, -1)
    if y is None:
        if is_new:
            embedding.__dict__.pop("classes_", None)
        return labels
    fixed = embedding._has_fixed_classes()
    labeled = embedding._is_labeled(y, missing)
    check_classes(y[labeled])
    given = None if classes is None else np.unique(column_or_1d(classes))
    known = None if is_new else getattr(embedding, "classes_", None)
    if fixed and known is None and given is None:
        raise ValueError("classes must be passed on the first call to partial_fit.")
    if fixed and known is not None and given is not None and not np.array_equal(known, given):
        raise ValueError(
            f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {known!r}"
        )
    parts = [part for part in (known, given) if part is not None]
    if fixed:
        unknown = set(y[labeled].tolist()) - set(parts[0].tolist())
        if unknown:
            raise ValueError(
                f"The target label(s) {sorted(unknown, key=str)} in y do not exist in the initial "
                f"classes {parts[0]}"
            )
    embedding.classes_ = parts[0] if fixed else np.unique(np.concatenate([*parts, y[labeled]]))
    labels[labeled] = np.searchsorted(embedding.classes_, y[labeled])
    return labels


def check_partners(
    labels: NDArray[np.int64],
    validation_fraction: float | None = None,
    *,
    may_be_single: bool = False,
) -> None:
    """Refuse labels (n,), from 0, that leave nothing to learn; if a validation fraction is given,
    they are what it has left. One label of each class is enough if it `may_be_single`.
    """
    counts = counts_of(labels)
    n_classes = np.count_nonzero(counts)
    if n_classes < 2:
        raise ValueError(f"The number of classes has to be greater than one; got {n_classes} class")
    if counts.max() < 2 and not may_be_single:
        subject = "y has"
        if validation_fraction is not None:
            subject = f"early_stopping with validation_fraction={validation_fraction} leaves"
        raise ValueError(
            f"{subject} only one training sample of each class. At least one class needs two, to "
            "be neighbors of each other."
        )


def check_classes(y: ArrayLike) -> None:
    """Refuse labels (n,) that are not classes, in scikit-learn's words."""
    try:
        classes = np.unique(y)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in np.asarray(y).tolist()})
        raise TypeError(f"y must be uniformly strings or numbers. Got {kinds}.") from error
    # Each thrice: where classes are many and small scikit-learn warns of a regression's targets.
    check_classification_targets(np.repeat(classes, 3))


def positions(
    y_val: NDArray[Any], classes: NDArray[Any], *, may_be_unseen: bool
) -> NDArray[np.int64]:
    """Where the labels stand in `classes`, which are sorted; or, if none does, and may, behind."""
    given = set(y_val.tolist())
    unseen = given - set(classes.tolist())
    if not unseen:
        return np.searchsorted(classes, y_val)
    alike = (y_val.dtype.kind in "biuf") == (classes.dtype.kind in "biuf")
    if unseen != given or not may_be_unseen or not alike:
        hint = (
            " Either all labels of y_val must be in y, or none." if may_be_unseen and alike else ""
        )
        raise ValueError(
            f"y_val contains labels that are not in y: {sorted(unseen, key=str)}.{hint}"
        )
    _, indices, counts = np.unique(y_val, return_inverse=True, return_counts=True)
    if len(counts) < 2 or counts.max() < 2:
        raise ValueError(
            "y_val has no label that is in y, so neighbors are searched among X_val, which needs "
            "two classes, and two samples of one of them; got classes of "
            f"{counts.tolist()} samples."
        )
    return len(classes) + indices


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
        counts = counts_of(labels[labels >= 0], len(classes))
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
            "class_weight must contain finite, non-negative weights, at least one positive, "
            f"got {class_weight!r}."
        )
    return weights
