"""What the embeddings share: arrays to tensors, training, and codes back to arrays."""

from __future__ import annotations  # help() shows ArrayLike, not what it stands for

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import Tags
from sklearn.utils.validation import _check_sample_weight, check_is_fitted
from torch import Tensor, nn

from .._devices import resolve_device
from .._typing import with_types
from ..functional._metrics import METRICS
from ..networks import MLP, SkipMLP, UnitCode
from ..objectives import EmbeddingObjective
from ..training import (
    Batch,
    EpochRecord,
    TrainingData,
    TrainingInterrupted,
    hold_out,
    isolated,
    labeled_sample,
)
from ._callbacks import FitCallbacks
from ._data import (
    FLOATS,
    apply_to_array,
    check_classes,
    check_partners,
    check_validation_data,
    draw_seed,
    positions,
    to_tensor,
    warn_if_unlike,
)
from ._devices import home_of_rows
from ._encoders import check_continues, chosen_dropout, default_width, make_network, width_of_answer
from ._features import ROWS_TO_START_FROM, center_and_spread, common_unit
from ._frames import explained, validate_data
from ._labels import is_labeled, warn_if_marked, without_missing
from ._parameters import EmbeddingParameters
from ._training import Training


class BaseEmbedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, EmbeddingParameters, ABC):
    """A network trained on labelled rows, so that neighbours in its codes share a class.

    A subclass says which objective is trained; everything else stands here.
    """

    network_: nn.Module
    _objective: EmbeddingObjective
    device_: torch.device
    classes_: NDArray[Any]
    _encoder_of_fit: nn.Module | Callable[[int, int], nn.Module] | None
    _centre: NDArray[np.float64] | None  # subtracted from rows before they become tensors

    @abstractmethod
    def _make_objective(
        self, network: nn.Module, labels: NDArray[np.int64], max_iter: int
    ) -> EmbeddingObjective:
        """What to train `network` with for so many epochs, after the parameters and the labels
        (n,) of the samples, -1 where there is none.
        """

    def _is_watched(self, labels: NDArray[np.int64]) -> bool:
        """Whether a part of the rows with these labels (n,) is held out to see overfitting."""
        return False

    def _learns_from_labels(self) -> bool:
        return True

    def _learns_from_unlabeled(self) -> bool:
        return False

    def _runs_code_of_others(self) -> bool:
        """Whether modules of the user's are made or trained."""
        return self.encoder is not None

    def _may_validate_on_other_classes(self) -> bool:
        return True

    def _is_labeled(self, y: NDArray[Any], missing: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Which entries of y (n,), some of which were missing, are labels."""
        labeled = is_labeled(y, self.unlabeled)
        return labeled if missing is None else labeled & ~missing

    def _set_overfits(self, overfits: bool | None) -> None:
        """Set what the subclass has to tell of held-out rows that were watched, if any were."""

    def _set_fitted(self, objective: EmbeddingObjective) -> None:
        """Set what the subclass has to tell of its objective."""

    @with_types(_fit_context(prefer_skip_nested_validation=True))
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
    ) -> Self:
        """Train the encoder.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows.

        y : array-like of shape (n_samples,)
            Their class labels. May be left out where nothing is learned from them.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows, in the loss and as neighbours of other rows.

        X_val : array-like of shape (n_val, n_features), default=None
            Held-out rows. With them the weights of the epoch with the lowest validation
            loss are kept, and early stopping sets no part of `X` aside.

        y_val : array-like of shape (n_val,), default=None
            The labels of `X_val`. If each is in `y` too, held-out rows look for their neighbours
            among training rows. If none is, as in retrieval of classes that are not trained on,
            they look among themselves.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the input is not as described, or the training diverges. The estimator is
            then as it was before.
        KeyboardInterrupt
            If the user interrupts the training. After the first epoch the estimator is
            nevertheless fitted, with what was learned so far; before, it is as it was.

        Warns
        -----
        ConvergenceWarning
            If stopping was asked for (`tol` or `early_stopping`) and `max_iter` came first.
        """
        callbacks = FitCallbacks(self, X, y, sample_weight, max_epochs=self.max_iter)
        with self._all_or_nothing():
            return self._fit(X, y, sample_weight, X_val, y_val, callbacks)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any,
        y_val: Any,
        callbacks: FitCallbacks,
    ) -> Self:
        continued = self.network_ if self.warm_start and hasattr(self, "network_") else None
        classes_before = self._known_classes()
        if not self._learns_from_labels():
            y = y_val = None
        y, missing = (None, None) if y is None else without_missing(y, self.unlabeled)
        checked = validate_data(
            self, X, y, dtype=FLOATS, ensure_min_samples=2, reset=continued is None
        )
        X, y = (checked, None) if y is None else checked
        labels = self._encode_labels(y, len(X), missing)
        rows = np.arange(len(labels))
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
            sample_weight = sample_weight / sample_weight.max()  # only their ratios count
            rows = np.flatnonzero(sample_weight)
        if not self._learns_from_unlabeled():
            rows = rows[labels[rows] >= 0]
        self._check_partners(labels[rows])
        if X_val is not None or y_val is not None:
            missing_val = None
            if y_val is not None:
                y_val, missing_val = without_missing(y_val, self.unlabeled, "y_val")
            X_val, y_val = check_validation_data(self, X_val, y_val, with_labels=y is not None)
            labels_val = self._encode_labels(y_val, len(X_val), missing_val, known=True)
            elsewhere = labels_val.max() >= len(self._known_classes())  # classes not trained on
            learns = self._learns_from_labels()
            if learns and not elsewhere and not np.isin(labels_val, labels[rows]).any():
                raise ValueError("y_val has no label of a class that is trained on.")
            warn_if_unlike(X_val, X, rows)

        seed = draw_seed(self.random_state)
        # How much a custom encoder computes for a row, only the user knows.
        n_rows = len(X) if self.encoder is None else None
        self.device_ = resolve_device(self.device, n_rows=n_rows)
        with isolated(seed, self.device_, of_others=self._runs_code_of_others()) as generator:
            spread = None
            if continued is None:
                self._centre = None
                # A user's own encoder may want pixels, say, as they are.
                if self.encoder is None:
                    self._centre, spread = center_and_spread(X, rows, generator)
                    if not self.scale:
                        spread = common_unit(spread)
            x = to_tensor(X, home_of_rows(self.device_, 4 * X.size), self._centre)
            weight = None if sample_weight is None else to_tensor(sample_weight, self.device_)
            data = TrainingData(x, self._to_device(labels), weight, torch.from_numpy(rows))
            held_out: Batch | None = None
            if X_val is not None:
                x_val = to_tensor(X_val, home_of_rows(self.device_, 4 * X_val.size), self._centre)
                held_out = x_val, self._to_device(labels_val), None
            elif self.early_stopping is True:
                kept, left_out = hold_out(data.labels, self.validation_fraction, generator)
                self._check_partners(labels[rows[kept]], self.validation_fraction)
                held_out = data.take_at_home(data.rows[left_out])
                data = replace(data, rows=data.rows[kept])

            same_classes = classes_before == self._known_classes()

            def make_objective(max_iter: int) -> EmbeddingObjective:
                network = self._make_network(data, continued, spread)
                network = network.to(self.device_, torch.float32)
                self._n_features_out = self._check_width(network, x[:2].to(self.device_))
                objective = self._make_objective(network, labels[rows], max_iter)
                if continued is not None:
                    objective.continue_from(self._objective, same_classes=same_classes)
                return objective.to(self.device_, torch.float32)

            validated = held_out is not None

            def as_if_stopped(
                objective: EmbeddingObjective, history: list[EpochRecord]
            ) -> dict[str, Any]:
                fitted = copy.copy(self)
                fitted._keep(copy.deepcopy(objective), list(history), validated=validated)
                fitted._set_overfits(None)
                return fitted.__dict__

            training = Training(
                self,
                make_objective,
                generator=generator,
                callbacks=callbacks,
                as_if_stopped=as_if_stopped,
            )
            interruption: TrainingInterrupted | None = None
            try:
                if held_out is None and continued is None and self._is_watched(labels[rows]):
                    history = training.run_watched(data)
                else:
                    objective = training.begin(self.max_iter)
                    validate = None
                    if held_out is not None:
                        neighbors: Batch | None = labeled_sample(data, generator)
                        if X_val is not None and elsewhere and y is not None:
                            neighbors = None
                        validate = partial(objective.held_out, held_out, neighbors)
                    history = training.run(data, validate=validate)
            except TrainingInterrupted as raised:
                interruption, history = raised, raised.history
        self._keep(training.objective, history, validated=validated)
        self._set_overfits(training.overfits)
        callbacks.end_fit()
        if interruption is not None:  # a search, say, that this fit is part of ends too
            raise interruption
        return self

    def _keep(
        self, objective: EmbeddingObjective, history: list[EpochRecord], *, validated: bool
    ) -> None:
        """Set what a fit leaves behind."""
        self._encoder_of_fit = self.encoder
        self._objective = objective.eval()  # for warm_start; of its modules network_ is one
        self.network_ = objective.network
        self.history_ = history
        self.n_iter_ = len(history)
        self.loss_curve_ = [record["loss"] for record in history]
        self.loss_ = self.loss_curve_[-1] if history else math.nan
        self.best_loss_ = min(self.loss_curve_, default=math.nan)
        self.validation_loss_curve_ = (
            [record["validation_loss"] for record in history] if validated else None
        )
        self._set_fitted(objective)

    def _encode_labels(
        self,
        y: NDArray[Any] | None,
        n: int,
        missing: NDArray[np.bool_] | None,
        *,
        known: bool = False,
    ) -> NDArray[np.int64]:
        """Labels (n,) as positions in `classes_`, -1 where there is none; `classes_` is what
        they are, or, with `known`, has been set.
        """
        labels = np.full(n, -1)
        if y is None:
            if not known:
                self.__dict__.pop("classes_", None)
            return labels
        labeled = self._is_labeled(y, missing)
        if known:
            labels[labeled] = positions(
                y[labeled], self.classes_, may_be_unseen=self._may_validate_on_other_classes()
            )
        else:
            check_classes(y[labeled])
            if self.unlabeled is None:
                warn_if_marked(y)
            self.classes_, labels[labeled] = np.unique(y[labeled], return_inverse=True)
        return labels

    def _known_classes(self) -> list[Any]:
        return list(self.classes_) if hasattr(self, "classes_") else []

    def _check_partners(
        self, labels: NDArray[np.int64], validation_fraction: float | None = None
    ) -> None:
        if self._learns_from_labels():
            check_partners(labels[labels >= 0], validation_fraction)

    def _to_device(self, indices: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(indices).to(self.device_)

    def _make_network(
        self,
        data: TrainingData,
        continued: nn.Module | None,
        spread: NDArray[np.float64] | None,  # (n_features,)
    ) -> nn.Module:
        """A network of its own: what was learned before and the user's module stay as they are."""
        if continued is not None:
            encoder = continued.encoder if isinstance(continued, UnitCode) else continued
            width, n_features = self._n_features_out, data.x.shape[1]
            check_continues(self, encoder, self._encoder_of_fit, width, n_features)
            encoder = copy.deepcopy(encoder)
        else:
            n_features = data.x.shape[1]
            encoder = make_network(
                self.encoder,
                SkipMLP if len(self.hidden_layer_sizes) else MLP,
                n_features,
                self.n_components or default_width(n_features),
                hidden_layer_sizes=self.hidden_layer_sizes,
                activation=self.activation,
                dropout=chosen_dropout(self.dropout, n_features, len(data.rows)),
                name="encoder",
            )
            if spread is not None and isinstance(encoder, SkipMLP):
                sample = data.sample(ROWS_TO_START_FROM).cpu()
                encoder.start_from(sample, torch.from_numpy(spread).float())
        return UnitCode(encoder) if METRICS[self.metric].unit_length else encoder

    def _check_width(self, network: nn.Module, x: Tensor) -> int:
        """The width of the codes; without `n_components`, a ready-made encoder decides it."""
        expected = self.n_components
        if expected is None and not isinstance(self.encoder, nn.Module):
            expected = default_width(x.shape[1])
        return width_of_answer(network, x, expected, "encoder")

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Codes of the rows of `X`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_components)
            Their codes, in the floating dtype of `X` (float64 where it has none), of unit
            length with `metric="cosine"`. A row's code does not depend on the other rows, but
            for the rounding of float32, about 1e-7 of its size.
        """
        check_is_fitted(self)
        # Whether all is finite is seen on the way, where the rows are in the cache.
        rows: NDArray[Any] = validate_data(
            self, X, dtype=FLOATS, reset=False, ensure_all_finite=False
        )
        width = self._n_features_out
        with explained(X, type(self).__name__):
            return apply_to_array(self.network_, rows, width, self._centre)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32", "float16"]
        return tags
