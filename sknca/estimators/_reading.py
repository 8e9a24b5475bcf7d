"""From what `fit` was called with to checked samples, in scikit-learn's words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from .._warnings import warn_user
from ..fitting import Description, Plan, check_alike, describe_parameters
from ..tables import (
    Labels,
    Samples,
    Table,
    check_partners,
    encode_labels,
    encode_portion,
    encode_validation,
    read_groups,
    read_labels,
    read_table,
    read_validation_table,
    relative_weight,
    warn_if_unlike,
    without_unlabeled,
)


@dataclass(frozen=True)
class Given:
    """What `fit` was called with."""

    X: Any
    y: Any = None
    sample_weight: Any = None
    X_val: Any = None
    y_val: Any = None
    groups: Any = None


def read_samples(estimator: BaseEstimator, plan: Plan, given: Given, *, is_new: bool) -> Samples:
    """Refuse what cannot be fitted, and encode labels and weights."""
    processes, labels = plan.processes, _read_labels(plan, given.y)
    table = read_table(
        estimator, given.X, _mask_of(labels), reset=is_new, least=2, processes=processes
    )
    if table.is_sparse and processes.is_joint:
        raise ValueError("A sparse X is for a single process: several need a dense one.")
    if processes.is_joint:
        _check_alike(estimator, plan, given, table, labels)
    found, classes = np.full(len(table), -1), None
    if labels is not None:
        everyones = processes.exchange if processes.is_joint else None
        found, classes = encode_labels(labels, plan.unlabeled, everyones)
    weight, rows = relative_weight(given.sample_weight, table, processes)
    if not (plan.learns_from_unlabeled or plan.spreads_labels):
        rows = rows[found[rows] >= 0]
    if plan.needs_labels:
        is_labeled = found[rows] >= 0
        counts = processes.counts_of(found[rows][is_labeled])
        check_partners(counts, may_be_single=plan.spreads_labels and not is_labeled.all())
    leaves_out = plan.leaves_out(found[rows], continues=not is_new)
    groups = _read_groups(plan, given, table, rows, leaves_out=leaves_out)
    samples = Samples(table, found, classes, weight, rows, groups=groups)
    if given.X_val is None and (given.y_val is None or not plan.needs_labels):
        return samples
    return _with_validation(estimator, plan, samples, given)


def read_portion(
    estimator: BaseEstimator, plan: Plan, given: Given, classes: Any, known: NDArray[Any] | None
) -> Samples:
    """The same for a portion of a stream. `known` has its classes so far, None if it is new."""
    is_new, labels = not hasattr(estimator, "network_"), _read_labels(plan, given.y)
    least = 2 if is_new else 1
    table = read_table(estimator, given.X, _mask_of(labels), reset=is_new, least=least)
    found = np.full(len(table), -1)
    if labels is not None:
        found, known = encode_portion(
            labels, plan.unlabeled, classes, known, fixed=plan.has_fixed_classes
        )
    weight, rows = relative_weight(given.sample_weight, table, plan.processes)
    if not plan.learns_from_unlabeled:
        rows = rows[found[rows] >= 0]
    return Samples(table, found, known, weight, rows)


def _with_validation(
    estimator: BaseEstimator, plan: Plan, samples: Samples, given: Given
) -> Samples:
    processes, labels = plan.processes, _read_labels(plan, given.y_val, "y_val")
    table = read_validation_table(
        estimator,
        given.X_val,
        _mask_of(labels),
        with_labels=samples.classes is not None,
        processes=processes,
    )
    found = np.full(len(table), -1)
    if labels is not None and samples.classes is not None:
        may_be_unseen = plan.may_validate_on_other_classes and not processes.is_joint
        found = encode_validation(labels, samples.classes, may_be_unseen=may_be_unseen)
    validated = replace(samples, X_val=table, labels_val=found)
    if plan.needs_labels:
        of_rows = samples.labels[samples.rows]
        trained = np.flatnonzero(processes.counts_of(of_rows[of_rows >= 0]))
        is_known = validated.validates_on_other_classes or np.isin(found, trained).any()
        if not processes.any_of(bool(is_known)):
            raise ValueError("y_val has no label of a class that is trained on.")
    warn_if_unlike(table, samples.X, samples.rows)
    return validated


def _read_groups(
    plan: Plan, given: Given, table: Table, rows: NDArray[np.int64], *, leaves_out: bool
) -> NDArray[np.int64] | None:
    """The groups (n,) of samples that are held out together, if some are given and used."""
    if given.groups is None:
        return None
    if given.X_val is not None and not leaves_out:
        raise ValueError(
            "groups say which samples of X are held out together, but none are, because X_val is "
            "given. Pass one of them."
        )
    if plan.processes.is_joint:
        raise ValueError("groups are for a single process: each of several holds out its own part.")
    groups = read_groups(given.groups, table)
    n_groups = len(np.unique(groups[rows]))
    if n_groups < 2:
        raise ValueError(
            f"The groups parameter contains fewer than 2 unique groups ({n_groups}). One is "
            "held out at least, and one is trained on."
        )
    if not (plan.holds_out or plan.asks_to_watch or leaves_out):
        warn_user("groups are not used, because early_stopping=False holds out no samples.")
        return None
    return groups


def _read_labels(plan: Plan, y: Any, name: str = "y") -> Labels | None:
    if y is None or not plan.needs_labels:
        return None
    return without_unlabeled(read_labels(y, name), plan.unlabeled)


def _mask_of(labels: Labels | None) -> NDArray[np.bool_] | None:
    """Stands for the labels in scikit-learn's validation, which would convert them."""
    return None if labels is None else labels.is_labeled


def _check_alike(
    estimator: BaseEstimator, plan: Plan, given: Given, table: Table, labels: Labels | None
) -> None:
    """Refuse processes that fit other parameters, features or dtypes."""
    from .. import __version__

    kind = labels.values.dtype.kind if labels is not None and len(labels.values) else None
    kinds = [kind, *plan.processes.exchange(kind)]  # without a label, that of another process
    here: dict[str, Any] = {
        "the estimator": plan.name,
        "the version of sknca": __version__,
        "the version of torch": str(torch.__version__),
        "the number of features": table.shape[1],
        "the dtype of X": str(table.dtype),
        "the kind of labels": next(filter(None, kinds), None),
        "sample_weight": "None" if given.sample_weight is None else "an array",
        "X_val": "None" if given.X_val is None else "an array",
        "groups": "None" if given.groups is None else "an array",
        "whether it was fitted before": hasattr(estimator, "network_"),
        "feature_names_in_": list(getattr(estimator, "feature_names_in_", [])),
    }
    parameters = describe_parameters(plan.parameters, but=("verbose", "device", "random_state"))
    check_alike(plan.processes, Description(parameters, here))
