"""Shared by all embeddings: what they do with a plan, samples and what a fit has found."""

from __future__ import annotations  # help() shows ArrayLike, not what it stands for

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_scalar
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._compat import fit_context
from .._warnings import warn_user
from ..distributed import processes_of_fit
from ..fitting import (
    Checkpoint,
    Earlier,
    EncoderPlan,
    Fitted,
    ObjectivePlan,
    Plan,
    Stream,
    fit,
    learn_portion,
)
from ..functional import check_metric
from ..networks import Maker, is_plain_maker
from ..objectives import EmbeddingObjective
from ..tables import explained, naming_columns, read_table
from ._callbacks import FitCallbacks
from ._outputs import apply_to_array
from ._parameters import EmbeddingParameters
from ._reading import Given, read_portion, read_samples


class BaseEmbedding(ClassNamePrefixFeaturesOutMixin, TransformerMixin, EmbeddingParameters, ABC):
    """A network that is trained on labeled samples, so that neighbors of a code share a class.

    A subclass defines the objective. Everything else is here.
    """

    network_: nn.Module
    device_: torch.device
    classes_: NDArray[Any]
    transduction_: NDArray[Any]
    oob_member_: NDArray[np.int64]
    oob_decision_function_: NDArray[np.float64]
    _objective: EmbeddingObjective
    _encoder_of_fit: Maker | None
    _stream: Stream  # between calls of `partial_fit`
    _center: NDArray[np.float64] | None  # subtracted from samples before they become tensors

    @abstractmethod
    def _plan(self) -> Plan:
        """What the parameters mean."""

    def _plan_of(self, objective: ObjectivePlan, resolved: Mapping[str, Any], **more: Any) -> Plan:
        """What the parameters that every embedding has mean, and those of the subclass. A fit with
        a number that "auto" was `resolved` to is the same fit.
        """
        plan = Plan(
            name=type(self).__name__,
            parameters=self.get_params(deep=False) | resolved,
            encoder=EncoderPlan(
                self.encoder,
                self.n_components,
                self.n_members,
                self._sizes,
                self.activation,
                self.dropout,
                self.scale,
                check_metric(self.metric).unit_length,
            ),
            objective=objective,
            processes=processes_of_fit(),
            device=self.device,
            verbose=self.verbose,
            needs_labels=True,
            unlabeled=self.unlabeled,
            learns_from_unlabeled=False,
            spreads_labels=self.spread_labels,
            may_validate_on_other_classes=True,
            has_fixed_classes=False,
            runs_code_of_others=not is_plain_maker(self.encoder),
            holds_out=self._stops_early,
            asks_to_watch=self.early_stopping == "auto",
            unwatchable=None,
            validation_fraction=self.validation_fraction,
            max_iter=None if self.max_iter == "auto" else self.max_iter,
            most_epochs=self._most_epochs,
            make_optimizer=self._make_optimizer,
            batch_size=self._largest_batch(),
            learning_rate=self.learning_rate_init,
            weight_decay=self.weight_decay,
            adversarial_radius=self.adversarial_radius,
            adversarial_fraction=self.adversarial_fraction,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
        )
        return replace(plan, **more)

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
            holds out, and what each of several members leaves out, then consists of whole groups,
            so that near-copies of a training sample do not hide overfitting. Not used with
            `early_stopping=False` and one member.

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
        plan, earlier = self._plan(), self._earlier() if self.warm_start else None
        callbacks = FitCallbacks(
            self, X, y, sample_weight, X_val=X_val, y_val=y_val, max_epochs=plan.max_iter
        )
        columns = naming_columns(plan.name, X=X, X_val=X_val)
        with self._all_or_nothing(), plan.processes.fitting(), columns:
            file = None
            if checkpoint is not None:
                check_scalar(checkpoint_every, "checkpoint_every", Integral, min_val=1)
                writes = plan.processes.is_first
                file = Checkpoint(checkpoint, checkpoint_every, writes=writes)
            given = Given(X, y, sample_weight, X_val, y_val, groups)
            samples = read_samples(self, plan, given, is_new=earlier is None)
            fitted = fit(
                plan,
                samples,
                self._draw_seed(),
                earlier=earlier,
                callbacks=callbacks.of_epochs,
                checkpoint=file,
            )
            self._keep(fitted)
            if fitted.interruption is None and not fitted.has_converged:
                warn_user(
                    f"Maximum iterations (max_iter={self.n_iter_}) reached before the loss stopped "
                    "improving.",
                    ConvergenceWarning,
                )
            callbacks.end_fit()
            if fitted.interruption is not None:  # it ends a search around this fit too
                raise fitted.interruption
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
        plan, earlier = self._plan(), self._earlier()
        if plan.processes.is_joint:
            raise ValueError("partial_fit is for a single process: within together(), call fit.")
        with self._all_or_nothing(), naming_columns(plan.name, X=X):
            given, known = Given(X, y, sample_weight), None if earlier is None else earlier.classes
            samples = read_portion(self, plan, given, classes, known)
            if len(samples.rows) >= 2:  # else there is no pair to learn from
                self._keep(learn_portion(plan, samples, self._seed_of_portion(), earlier))
            elif earlier is None:
                raise ValueError(
                    "The first call of partial_fit needs two samples to learn from; got "
                    f"{len(samples.rows)} of {len(samples.X)}."
                )
        return self

    def _seed_of_portion(self) -> int:
        """A stream goes on drawing from the seed of its first portion."""
        return self._stream.seed if hasattr(self, "_stream") else self._draw_seed()

    def _earlier(self) -> Earlier | None:
        """What an earlier fit left, if there was one."""
        if not hasattr(self, "network_"):
            return None
        return Earlier(
            self._objective,
            self._encoder_of_fit,
            getattr(self, "classes_", None),
            self._n_features_out,
            self._center,
            self.device_,
            self.history_,
            getattr(self, "_stream", None),
        )

    def _keep(self, fitted: Fitted) -> None:
        """Set the fitted attributes. Nothing else does."""
        objective, history = fitted.objective.eval(), fitted.history
        members = fitted.out_of_bag
        optional = {
            "classes_": fitted.classes,
            "transduction_": fitted.transduction,
            "oob_member_": None if members is None else members.member,
            "oob_decision_function_": None if members is None else members.probabilities,
            "_stream": fitted.stream,
        }
        for name in optional:
            self.__dict__.pop(name, None)
        self._encoder_of_fit = self.encoder
        self._objective = objective  # for warm_start; of its modules network_ is one
        self._n_features_out = fitted.n_components
        self._center = fitted.center
        self.network_ = objective.network
        self.device_ = fitted.device
        self.history_ = history
        self.n_iter_ = len(history)
        self.loss_curve_ = [record["loss"] for record in history]
        self.loss_ = self.loss_curve_[-1] if history else math.nan
        self.best_loss_ = min(self.loss_curve_, default=math.nan)
        self.validation_loss_curve_ = (
            [record["validation_loss"] for record in history] if fitted.validated else None
        )
        for name, value in optional.items():
            if value is not None:
                setattr(self, name, value)

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
        table = read_table(self, X, finite=False)
        width = self._n_features_out
        with explained(X, type(self).__name__):
            return apply_to_array(self.network_, table, width, self._center)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32", "float16"]
        return tags
