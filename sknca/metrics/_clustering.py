"""Scores of clusterings."""

from __future__ import annotations  # help() shows ArrayLike, not what it stands for

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics.cluster import contingency_matrix

from .._compat import check_clusterings, validate_params
from .._typing import with_types
from ..tables import all_labeled, read_labels


@with_types(
    validate_params(
        {"labels_true": ["array-like"], "labels_pred": ["array-like"]},
        prefer_skip_nested_validation=True,
    )
)
def clustering_accuracy(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Accuracy of a clustering under the best one-to-one matching of clusters to classes.

    Each cluster is matched to at most one class, and each class to at most one cluster. The
    matching with the most correct samples is used. Samples of a cluster without a class are wrong.

    Parameters
    ----------
    labels_true : array-like of shape (n_samples,)
        Ground truth class labels, of any kind.

    labels_pred : array-like of shape (n_samples,)
        Cluster labels to evaluate. Their names do not matter, and their number may differ from
        the number of classes.

    Returns
    -------
    accuracy : float
        Between 0 and 1. Without samples it is 1, as in the clustering scores of scikit-learn.

    Raises
    ------
    ValueError
        If the labels are not 1D or differ in length.

    See Also
    --------
    sklearn.metrics.adjusted_rand_score : Counts pairs of samples, corrected for chance.
    sklearn.metrics.normalized_mutual_info_score : Uses information instead of a matching.

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
    classes, clusters = check_clusterings(
        _exact(labels_true, "labels_true"), _exact(labels_pred, "labels_pred")
    )
    if len(classes) == 0:
        return 1.0
    contingency = contingency_matrix(classes, clusters)  # (n_classes, n_clusters)
    matched = linear_sum_assignment(contingency, maximize=True)
    return float(contingency[matched].sum() / len(classes))


def _exact(labels: ArrayLike, name: str) -> NDArray[Any]:
    """Labels of which scikit-learn merges none."""
    if np.ndim(labels) != 1:
        raise ValueError(f"{name} must be 1D: shape is {np.shape(labels)!r}")
    values = all_labeled(read_labels(labels, name))
    if values.dtype.kind == "f":
        return values
    exact: NDArray[np.int64] = np.unique(values, return_inverse=True)[1]
    return exact
