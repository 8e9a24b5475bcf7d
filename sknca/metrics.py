"""Scores of codes with labels, and of clusterings, in the manner of `sklearn.metrics`."""

from __future__ import annotations  # help() shows ArrayLike, not what it stands for

from numbers import Real

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix
from sklearn.metrics.cluster._supervised import check_clusterings
from sklearn.utils import check_X_y
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.validation import _check_sample_weight

from ._devices import float_of, resolve_device
from ._typing import with_types
from .functional import soft_nearest_neighbor_loss
from .functional._metrics import METRICS

__all__ = ["clustering_accuracy", "entanglement_score"]


@with_types(
    validate_params(
        {
            "X": ["array-like"],
            "labels": ["array-like"],
            "temperature": [Interval(Real, 0, None, closed="neither")],
            "metric": [StrOptions(set(METRICS))],
            "sample_weight": ["array-like", None],
            "device": [str, torch.device],
        },
        prefer_skip_nested_validation=True,
    )
)
def entanglement_score(
    X: ArrayLike,
    labels: ArrayLike,
    *,
    temperature: float = 1.0,
    metric: str = "cosine",
    sample_weight: ArrayLike | None = None,
    device: str | torch.device = "auto",
) -> float:
    r"""Entanglement of the classes: the soft nearest neighbour loss of the rows.

    A row picks another row `j` as its neighbour with a probability proportional to
    :math:`e^{-d_{ij} / T}`, and with probability :math:`p_i` one of its own class. The score
    is the mean of :math:`-\log p_i` over the rows that have a partner, another row of their
    class: 0 where classes stand apart, large where they are mixed. Rows that all stand in one
    place have the score of chance, :math:`\log((n - 1) / (n_c - 1))` for classes of
    :math:`n_c` of the `n` rows.

    Memory grows with `n_samples`, never with its square.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Rows: features, hidden activations or codes.

    labels : array-like of shape (n_samples,)
        Their labels, of any kind.

    temperature : float, default=1.0
        Positive, in units of the distance: small values look at the nearest neighbours
        only. Scores of different temperatures do not compare.

    metric : {"cosine", "sqeuclidean"}, default="cosine"
        The distance `d`: one minus the cosine, or squared Euclidean. Only "cosine" compares
        spaces of different scale.

    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights: of a row in the mean, and of the same row as a neighbour of
        others. Only their ratios count. A row of weight 0 is no row.

    device : str or torch.device, default="auto"
        Where to compute: "cpu", "cuda", "cuda:1" and so on. "auto" is CUDA if there is a GPU and
        `X` has 1000 rows or more.

    Returns
    -------
    score : float
        Never negative. Computed in float64, or in float32 if `X` is of half or single
        precision.

    Raises
    ------
    ValueError
        If the input is not as described, there are fewer than 2 labels, or no row has
        another one of its label.

    See Also
    --------
    sklearn.metrics.silhouette_score : Compares mean distances, and not the nearest.
    sknca.functional.soft_nearest_neighbor_loss : The same on tensors, differentiable.

    References
    ----------
    .. [1] R. Salakhutdinov, G. Hinton. "Learning a Nonlinear Embedding by Preserving Class
           Neighbourhood Structure". AISTATS 2007.
    .. [2] N. Frosst, N. Papernot, G. Hinton. "Analyzing and Improving Representations with
           the Soft Nearest Neighbor Loss". ICML 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.utils import shuffle
    >>> from sknca.metrics import entanglement_score
    >>> X, y = load_iris(return_X_y=True)
    >>> print(f"{entanglement_score(X, y, temperature=0.01):.2f}")
    0.35
    >>> print(f"{entanglement_score(X, shuffle(y, random_state=0), temperature=0.01):.2f}")
    1.12
    """
    rows, targets = check_X_y(X, labels, dtype=[np.float64, np.float32, np.float16])
    weight = None
    if sample_weight is not None:
        kept = _check_sample_weight(sample_weight, rows, ensure_non_negative=True)
        rows, targets, kept = rows[kept > 0], targets[kept > 0], kept[kept > 0]
        weight = torch.from_numpy(kept / kept.max())
    classes, codes = np.unique(targets, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"Number of labels is {len(classes)}. There must be at least 2.")
    if len(classes) == len(codes):
        raise ValueError(
            f"Number of labels is {len(classes)}, as many as rows: no row has another one of "
            "its label."
        )
    # A copy is writable and has no strides that torch does not know.
    z = torch.from_numpy(np.array(rows, order="C"))
    resolved = resolve_device(device, n_rows=len(z))
    dtype = float_of(resolved, z.dtype)
    score = soft_nearest_neighbor_loss(
        z.to(resolved, dtype),
        torch.from_numpy(codes).to(resolved),
        temperature,
        metric=metric,
        sample_weight=None if weight is None else weight.to(resolved, dtype),
    ).item()
    if not np.isfinite(score):
        raise ValueError(
            f"Input X contains a value too large for {rows.dtype!r} and the temperature."
        )
    return score


@with_types(
    validate_params(
        {"labels_true": ["array-like"], "labels_pred": ["array-like"]},
        prefer_skip_nested_validation=True,
    )
)
def clustering_accuracy(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Accuracy of a clustering under the best one-to-one matching of clusters to classes.

    Each cluster stands for at most one class and each class for at most one cluster; of all
    such matchings, the one with the most rows in agreement counts. Rows of a cluster that
    is left without a class are wrong.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        Ground truth class labels, of any kind.

    labels_pred : array-like of shape (n_samples,)
        Cluster labels to evaluate. Their names do not matter, nor does their number.

    Returns
    -------
    accuracy : float
        Between 0 and 1. As with scikit-learn's clustering scores, 1 where there is no row.

    Raises
    ------
    ValueError
        If the labels are not 1D or not as many.

    See Also
    --------
    sklearn.metrics.adjusted_rand_score : Counts pairs of rows, corrected for chance.
    sklearn.metrics.normalized_mutual_info_score : By information, not by a matching.

    References
    ----------
    .. [1] H. W. Kuhn. "The Hungarian Method for the Assignment Problem". Naval Research
           Logistics Quarterly 2, 1955.
    .. [2] Y. Yang, D. Xu, F. Nie, S. Yan, Y. Zhuang. "Image Clustering Using Local
           Discriminant Models and Global Integration". IEEE Transactions on Image
           Processing 19, 2010.

    Examples
    --------
    >>> from sknca.metrics import clustering_accuracy
    >>> clustering_accuracy(["a", "a", "b", "b"], [1, 1, 0, 2])
    0.75
    """
    classes, clusters = check_clusterings(labels_true, labels_pred)
    if len(classes) == 0:
        return 1.0
    contingency = contingency_matrix(classes, clusters)  # (n_classes, n_clusters)
    matched = linear_sum_assignment(contingency, maximize=True)
    return float(contingency[matched].sum() / len(classes))
