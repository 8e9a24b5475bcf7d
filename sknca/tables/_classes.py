"""Classes: which there are, which of them each label is, and how much each counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from .._warnings import warn_user
from ..data import taken_of_classes
from ._labels import Labels, all_labeled, marks_missing, read_labels, uniform, union

#: Whole numbers with more values than this may be the target of a regression.
_MANY_CLASSES = 20

#: Identifiers that are hashes or contain a time are spread over more than this; targets are not.
_SPREAD_OF_IDS = 2**32


def classes_of(labels: Labels) -> NDArray[Any]:
    """The sorted classes (n_classes,) of labels.

    Raises
    ------
    TypeError
        If they are bytes.
    ValueError
        If they are not classes, in scikit-learn's words.
    """
    classes = np.unique(labels.values)
    # Each thrice: scikit-learn has a warning of its own if there are few samples of each.
    checked = classes.astype(object) if labels.of_objects else classes
    check_classification_targets(np.repeat(checked, 3))
    return classes


def positions(labels: Labels, classes: NDArray[Any]) -> NDArray[np.int64]:
    """Labels (n,) as positions in `classes`, which are sorted and contain all of them; -1 for
    samples without a label.
    """
    found = np.full(len(labels), -1)
    known, values = uniform(classes, labels.values, name=labels.name)
    found[labels.is_labeled] = np.searchsorted(known, values)
    return found


def read_positions(y: Any, name: str) -> NDArray[np.int64]:
    """The labels (n,) of samples each of which must have one, as positions in their classes."""
    return np.unique(all_labeled(read_labels(y, name)), return_inverse=True)[1]


def read_groups(groups: Any, X: Any) -> NDArray[np.int64]:
    """The groups of samples as numbers (n,) from 0."""
    found = read_positions(groups, "groups")
    if len(found) != len(X):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {[len(X), len(found)]}"
        )
    return found


def encode_labels(
    labels: Labels,
    unlabeled: Any,
    everyones: Callable[[NDArray[Any]], list[NDArray[Any]]] | None = None,
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Labels of a fit as positions (n,) in the sorted classes (n_classes,), and these. In a joint
    fit, `everyones` exchanges the classes of one process for those of all.
    """
    if everyones is None and not labels.is_labeled.any() and marks_missing(unlabeled):
        raise ValueError(f"Input {labels.name} contains no label: all are missing.")
    classes = classes_of(labels)
    if everyones is not None:
        classes = union(*everyones(classes), name=labels.name)
    warn_of_classes(labels, unlabeled)
    return positions(labels, classes), classes


def encode_validation(
    labels: Labels, classes: NDArray[Any], *, may_be_unseen: bool
) -> NDArray[np.int64]:
    """Labels of held-out samples as positions (n,) in `classes` or, if none is among them, and
    may, behind.
    """
    given = classes_of(labels)
    known, asked = uniform(classes, given, name="y and y_val")
    unseen = asked[~np.isin(asked, known)]
    if len(unseen) == 0:
        return positions(labels, classes)
    if len(unseen) < len(given) or not may_be_unseen:
        hint = " Either all labels of y_val must be in y, or none." if may_be_unseen else ""
        raise ValueError(
            f"y_val contains labels that are not in y: {sorted(unseen.tolist(), key=str)}.{hint}"
        )
    found = positions(labels, given)
    counts = np.bincount(found[labels.is_labeled])
    if len(counts) < 2 or counts.max() < 2:
        raise ValueError(
            "y_val has no label that is in y, so neighbors are searched among X_val, which needs "
            "two classes, and two samples of one of them; got classes of "
            f"{counts.tolist()} samples."
        )
    found[labels.is_labeled] += len(classes)
    return found


def encode_portion(
    labels: Labels,
    unlabeled: Any,
    given: Any,
    known: NDArray[Any] | None,
    *,
    fixed: bool,
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Labels of a portion as positions (n,) in the sorted classes (n_classes,) so far, and these.

    Parameters
    ----------
    labels : Labels
        Of the portion; there may be none.

    unlabeled : label or None
        The parameter.

    given : array-like of shape (n_classes,) or None
        All classes of all portions, if they were given.

    known : ndarray of shape (n_classes,) or None
        The classes of earlier portions.

    fixed : bool
        Whether no class may be new: those of the head of a classification.

    Raises
    ------
    ValueError
        In scikit-learn's words, if fixed classes are not given, other than before, or not all.
    """
    new = classes_of(labels)
    told = None if given is None else np.unique(all_labeled(read_labels(given, "classes")))
    if fixed and known is None and told is None:
        raise ValueError("classes must be passed on the first call to partial_fit.")
    if fixed and known is not None and told is not None and not _are_equal(known, told):
        raise ValueError(
            f"`classes={given!r}` is not the same as on last call to partial_fit, was: {known!r}"
        )
    parts = [part for part in (known, told) if part is not None]
    if known is None:
        warn_of_classes(labels, unlabeled)
    if not fixed:
        classes = union(*parts, new)
        return positions(labels, classes), classes
    classes, asked = uniform(parts[0], new)
    unknown = asked[~np.isin(asked, classes)]
    if len(unknown):
        raise ValueError(
            f"The target label(s) {sorted(unknown.tolist(), key=str)} in y do not exist in the "
            f"initial classes {parts[0]}"
        )
    return positions(labels, parts[0]), parts[0]


def _are_equal(known: NDArray[Any], told: NDArray[Any]) -> bool:
    first, second = uniform(known, told, name="classes")
    return np.array_equal(first, second)


def warn_of_classes(labels: Labels, unlabeled: Any = None) -> None:
    """Warn of labels that look as if they were not classes: the target of a regression, or -1 for
    no label.

    A target of whole numbers has many values, a quarter of which or more occur once. So do
    identifiers with few samples; they are strings, consecutive numbers, or spread widely.
    """
    values = labels.values
    if values.dtype.kind not in "iuf" or len(values) == 0:
        return
    classes, counts = np.unique(values, return_counts=True)
    n_single = np.count_nonzero(counts == 1)
    spread = int(classes[-1]) - int(classes[0]) + 1
    if (
        len(classes) > _MANY_CLASSES
        and len(classes) < spread <= _SPREAD_OF_IDS
        and 4 * n_single >= len(classes)
        and labels.is_labeled.all()
    ):
        warn_user(
            f"{labels.name} has {len(classes)} unique classes among {len(values)} samples, and "
            f"{n_single} of the classes have one sample. `{labels.name}` could represent a "
            "regression problem, not a classification problem."
        )
    is_marker = len(classes) > 2 and classes[0] == -1 and classes[1] >= 0
    if unlabeled is None and is_marker and 2 * counts[0] > len(values):
        warn_user(
            f"{counts[0]} of {len(values)} labels are -1, which is learned like any other class. "
            "If -1 marks samples without a label, set unlabeled=-1."
        )


def check_partners(
    counts: NDArray[np.int64],
    validation_fraction: float | None = None,
    *,
    may_be_single: bool = False,
) -> None:
    """Refuse classes whose numbers of labels (n_classes,) leave nothing to learn. If a validation
    fraction is given, they are the numbers after the hold-out. One label of each class is enough
    if it `may_be_single`.
    """
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


def weight_of_classes(
    class_weight: Mapping[Any, float] | str,
    classes: NDArray[Any],  # (n_classes,)
    counts: NDArray[np.int64],  # (n_classes,), of labels
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
