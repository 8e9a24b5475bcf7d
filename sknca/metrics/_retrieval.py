"""Scores of retrieval: are the nearest samples of the same class?"""

from __future__ import annotations  # help() shows ArrayLike, not what it stands for

from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_X_y
from torch import Tensor

from .._arrays import as_array
from .._compat import Interval, StrOptions, validate_params
from .._typing import with_types
from ..functional import METRICS, Metric, check_metric, relevant_neighbors
from ..tables import all_labeled, positions, read_labels, union

_FLOATS = [np.float64, np.float32, np.float16]

_CONSTRAINTS: dict[str, Any] = {
    "X": ["array-like"],
    "labels": ["array-like"],
    "X_gallery": ["array-like", None],
    "labels_gallery": ["array-like", None],
    "metric": [StrOptions(METRICS.keys()), Metric],
}


@with_types(
    validate_params(
        {**_CONSTRAINTS, "k": [Interval(Integral, 1, None, closed="left")]},
        prefer_skip_nested_validation=True,
    )
)
def recall_at_k(
    X: ArrayLike,
    labels: ArrayLike,
    *,
    k: int = 1,
    X_gallery: ArrayLike | None = None,
    labels_gallery: ArrayLike | None = None,
    metric: str | Metric = "sqeuclidean",
) -> float:
    """Recall@k: fraction of the queries with a sample of their class among the k nearest.

    This is the score that papers on metric learning report, usually for classes that were not
    trained on. With `k=1` it is the accuracy of a nearest-neighbor classifier.

    Distances are computed in blocks: memory is O(n_samples).

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Codes of the queries.

    labels : array-like of shape (n_samples,)
        Class labels of the queries, of any type.

    k : int, default=1
        Number of nearest neighbors that count. Papers report 1, 2, 4 and 8. The larger `k`, the
        higher the score: choose the length of the list that users of a search read.

    X_gallery : array-like of shape (n_gallery, n_features), default=None
        The codes that are searched. If None, each query searches among the other queries.

    labels_gallery : array-like of shape (n_gallery,), default=None
        The labels of `X_gallery`.

    metric : {"sqeuclidean", "euclidean", "cosine"} or Metric, default="sqeuclidean"
        The distance: squared Euclidean, Euclidean, or one minus the cosine.

    Returns
    -------
    score : float
        Between 0 and 1. Queries without a sample of their class to find are excluded.

    Raises
    ------
    ValueError
        If the input is not as described, or no query has a sample of its class to find.

    See Also
    --------
    mean_average_precision_at_r : Also scores the order in which all of the class are found.
    make_embedding_scorer : Makes a scorer of it for cross-validation.

    References
    ----------
    .. [1] H. Oh Song, Y. Xiang, S. Jegelka, S. Savarese. "Deep Metric Learning via Lifted
           Structured Feature Embedding". CVPR 2016.

    Examples
    --------
    >>> from sknca.metrics import recall_at_k
    >>> X, y = [[0.0], [1.0], [2.7], [4.0], [4.5]], [0, 0, 1, 0, 1]
    >>> recall_at_k(X, y)
    0.4
    >>> recall_at_k(X, y, k=2)
    0.6
    """
    z, y, gallery, gallery_labels, distance = _checked(X, labels, X_gallery, labels_gallery, metric)
    n_found, n_counted = 0, 0
    to_find = _to_find(y, gallery_labels, among_themselves=gallery is None)
    for rows, relevant in relevant_neighbors(
        z,
        y,
        torch.full_like(y, k),
        distance,
        z if gallery is None else gallery,
        gallery_labels,
        among_themselves=gallery is None,
    ):
        counts = to_find[rows] > 0
        n_found += int((relevant.any(1) & counts).sum())
        n_counted += int(counts.sum())
    return n_found / n_counted


@with_types(validate_params(_CONSTRAINTS, prefer_skip_nested_validation=True))
def mean_average_precision_at_r(
    X: ArrayLike,
    labels: ArrayLike,
    *,
    X_gallery: ArrayLike | None = None,
    labels_gallery: ArrayLike | None = None,
    metric: str | Metric = "sqeuclidean",
) -> float:
    """MAP@R: how early a query finds all samples of its class.

    Let R be the number of samples of the class of a query, and P(i) the fraction of its i nearest
    samples that are of its class. The score of the query is the sum of P(i) over those ranks i up
    to R at which there is a sample of its class, divided by R. The mean over the queries is
    returned. It is 1 if every query finds its class before all other samples. It distinguishes
    embeddings that have the same recall@1 [1]_.

    Distances are computed in blocks: memory is O(n_samples).

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Codes of the queries.

    labels : array-like of shape (n_samples,)
        Class labels of the queries, of any type.

    X_gallery : array-like of shape (n_gallery, n_features), default=None
        The codes that are searched. If None, each query searches among the other queries.

    labels_gallery : array-like of shape (n_gallery,), default=None
        The labels of `X_gallery`.

    metric : {"sqeuclidean", "euclidean", "cosine"} or Metric, default="sqeuclidean"
        The distance: squared Euclidean, Euclidean, or one minus the cosine.

    Returns
    -------
    score : float
        Between 0 and 1. Queries without a sample of their class to find are excluded.

    Raises
    ------
    ValueError
        If the input is not as described, or no query has a sample of its class to find.

    See Also
    --------
    recall_at_k : Whether a sample of the class is among the nearest.
    sklearn.metrics.average_precision_score : The score of one ranking, over all ranks.

    References
    ----------
    .. [1] K. Musgrave, S. Belongie, S.-N. Lim. "A Metric Learning Reality Check". ECCV 2020.

    Examples
    --------
    >>> from sknca.metrics import mean_average_precision_at_r
    >>> X, y = [[0.0], [1.0], [2.7], [4.0], [4.5]], [0, 0, 1, 0, 1]
    >>> print(f"{mean_average_precision_at_r(X, y):.2f}")
    0.20
    """
    z, y, gallery, gallery_labels, distance = _checked(X, labels, X_gallery, labels_gallery, metric)
    to_find = _to_find(y, gallery_labels, among_themselves=gallery is None)
    total = 0.0
    for rows, relevant in relevant_neighbors(
        z,
        y,
        to_find,
        distance,
        z if gallery is None else gallery,
        gallery_labels,
        among_themselves=gallery is None,
    ):
        hits = relevant.to(torch.float64)  # (b, k)
        places = torch.arange(1, hits.shape[1] + 1, dtype=torch.float64)
        precision = hits.cumsum(1) / places
        total += ((precision * hits).sum(1) / to_find[rows].clamp_min(1)).sum().item()
    return total / int((to_find > 0).sum())


#: The same, named in the style of scikit-learn.
recall_at_k_score = recall_at_k
mean_average_precision_at_r_score = mean_average_precision_at_r


def make_embedding_scorer(
    score: Callable[..., float], **options: Any
) -> Callable[[Any, ArrayLike, ArrayLike], float]:
    """Make a scorer of a transformer from a score of its codes.

    scikit-learn's own `make_scorer` is for predictions, which a transformer does not have.

    Parameters
    ----------
    score : callable
        Called with the codes of the samples and their labels: a function of `sknca.metrics`, or
        `sklearn.metrics.silhouette_score`, for example. Higher must mean better.

    **options
        Further keyword arguments of `score`.

    Returns
    -------
    scorer : callable
        Called with a fitted transformer, samples and labels. Pass it as `scoring` to
        `cross_val_score` or `GridSearchCV`.

    Examples
    --------
    Test on classes that were not trained on, as in retrieval: with the classes as groups, the test
    classes of a fold are not in its training samples.

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import GroupKFold, cross_val_score
    >>> from sknca import SNNLEmbedding
    >>> from sknca.metrics import make_embedding_scorer, recall_at_k
    >>> X, y = load_digits(return_X_y=True)
    >>> scorer = make_embedding_scorer(recall_at_k, k=1)
    >>> embedding = SNNLEmbedding(max_iter=5, random_state=0)
    >>> scores = cross_val_score(embedding, X, y, groups=y, cv=GroupKFold(3), scoring=scorer)
    >>> bool(scores.min() > 0.9)
    True
    """

    def scorer(estimator: Any, X: ArrayLike, y: ArrayLike) -> float:
        return score(estimator.transform(X), y, **options)

    return scorer


def _checked(
    X: Any, labels: Any, X_gallery: Any, labels_gallery: Any, metric: str | Metric
) -> tuple[Tensor, Tensor, Tensor | None, Tensor, Metric]:
    """Queries, their labels, the gallery, the labels that are searched, and the metric."""
    if (X_gallery is None) != (labels_gallery is None):
        raise ValueError(
            "X_gallery and labels_gallery must be given together; "
            f"got X_gallery={'None' if X_gallery is None else '...'}, "
            f"labels_gallery={'None' if labels_gallery is None else '...'}."
        )
    asked = read_labels(labels, "labels")
    targets = all_labeled(asked)
    rows, _ = check_X_y(as_array(X), asked.is_labeled, dtype=_FLOATS)
    if X_gallery is None:
        z, y = _tensor(rows), torch.from_numpy(np.unique(targets, return_inverse=True)[1])
        gallery, gallery_labels = None, y
    else:
        searched = read_labels(labels_gallery, "labels_gallery")
        others, _ = check_X_y(as_array(X_gallery), searched.is_labeled, dtype=_FLOATS)
        if others.shape[1] != rows.shape[1]:
            raise ValueError(
                f"X_gallery has {others.shape[1]} features, but X has {rows.shape[1]}."
            )
        classes = union(targets, all_labeled(searched), name="labels and labels_gallery")
        z, gallery = _tensor(rows), _tensor(others)
        dtype = torch.promote_types(z.dtype, gallery.dtype)
        z, gallery = z.to(dtype), gallery.to(dtype)
        y, gallery_labels = (
            torch.from_numpy(positions(of_rows, classes)) for of_rows in (asked, searched)
        )
    if not bool((_to_find(y, gallery_labels, among_themselves=gallery is None) > 0).any()):
        where = "among the other queries" if gallery is None else "in the gallery"
        raise ValueError(f"No query has a sample of its class {where}.")
    return z, y, gallery, gallery_labels, check_metric(metric)


def _to_find(y: Tensor, gallery_labels: Tensor, *, among_themselves: bool) -> Tensor:
    """How many samples of its class (n,) each query has to find."""
    n_classes = int(torch.maximum(y.max(), gallery_labels.max())) + 1
    return gallery_labels.bincount(minlength=n_classes)[y] - int(among_themselves)


def _tensor(rows: NDArray[Any]) -> Tensor:
    """A tensor in float32 or float64; a copy, whose strides torch supports."""
    return torch.from_numpy(np.array(rows, np.promote_types(rows.dtype, np.float32), order="C"))
