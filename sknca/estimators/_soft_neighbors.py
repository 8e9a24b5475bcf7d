"""The soft neighbors of the loss as a classifier."""

from __future__ import annotations  # help() shows ArrayLike, not what it stands for

import math
from numbers import Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy import sparse
from sklearn.base import ClassifierMixin
from sklearn.utils import Tags, check_X_y
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._arrays import as_array
from .._compat import Interval, StrOptions, fit_context
from .._devices import resolve_device
from .._threads import threads_for
from ..functional import METRICS, ClassProbabilities, Metric, MetricName, check_metric, widest_float
from ..tables import (
    FLOATS,
    all_labeled,
    check_format,
    classes_of,
    explained,
    positions,
    read_labels,
    read_weight,
    validate_data,
    warn_of_classes,
)
from ._callbacks import FitCallbacks
from ._estimator import Estimator
from ._sparse_neighbors import SparseClassProbabilities

_CPU = torch.device("cpu")


class SoftNeighborsClassifier(ClassifierMixin, Estimator):
    r"""Classifier with the soft neighbors of the soft nearest neighbor loss.

    A sample picks the training sample `j` as its neighbor with a probability proportional to
    :math:`w_j e^{-d_j / T}`. The probability of a class is the probability that the neighbor is of
    this class. With the same distance and temperature, :class:`SNNLEmbedding` minimizes the
    negative logarithm of this probability for each sample of a batch. Therefore it is the natural
    classifier for its codes.

    Distances are computed in blocks: memory is O(n), with n training samples.

    Parameters
    ----------
    temperature : float or "auto", default="auto"
        A positive number, in units of the distance. "auto" means 1 with "sqeuclidean", 0.3 with
        "euclidean" and 0.1 with "cosine", as in the embeddings. Small values approach the nearest
        neighbor, and make probabilities over-confident; large ones approach the class frequencies.
        Start with the temperature of the embedding, and choose it by the log loss of held-out
        samples: 1 to 3 times that temperature is usual.

    metric : {"sqeuclidean", "euclidean", "cosine"} or Metric, default="sqeuclidean"
        The distance `d`: squared Euclidean, Euclidean, or one minus the cosine. Use that of the
        embedding before it. (The squared Euclidean distance of L2-normalized codes is at most 4,
        twice one minus the cosine. At the temperature 1 all training samples are near then.)

    device : str or torch.device, default="auto"
        Where to compute: "cpu", "cuda", "cuda:1" and so on. "auto" is CUDA if there is a GPU and
        there were 1000 training samples or more.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.

    n_features_in_ : int
        Number of features seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if `X` had names that are all strings.

    See Also
    --------
    SNNLEmbedding : Learns codes in which these neighbors share a class.
    sklearn.neighbors.KNeighborsClassifier : Counts the `k` nearest neighbors equally.

    References
    ----------
    .. [1] J. Goldberger, S. Roweis, G. Hinton, R. Salakhutdinov. "Neighbourhood Components
           Analysis". NIPS 2004.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import cross_val_score
    >>> from sknca import SoftNeighborsClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> bool(cross_val_score(SoftNeighborsClassifier(temperature=0.1), X, y).mean() > 0.95)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "temperature": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
        "metric": [StrOptions(METRICS.keys()), Metric],
        "device": [str, torch.device],
    }

    def __init__(
        self,
        *,
        temperature: float | Literal["auto"] = "auto",
        metric: MetricName | Metric = "sqeuclidean",
        device: str | torch.device = "auto",
    ) -> None:
        self.temperature = temperature
        self.metric = metric
        self.device = device

    @fit_context
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Store the training samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,)
            Class labels of the samples.

        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the samples as neighbors. Weight 2 means the same as giving the
            sample twice. If all samples of a class have weight 0, its probability is 0.

        Returns
        -------
        self : object
            The fitted classifier.

        Raises
        ------
        ValueError
            If the input is not as described. The classifier is then as it was before.
        """
        callbacks = FitCallbacks(self, X, y, sample_weight)
        with self._all_or_nothing():
            given = None if y is None else read_labels(y)
            with explained(X, type(self).__name__):
                check_format(X)
                rows, _ = check_X_y(
                    as_array(X),
                    None if given is None else given.is_labeled,
                    dtype=FLOATS,
                    accept_sparse="csr",
                    estimator=self,
                )
            assert given is not None
            all_labeled(given)
            classes = classes_of(given)
            warn_of_classes(given)
            labels = positions(given, classes)
            weight = read_weight(sample_weight, rows)
            validate_data(self, X, skip_check_array=True)  # sets the features
            self.classes_: NDArray[Any] = classes
            # By class, so that a class is a slice. Samples of weight 0 are excluded.
            order = np.argsort(labels, kind="stable")
            order = order[weight[order] > 0]
            dtype = np.promote_types(rows.dtype, np.float32)
            self._rows: Any = rows[order].astype(dtype, copy=False)
            self._log_weight = np.log(weight[order])
            self._class_sizes = np.bincount(labels[order], minlength=len(self.classes_))
            callbacks.end_fit()
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predict the most probable class of each sample.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels. Of equally probable classes, the first in `classes_`.
        """
        probabilities = self.predict_proba(X)
        predicted: NDArray[Any] = self.classes_[probabilities.argmax(1)]
        return predicted

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Compute the accuracy of the predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        y : array-like of shape (n_samples,)
            Their true class labels.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        score : float
            The share of samples whose predicted label is the true one.
        """
        # scikit-learn reads integers of pandas' extension types as float64, and merges large ones.
        exact = None if y is None else all_labeled(read_labels(y))
        return float(super().score(X, exact, sample_weight))

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Predict the probability of each class: that the soft neighbor of a sample is of it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
            Probabilities, in the order of `classes_`. They are float64, or float32 if neither `X`
            nor the training samples have double precision.
        """
        with np.errstate(under="ignore"):  # a probability may be too small for a float
            probabilities: NDArray[Any] = np.exp(self.predict_log_proba(X))
        return probabilities

    def predict_log_proba(self, X: ArrayLike) -> NDArray[Any]:
        """Predict the logarithms of the class probabilities.

        They are finite even if a probability is too small for a float.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
            Logarithms, in the order of `classes_`.

        Raises
        ------
        ValueError
            If the input is not as described, or distance / temperature is too large for the dtype.
        """
        check_is_fitted(self)
        check_format(X)
        rows: Any = validate_data(self, X, dtype=FLOATS, accept_sparse="csr", reset=False)
        dtype = np.promote_types(rows.dtype, self._rows.dtype)
        device = resolve_device(self.device, n_rows=self._rows.shape[0])
        # All threads; one in a forked process, in which other threads do not exist.
        with threads_for(math.inf), torch.autocast(device.type, enabled=False):
            if sparse.issparse(rows) or sparse.issparse(self._rows):
                found = self._sparse_class_probabilities().log_of_sparse(rows)
            else:
                probabilities = self._class_probabilities(dtype, device)
                given = _to_tensor(rows, dtype).to(probabilities.keys.dtype)
                found = probabilities.log_of(given)
            return self._checked(found, dtype)

    def _checked(self, found: Tensor, dtype: np.dtype[Any]) -> NDArray[Any]:
        log_probabilities: NDArray[Any] = found.numpy().astype(dtype, copy=False)
        if np.isnan(log_probabilities).any():
            raise ValueError(
                f"Input X contains a value too large for {dtype!r} and the temperature."
            )
        return log_probabilities

    def _sparse_class_probabilities(self) -> SparseClassProbabilities:
        return SparseClassProbabilities(
            self._rows,
            _to_tensor(self._class_sizes, np.int64),
            check_metric(self.metric).temperature_of(self.temperature),
            check_metric(self.metric),
            _to_tensor(self._log_weight, np.float64),
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _class_probabilities(
        self, dtype: DTypeLike, device: torch.device = _CPU
    ) -> ClassProbabilities:
        keys, log_weight = (
            tensor.to(device, widest_float(device, tensor.dtype))
            for tensor in (_to_tensor(self._rows, dtype), _to_tensor(self._log_weight, dtype))
        )
        return ClassProbabilities(
            keys,
            _to_tensor(self._class_sizes, np.int64).to(device),
            check_metric(self.metric).temperature_of(self.temperature),
            check_metric(self.metric),
            log_weight,
        )


def _to_tensor(array: NDArray[Any], dtype: DTypeLike) -> Tensor:
    """The array, or a copy if torch does not support its strides or flags."""
    return torch.from_numpy(np.require(array, dtype, ["C", "W"]))
