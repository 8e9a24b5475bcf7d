"""How an embedding is fitted: check, prepare, build, run, keep."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from .._devices import resolve_device
from .._warnings import warn_user
from ..data import Batch, TrainingData, hold_out
from ..distributed import processes_of_fit
from ..distributed._ranks import ranks_of_fit
from ..networks import answers_of
from ..objectives import EmbeddingObjective
from ..tables import (
    Labels,
    Table,
    check_partners,
    common_unit,
    encode_labels,
    encode_validation,
    read_groups,
    read_labels,
    read_table,
    read_validation_table,
    relative_weight,
    to_tensor,
    warn_if_unlike,
    without_unlabeled,
)
from ..training import (
    MOST_HELD_OUT,
    EpochRecord,
    TrainingInterrupted,
    isolated,
)
from ._build import Earlier, PreparedData, build, spreader_of
from ._callbacks import FitCallbacks
from ._checkpoint import Checkpoint, describe_fit
from ._data import draw_seed
from ._encoders import reads_sparse, starts_from_data
from ._progress import show_note
from ._ranks import any_of, check_alike, counts_of, is_first, pooled, pooled_sample, total
from ._settings import number_of_epochs
from ._training import Training

if TYPE_CHECKING:
    from ._base import BaseEmbedding


@dataclass(frozen=True)
class Given:
    """What `fit` was called with."""

    X: Any
    y: Any = None
    sample_weight: Any = None
    X_val: Any = None
    y_val: Any = None
    groups: Any = None


@dataclass(frozen=True)
class CheckedData:
    """Arrays in which labels are positions in `classes_`, -1 for samples without a label."""

    X: Table  # (n, n_features)
    labels: NDArray[np.int64]  # (n,)
    weight: NDArray[np.float64] | None  # (n,), the largest is 1
    rows: NDArray[np.int64]  # (n_train,), indices of the samples to learn from
    X_val: Table | None = None
    labels_val: NDArray[np.int64] | None = None
    groups: NDArray[np.int64] | None = None  # (n,)

    def __post_init__(self) -> None:
        assert (self.X_val is None) == (self.labels_val is None)


def fit(
    embedding: BaseEmbedding,
    given: Given,
    callbacks: FitCallbacks,
    checkpoint: Checkpoint | None,
) -> None:
    """Fit the embedding. A fit that the user interrupts after an epoch is kept, and goes on to
    raise.
    """
    ranks = ranks_of_fit()
    with nullcontext() if ranks is None else ranks.fitting():
        _fit(embedding, given, callbacks, checkpoint)


def _fit(
    embedding: BaseEmbedding,
    given: Given,
    callbacks: FitCallbacks,
    checkpoint: Checkpoint | None,
) -> None:
    earlier = None
    if embedding.warm_start and hasattr(embedding, "network_"):
        classes = list(getattr(embedding, "classes_", []))
        earlier = Earlier(embedding.network_, embedding._objective, classes)
    checked = check(embedding, given, reset=earlier is None)
    seed, ranks = draw_seed(embedding.random_state), ranks_of_fit()
    if ranks is not None:
        seed = ranks.of_first(seed)
    # How much a custom encoder computes for a row, only the user knows.
    n_rows = total(len(checked.X)) if embedding.encoder is None else None
    embedding.device_ = resolve_device(embedding.device, n_rows=n_rows)
    max_iter = number_of_epochs(embedding, total(len(checked.rows)))
    if checkpoint is not None:
        this_fit = describe_fit(
            type(embedding).__name__,
            embedding._resolved_parameters(),
            vars(checked),
            device=embedding.device_,
            continues=earlier is not None,
        )
        seed = checkpoint.open_together(this_fit, seed, max_iter)
    interruption: TrainingInterrupted | None = None
    of_others = embedding._runs_code_of_others()
    with isolated(seed, embedding.device_, of_others=of_others) as generator:
        prepared = prepare(embedding, checked, generator, is_new=earlier is None)

        def make_objective(max_iter: int) -> EmbeddingObjective:
            return build(embedding, prepared, max_iter, earlier)

        def as_if_stopped(
            objective: EmbeddingObjective, history: list[EpochRecord]
        ) -> dict[str, Any]:
            fitted = copy.copy(embedding)
            fitted._keep(copy.deepcopy(objective), list(history), validated=validated)
            fitted._set_overfits(None)
            return fitted.__dict__

        held_out = prepared.held_out
        validated = held_out is not None
        reason = _why_not_watched(embedding, prepared, max_iter, is_new=earlier is None)
        if reason is not None and embedding.early_stopping == "auto" and is_first():
            show_note(
                type(embedding).__name__,
                f"not checked for overfitting, because {reason}",
                embedding.verbose,
            )
        spreads = embedding._spreads_labels() and any_of(bool((prepared.labels < 0).any()))
        if spreads and ranks is not None:
            raise ValueError(
                "spread_labels=True is for a single process: set spread_labels=False, and samples "
                "without a label are not used by the loss of the labels."
            )
        training = Training(
            embedding,
            make_objective,
            max_iter=max_iter,
            make_spreader=partial(spreader_of, embedding, earlier) if spreads else None,
            generator=generator,
            callbacks=callbacks,
            as_if_stopped=as_if_stopped,
            checkpoint=checkpoint,
        )
        try:
            training.run(prepared.data, held_out=held_out, watched=reason is None)
        except TrainingInterrupted as raised:
            interruption = raised
    embedding._keep(training.objective, training.state.history, validated=validated)
    embedding._set_overfits(training.overfits)
    keep_transduction(embedding, training, prepared.data)
    callbacks.end_fit()
    if interruption is not None:  # a search, say, that this fit is part of ends too
        raise interruption


def check(embedding: BaseEmbedding, given: Given, *, reset: bool) -> CheckedData:
    """Refuse what cannot be fitted, and encode labels and weights."""
    y, y_val, with_labels = given.y, given.y_val, embedding._learns_from_labels()
    if not with_labels:
        y = y_val = None
    read = None if y is None else without_unlabeled(read_labels(y), embedding.unlabeled)
    processes = processes_of_fit()
    X, _ = read_table(embedding, given.X, mask_of(read), reset=reset, least=2, processes=processes)
    if X.is_sparse and processes.is_joint:
        raise ValueError("A sparse X is for a single process: several need a dense one.")
    check_alike(embedding, given, X, None if read is None else read.values)
    labels, classes = np.full(len(X), -1), None
    if read is not None:
        everyones = processes.exchange if processes.is_joint else None
        labels, classes = encode_labels(read, embedding.unlabeled, everyones)
    keep_classes(embedding, classes)
    weight, rows = relative_weight(given.sample_weight, X, processes)
    if not (embedding._learns_from_unlabeled() or embedding._spreads_labels()):
        rows = rows[labels[rows] >= 0]
    if with_labels:
        is_labeled = labels[rows] >= 0
        spreads = embedding._spreads_labels() and not is_labeled.all()
        check_partners(counts_of(labels[rows][is_labeled]), may_be_single=spreads)
    checked = CheckedData(X, labels, weight, rows, groups=check_groups(embedding, given, X, rows))
    if given.X_val is None and y_val is None:
        return checked
    read_val = None
    if y_val is not None:
        read_val = without_unlabeled(read_labels(y_val, "y_val"), embedding.unlabeled)
    X_val, _ = read_validation_table(
        embedding,
        given.X_val,
        mask_of(read_val),
        with_labels=read is not None,
        processes=processes,
    )
    labels_val = np.full(len(X_val), -1)
    if read_val is not None and classes is not None:
        may_be_unseen = embedding._may_validate_on_other_classes() and not processes.is_joint
        labels_val = encode_validation(read_val, classes, may_be_unseen=may_be_unseen)
    trained = np.flatnonzero(counts_of(labels[rows][labels[rows] >= 0]))
    found = _are_unseen(embedding, labels_val) or np.isin(labels_val, trained).any()
    if with_labels and not any_of(bool(found)):
        raise ValueError("y_val has no label of a class that is trained on.")
    warn_if_unlike(X_val, X, rows)
    return replace(checked, X_val=X_val, labels_val=labels_val)


def check_groups(
    embedding: BaseEmbedding, given: Given, X: Table, rows: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """The groups (n,) of samples that are held out together, if some are given and used."""
    if given.groups is None:
        return None
    if given.X_val is not None:
        raise ValueError(
            "groups say which samples of X are held out together, but none are, because X_val is "
            "given. Pass one of them."
        )
    if processes_of_fit().is_joint:
        raise ValueError("groups are for a single process: each of several holds out its own part.")
    groups = read_groups(given.groups, X)
    n_groups = len(np.unique(groups[rows]))
    if n_groups < 2:
        raise ValueError(
            f"The groups parameter contains fewer than 2 unique groups ({n_groups}). One is "
            "held out at least, and one is trained on."
        )
    if not embedding.early_stopping:
        warn_user("groups are not used, because early_stopping=False holds out no samples.")
        return None
    return groups


def _why_not_watched(
    embedding: BaseEmbedding, prepared: PreparedData, max_iter: int, *, is_new: bool
) -> str | None:
    """Why no samples are held out to detect overfitting; None if some are."""
    if prepared.held_out is not None:
        return "X_val is given"
    if not is_new:
        return "warm_start continues a training"
    return embedding._why_not_watched(prepared.labels, max_iter, prepared.data.groups is not None)


def mask_of(labels: Labels | None) -> NDArray[np.bool_] | None:
    """Of the length of the labels, for scikit-learn's validation, which would convert them."""
    return None if labels is None else labels.is_labeled


def keep_classes(embedding: BaseEmbedding, classes: NDArray[Any] | None) -> None:
    """Set `classes_`, or delete it if nothing is learned from labels."""
    embedding.__dict__.pop("classes_", None)
    if classes is not None:
        embedding.classes_ = classes


def _are_unseen(embedding: BaseEmbedding, labels_val: NDArray[np.int64]) -> bool:
    """Whether held-out samples are of classes that are not trained on."""
    return bool((labels_val >= len(getattr(embedding, "classes_", []))).any())


def prepare(
    embedding: BaseEmbedding, checked: CheckedData, generator: torch.Generator, *, is_new: bool
) -> PreparedData:
    """Bring the samples to the device, and hold some out."""
    spread = None
    if is_new:
        start = start_of_features(embedding, checked.X, checked.rows, generator)
        embedding._centre, spread = start
    device, labels = embedding.device_, checked.labels[checked.rows]
    data = data_on_device(embedding, checked, is_new=is_new)
    if checked.labels_val is not None:
        assert checked.X_val is not None
        labels_val = torch.from_numpy(checked.labels_val).to(device)
        sparse = checked.X_val.is_sparse and stays_sparse(embedding, checked.X, is_new)
        x_val = checked.X_val.to_device(device, embedding._centre, sparse=sparse)
        held_out = pooled(Batch(x_val, labels_val))
        among_themselves = _are_unseen(embedding, checked.labels_val)
        neighbors = None if among_themselves else pooled_sample(data, generator)
        return PreparedData(data, (held_out, neighbors), spread, labels)
    if not embedding._stops_early:
        return PreparedData(data, None, spread, labels)
    fraction = min(embedding.validation_fraction, MOST_HELD_OUT / total(len(data.rows)))
    groups = None if data.groups is None else data.groups[data.rows]
    kept, left_out = hold_out(data.labels, fraction, generator, groups)
    if len(left_out) == 0:
        raise ValueError(
            "early_stopping=True cannot hold out a group: each of the groups has all samples of a "
            "class."
        )
    if embedding._learns_from_labels():
        left = labels[kept]
        check_partners(counts_of(left[left >= 0]), embedding.validation_fraction)
    held_out = pooled(data.take_at_home(data.rows[left_out]))
    data = replace(data, rows=data.rows[kept])
    return PreparedData(data, (held_out, pooled_sample(data, generator)), spread, labels)


def data_on_device(embedding: BaseEmbedding, checked: CheckedData, *, is_new: bool) -> TrainingData:
    """The samples as tensors."""
    device, table = embedding.device_, checked.X
    return TrainingData(
        table.source(device, embedding._centre, sparse=stays_sparse(embedding, table, is_new)),
        torch.from_numpy(checked.labels).to(device),
        None if checked.weight is None else to_tensor(checked.weight, device),
        torch.from_numpy(checked.rows),
        groups=None if checked.groups is None else torch.from_numpy(checked.groups),
    )


def stays_sparse(embedding: BaseEmbedding, table: Table, is_new: bool) -> bool:
    """Whether the encoder, a new one or that of an earlier fit, reads the rows of a sparse table
    as they are.
    """
    if not table.is_sparse:
        return False
    if is_new:
        return reads_sparse(embedding.encoder)
    return answers_of(embedding.network_).reads_sparse


def start_of_features(
    embedding: BaseEmbedding, table: Table, rows: NDArray[np.int64], generator: torch.Generator
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """The center and the spread of the features (n_features,), if the encoder starts from data."""
    if not starts_from_data(embedding.encoder):  # it may want pixels, say, as they are
        return None, None
    center, spread = table.center_and_spread(rows, generator, processes_of_fit())
    return center, spread if embedding.scale else common_unit(spread)


def keep_transduction(embedding: BaseEmbedding, training: Training, data: TrainingData) -> None:
    """Set the labels that the training ended with, if it has spread any."""
    spreader = training.state.spreader
    if spreader is not None:
        every = replace(data, rows=torch.arange(data.x.shape[0], device="cpu"))
        embedding.transduction_ = embedding.classes_[spreader.transduction(every).numpy()]
