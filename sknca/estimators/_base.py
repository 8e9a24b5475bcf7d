"""Shared by all embeddings: arrays to tensors, training, and codes back to arrays."""

from __future__ import annotations  # help() shows ArrayLike, not what it stands for

import math
import os
from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._compat import fit_context
from ..objectives import EmbeddingObjective
from ..tables import explained, naming_columns, read_table
from ..training import EpochRecord
from ._callbacks import FitCallbacks
from ._checkpoint import Checkpoint
from ._data import apply_to_array
from ._encoders import Maker, is_plain_maker
from ._fit import Given, fit
from ._parameters import EmbeddingParameters
from ._ranks import is_first
from ._stream import Stream, learn_portion


class BaseEmbedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, EmbeddingParameters, ABC):
    """A network that is trained on labeled samples, so that neighbors of a code share a class.

    A subclass defines the objective. Everything else is here.
    """

    network_: nn.Module
    _objective: EmbeddingObjective
    device_: torch.device
    classes_: NDArray[Any]
    transduction_: NDArray[Any]
    _encoder_of_fit: Maker | None
    _stream: Stream  # between calls of `partial_fit`
    _centre: NDArray[np.float64] | None  # subtracted from rows before they become tensors

    @abstractmethod
    def _make_objective(
        self, network: nn.Module, labels: NDArray[np.int64], max_iter: int
    ) -> EmbeddingObjective:
        """The objective of `network` for so many epochs, given the parameters and the labels (n,)
        of the samples, -1 for samples without a label.
        """

    def _why_not_watched(
        self, labels: NDArray[np.int64], max_iter: int, has_groups: bool
    ) -> str | None:
        """Why no part of the samples with these labels (n,) is held out to detect overfitting, in a
        training of so many epochs; None if a part is.
        """
        return "this embedding does not"

    def _learns_from_labels(self) -> bool:
        return True

    def _learns_from_unlabeled(self) -> bool:
        """Whether samples without a label have a loss of their own."""
        return False

    def _spreads_labels(self) -> bool:
        """Whether labels are spread to samples that have none."""
        return self.spread_labels and self._learns_from_labels()

    def _runs_code_of_others(self) -> bool:
        """Whether modules of the user are created or trained."""
        return not is_plain_maker(self.encoder)

    def _may_validate_on_other_classes(self) -> bool:
        return True

    def _has_fixed_classes(self) -> bool:
        """Whether no new class may come in a further portion of a stream."""
        return False

    def _set_overfits(self, overfits: bool | None) -> None:
        """Set the attribute of the subclass that reports overfitting; None: it was not watched."""

    def _set_fitted(self, objective: EmbeddingObjective) -> None:
        """Set the fitted attributes that depend on the objective of the subclass."""

    @fit_context
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
    ) -> Self:
        """Train the encoder.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples. A `numpy.memmap` is read batch by batch, and may be larger than
            memory.

        y : array-like of shape (n_samples,)
            Class labels of the samples. May be omitted if nothing is learned from labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the samples, in the loss and as neighbors of other samples.

        groups : array-like of shape (n_samples,), default=None
            Group of each sample, such as its patient, recording or document. What `early_stopping`
            holds out then consists of whole groups, so that near-copies of a training sample do not
            hide overfitting. Not used with `early_stopping=False`.

        X_val : array-like of shape (n_val, n_features), default=None
            Validation samples. If given, `fit` keeps the weights of the epoch with the lowest
            validation loss, and early stopping holds out no part of `X`.

        y_val : array-like of shape (n_val,), default=None
            Labels of `X_val`. If all of them are in `y`, the neighbors of validation samples are
            searched among training samples. If none of them is, as in retrieval of classes that
            are not trained on, neighbors are searched among the validation samples.

        checkpoint : str or path-like, default=None
            Path of a file to which the state of the training is written. If the fit is
            interrupted, the same call continues from there, and ends with the same codes, bit for
            bit. If the fit had finished, the same call returns the fitted estimator. `max_iter` may
            be larger than before. To start again, delete the file. See the guide on long runs.

        checkpoint_every : int, default=1
            The state is written after every so many epochs. It is also written if the fit is
            interrupted with Ctrl-C or fails.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the input is not as described, the training diverges, or `checkpoint` belongs to
            another fit or is damaged. The estimator is then unchanged.
        KeyboardInterrupt
            If the user interrupts the training. After the first epoch, the estimator is
            nevertheless fitted, with the network as it was then. Before, it is unchanged.

        Warns
        -----
        ConvergenceWarning
            If the stopping criterion (`tol` or `early_stopping`) was not met within `max_iter`
            epochs.
        """
        most = None if self.max_iter == "auto" else self.max_iter
        callbacks = FitCallbacks(
            self, X, y, sample_weight, X_val=X_val, y_val=y_val, max_epochs=most
        )
        with self._all_or_nothing():
            file = (
                None
                if checkpoint is None
                else Checkpoint(checkpoint, checkpoint_every, writes=is_first())
            )
            with naming_columns(type(self).__name__, X=X, X_val=X_val):
                fit(self, Given(X, y, sample_weight, X_val, y_val, groups), callbacks, file)
        return self

    @fit_context
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Learn from one portion of samples, in one pass.

        The first call initializes the encoder from its portion, which should contain several
        classes and some hundred samples. Later calls refine the center and the scale of the
        features, using a random sample of at most 4096 samples of all portions so far. After `fit`,
        center and scale do not change.

        The learning rate is warmed up over the first 100 batches to 0.3 times
        `learning_rate_init`, and then constant. Batches are formed within a portion. Therefore
        portions should have at least `batch_size` samples of several classes: mix some earlier
        samples into portions of a single class. Samples without a label (`unlabeled`) are left out,
        because labels are not spread in a stream, unless `primary_loss="reconstruction"`. A portion
        with fewer than two samples to learn from changes nothing. `max_iter`, `tol` and
        `early_stopping` are not used, and `q="auto"` means 0.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples of the portion.

        y : array-like of shape (n_samples,)
            Class labels of the samples. May be omitted if nothing is learned from labels. New
            classes may appear in any portion, unless `primary_loss="classification"`.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the samples, relative to each other within the portion.

        classes : array-like of shape (n_classes,), default=None
            All classes of all portions. Required in the first call with
            `primary_loss="classification"`, and may be omitted in later calls.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the input is not as described, or the training diverges. The estimator is then
            unchanged.
        """
        with self._all_or_nothing(), naming_columns(type(self).__name__, X=X):
            learn_portion(self, X, y, sample_weight, classes)
        return self

    def _keep(
        self, objective: EmbeddingObjective, history: list[EpochRecord], *, validated: bool
    ) -> None:
        """Set the fitted attributes."""
        for name in ("_stream", "transduction_"):
            self.__dict__.pop(name, None)
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

    def transform(self, X: ArrayLike) -> NDArray[Any]:
        """Compute the codes of the samples in `X`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        X_new : ndarray of shape (n_samples, n_components)
            Codes of the samples, in the floating-point dtype of `X` (float64 if it has none). With
            `metric="cosine"` they are L2-normalized. The code of a sample does not depend on the
            other samples, except for the rounding of float32, about 1e-7 of its size.
        """
        check_is_fitted(self)
        # Whether all values are finite is checked later, when the rows are in the cache.
        table, _ = read_table(self, X, finite=False)
        width = self._n_features_out
        with explained(X, type(self).__name__):
            return apply_to_array(self.network_, table, width, self._centre)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32", "float16"]
        return tags
