"""Entanglement of the classes: the loss as a score."""

from __future__ import annotations  # help() shows ArrayLike, not what it stands for

from numbers import Real
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils import check_X_y

from .._arrays import as_array, in_native_order
from .._compat import Interval, StrOptions, check_sample_weight, validate_params
from .._devices import resolve_device
from .._typing import with_types
from ..functional import METRICS, Metric, check_metric, soft_nearest_neighbor_loss, widest_float
from ..tables import read_positions


@with_types(
    validate_params(
        {
            "X": ["array-like"],
            "labels": ["array-like"],
            "temperature": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither")],
            "metric": [StrOptions(METRICS.keys()), Metric],
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
    temperature: float | Literal["auto"] = "auto",
    metric: str | Metric = "cosine",
    sample_weight: ArrayLike | None = None,
    device: str | torch.device = "auto",
) -> float:
    r"""Entanglement of the classes: the soft nearest neighbor loss of the samples.

    Lower means better separated: it is 0 if the classes are far apart, and large if they are mixed.

    Sample `i` picks another sample `j` as its neighbor with a probability proportional to
    :math:`e^{-d_{ij} / T}`. With probability :math:`p_i` the neighbor is of its class. The score is
    the mean of :math:`-\log p_i` over the samples that have a positive, another sample of their
    class. Samples that are all in one place have the score of chance,
    :math:`\log((n - 1) / (n_c - 1))` if each class has :math:`n_c` of the `n` samples.

    Distances are computed in blocks: memory is O(n_samples).

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Features, hidden activations or codes.

    labels : array-like of shape (n_samples,)
        Class labels of the samples, of any type.

    temperature : float or "auto", default="auto"
        A positive number, in units of the distance. "auto" means 0.1 with "cosine", 1 with
        "sqeuclidean" and 0.3 with "euclidean", as in the embeddings. With a small temperature only
        the nearest neighbors count; with a large one the score says little about them. Scores of
        different temperatures are not comparable. To score codes as the training did, pass the
        metric and the temperature of the embedding.

    metric : {"cosine", "sqeuclidean", "euclidean"} or Metric, default="cosine"
        The distance `d`: one minus the cosine, squared Euclidean, or Euclidean. To compare spaces
        of different scale, use "cosine".

    sample_weight : array-like of shape (n_samples,), default=None
        Non-negative weights of the samples, in the mean and as neighbors of other samples. Only
        their ratios matter. Samples of weight 0 are excluded.

    device : str or torch.device, default="auto"
        Where to compute: "cpu", "cuda", "cuda:1" and so on. "auto" is CUDA if there is a GPU and
        `X` has 1000 samples or more.

    Returns
    -------
    score : float
        A non-negative number. It is computed in float64, or in float32 if `X` has half or single
        precision.

    Raises
    ------
    ValueError
        If the input is not as described, there are fewer than 2 labels, or no label occurs twice.

    See Also
    --------
    sklearn.metrics.silhouette_score : Compares mean distances instead of the nearest ones.
    sknca.functional.soft_nearest_neighbor_loss : The differentiable loss, for tensors.

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
    rows, targets = check_X_y(
        as_array(X), read_positions(labels, "labels"), dtype=[np.float64, np.float32, np.float16]
    )
    weight = None
    if sample_weight is not None:
        kept = check_sample_weight(sample_weight, rows)
        rows, targets, kept = rows[kept > 0], targets[kept > 0], kept[kept > 0]
        weight = torch.from_numpy(kept / kept.max())
    classes, codes = np.unique(targets, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"Number of labels is {len(classes)}. There must be at least 2.")
    if len(classes) == len(codes):
        raise ValueError(
            f"Number of labels is {len(classes)}, the number of samples. At least one label must "
            "occur twice."
        )
    # A copy is writable, and torch supports its strides.
    z = torch.from_numpy(np.array(in_native_order(rows), order="C"))
    resolved = resolve_device(device, n_rows=len(z))
    dtype = widest_float(resolved, z.dtype)
    score = soft_nearest_neighbor_loss(
        z.to(resolved, dtype),
        torch.from_numpy(codes).to(resolved),
        check_metric(metric).temperature_of(temperature),
        metric=metric,
        sample_weight=None if weight is None else weight.to(resolved, dtype),
    ).item()
    if not np.isfinite(score):
        raise ValueError(
            f"Input X contains a value too large for {rows.dtype!r} and the temperature."
        )
    return score
