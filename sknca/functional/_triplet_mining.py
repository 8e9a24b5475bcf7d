"""Mining as public functions: the strategies of `_mining`, in row blocks."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ._anchor_blocks import anchor_blocks
from ._checks import check_labels, check_margin, check_pair, check_rows
from ._metrics import Metric, check_metric, common_center
from ._mining import (
    STRATEGIES,
    TRIPLET_ENTRIES,
    Find,
    Strategy,
    Triplets,
    check_found,
    check_strategy,
)
from ._triplet_distances import check_anchors


def mine_negatives(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    margin: float = 1.0,
    strategy: str | Strategy = "semihard",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mine one negative from a pool for each pair of an anchor and its positive.

    Parameters
    ----------
    anchors, positives : Tensor of shape (n_anc, d)
        Codes. Row k of `positives` is the positive of row k of `anchors`.

    negatives : Tensor of shape (n_neg, d)
        The pool. It must not contain samples of the class of an anchor.

    margin : float, default=1.0
        A non-negative number, in units of the squared distance.

    strategy : {"semihard", "hard", "random"} or Strategy, default="semihard"
        Let d_ap and d_an be the squared distances between the anchor and its positive, and between
        the anchor and a negative. "semihard" chooses the nearest negative with
        d_ap < d_an < d_ap + margin. "hard" chooses the nearest negative. "random" chooses a random
        one among those with d_an < d_ap + margin.

    generator : torch.Generator, default=None
        Random numbers for "random". If None, torch's global generator is used.

    Returns
    -------
    indices : Tensor of shape (n_anc,)
        Indices into `negatives`, or -1 if no negative qualifies, for example because codes are
        not finite. Among equally near negatives, any of them.

    Raises
    ------
    ValueError
        If a shape, `margin` or `strategy` is not as described.

    Examples
    --------
    >>> import torch
    >>> from sknca.functional import mine_negatives
    >>> anchors, positives = torch.tensor([[0.0], [9.0]]), torch.tensor([[1.0], [9.0]])
    >>> negatives = torch.tensor([[0.5], [1.2], [1.1]])
    >>> mine_negatives(anchors, positives, negatives)
    tensor([ 2, -1])
    >>> mine_negatives(anchors, positives, negatives, strategy="hard")
    tensor([0, 1])
    """
    names = [name for name, one in STRATEGIES.items() if one.negative is not None]
    known = isinstance(strategy, Strategy) or strategy in names
    chosen = check_strategy(strategy) if known else None
    if chosen is None or chosen.negative is None:
        raise ValueError(
            f"strategy must be one of {names} to mine one negative for each anchor, "
            f"got {strategy!r}."
        )
    margin = check_margin(margin)
    anchors, positives = check_anchors(anchors, positives)
    anchors, negatives = check_pair(anchors, negatives, ("anchors", "negatives"))
    indices = torch.full((len(anchors),), -1, device=anchors.device)
    if len(negatives) == 0:
        return indices
    with torch.no_grad(), torch.autocast(anchors.device.type, enabled=False):
        center = common_center(anchors, negatives, on_grid=True)
        anchors, positives, negatives = (z - center for z in (anchors, positives, negatives))
        pool = negatives.square().sum(1)  # (n_neg,)
        # Not too many, for the positives come from a block x block product.
        block_size = min(max(TRIPLET_ENTRIES // len(negatives), 64), 1024)
        for start in range(0, len(anchors), block_size):
            rows = slice(start, start + block_size)
            # True up to a constant in each row; and both by a product, so that ties are ties.
            d_an = torch.addmm(pool, anchors[rows], negatives.T, alpha=-2)  # (b, n_neg)
            own = positives[rows].square().sum(1)  # (b,)
            d_ap = torch.addmm(own, anchors[rows], positives[rows].T, alpha=-2).diagonal()[:, None]
            if chosen.true_distances:
                rest = anchors[rows].square().sum(1, keepdim=True)  # (b, 1)
                d_ap, d_an = (d.add_(rest).clamp_min_(0) for d in (d_ap, d_an))
            indices[rows] = chosen.negative(d_ap, d_an, margin, generator)
    return indices


def mine_triplets(
    z: Tensor,
    y: Tensor,
    *,
    margin: float = 1.0,
    strategy: str | Strategy | Find = "semihard",
    metric: str | Metric = "sqeuclidean",
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mine triplets within a labeled batch.

    The positives of an anchor are the other samples of its class. Its negatives are the samples of
    other classes. If n is large, no n x n matrix is kept in memory, but the list of triplets may be
    long.

    Parameters
    ----------
    z : Tensor of shape (n, d)
        Codes. With "cosine" they may be complex.

    y : Tensor of shape (n,)
        Class labels, integers or booleans.

    margin : float, default=1.0
        A non-negative number, in units of the distance. With `torch.inf`, every triplet violates
        it.

    strategy : {"semihard", "all", "hard", "random"}, Strategy or callable, default="semihard"
        Let d_ap and d_an be the distances between the anchor and the positive, and between the
        anchor and the negative.

        - "all": every triplet with d_an < d_ap + margin, that is, which violates the margin.
        - "semihard": those of them with d_ap < d_an [1]_.
        - "hard": for each anchor, its farthest positive and its nearest negative [2]_, whether or
          not they violate the margin.
        - "random": for each anchor, one random triplet that violates the margin. The positive is
          drawn among those that are part of such a triplet, and the negative among those that
          violate the margin with this positive.

    metric : {"sqeuclidean", "euclidean", "cosine"} or Metric, default="sqeuclidean"
        The distance: squared Euclidean, Euclidean, or one minus the cosine.

    generator : torch.Generator, default=None
        Random numbers for "random". If None, torch's global generator is used.

    Returns
    -------
    anchor, positive, negative : Tensor of shape (n_triplets,)
        Indices into `z`. The order of the triplets is not specified. Among equally far or near
        samples, any of them. Codes that are not finite have no triplets.

    Raises
    ------
    ValueError
        If a shape, a dtype, `margin`, `strategy` or `metric` is not as described.

    References
    ----------
    .. [1] F. Schroff, D. Kalenichenko, J. Philbin. "FaceNet: A Unified Embedding for Face
           Recognition and Clustering". CVPR 2015.
    .. [2] A. Hermans, L. Beyer, B. Leibe. "In Defense of the Triplet Loss for Person
           Re-Identification". arXiv:1703.07737, 2017.

    Examples
    --------
    >>> import torch
    >>> from sknca.functional import mine_triplets
    >>> z, y = torch.tensor([[0.0], [1.0], [1.2], [3.0]]), torch.tensor([0, 0, 1, 1])
    >>> mine_triplets(z, y)
    (tensor([0, 3]), tensor([1, 2]), tensor([2, 1]))
    >>> mine_triplets(z, y, strategy="hard")
    (tensor([0, 1, 2, 3]), tensor([1, 0, 3, 2]), tensor([2, 2, 1, 1]))
    """
    margin = check_margin(margin)
    chosen, distance, z, y = check_batch(z, y, strategy, metric)
    order = y.argsort(stable=True)
    found = [torch.zeros(3, 0, dtype=torch.long, device=z.device)]
    with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
        for rows, d_ap, d_an, columns, is_positive in _blocks(z[order], y[order], distance, chosen):
            triplets = chosen.find(d_ap, is_positive, d_an, margin, generator)
            anchor, positive, negative = check_found(chosen, triplets, is_positive, d_an)
            found.append(torch.stack([anchor + rows.start, columns[anchor, positive], negative]))
    anchor, positive, negative = order[torch.cat(found, dim=1)]
    return anchor, positive, negative


def one_triplet_each(
    z: Tensor,
    y: Tensor,
    *,
    strategy: Strategy,
    margin: float,
    metric: Metric,
    usable: Tensor | None,
    generator: torch.Generator | None,
) -> Triplets:
    """A triplet of each row as the anchor, without waiting for the device.

    Parameters
    ----------
    z : Tensor of shape (n, d)
        Codes.

    y : Tensor of shape (n,)
        Class labels.

    strategy, margin, metric, generator
        How to choose. The strategy has one triplet for each anchor.

    usable : Tensor of shape (n,)
        Which rows can be part of a triplet. If None, all can.

    Returns
    -------
    has_one : Tensor of shape (n,)
        Which rows have a triplet.

    positive, negative : Tensor of shape (n,)
        Rows of `z`; any of them if there is no triplet.
    """
    order = y.argsort(stable=True)
    found = []
    with torch.no_grad(), torch.autocast(z.device.type, enabled=False):
        usable = None if usable is None else usable[order]
        for rows, d_ap, d_an, columns, is_positive in _blocks(z[order], y[order], metric, strategy):
            if usable is not None:
                is_positive = is_positive & usable[columns] & usable[rows, None]
                d_an.masked_fill_(~usable, torch.inf)
            assert strategy.each is not None
            has_one, positive, negative = strategy.each(d_ap, is_positive, d_an, margin, generator)
            found.append((has_one, columns.gather(1, positive).squeeze(1), negative.squeeze(1)))
        has_one, positive, negative = (torch.cat(some) for some in zip(*found, strict=True))
        place = order.argsort()
        return has_one[place], order[positive][place], order[negative][place]


def _blocks(
    z: Tensor,  # (n, d)
    y: Tensor,  # (n,), sorted
    metric: Metric,
    strategy: Strategy,
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor, Tensor]]:
    """For each block of anchors: its rows; their distances from their class (b, w), and from all
    samples (b, n), infinite from their class; the columns of their class (b, w), and which of these
    hold a positive (b, w).
    """
    queries, keys, bias = metric.comparable(z)
    for rows, distances, columns, is_positive in anchor_blocks(
        queries, keys, bias, y, root=metric.root
    ):
        if strategy.true_distances:
            if not metric.root:
                distances.add_(metric.rest(keys[rows])[:, None])
            distances.clamp_(0, metric.largest)
        d_ap = distances.gather(1, columns)  # (b, w)
        yield rows, d_ap, distances.scatter_(1, columns, torch.inf), columns, is_positive


def check_batch(
    z: Tensor, y: Tensor, strategy: str | Strategy | Find, metric: str | Metric
) -> tuple[Strategy, Metric, Tensor, Tensor]:
    """How to look for triplets, and the codes and labels to look among."""
    chosen, distance = check_strategy(strategy), check_metric(metric)
    (z,) = distance.real(z)
    z = check_rows(z, "z")
    return chosen, distance, z, check_labels(y, z, "y")
