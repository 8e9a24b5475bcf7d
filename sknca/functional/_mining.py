"""Which triplets (an anchor, a positive of its class, a negative of another) are learned from.

A new strategy is one more entry of `STRATEGIES`, or one that users pass. Nothing else in the
package compares names of strategies: the functions and the estimator use the entry.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ._checks import widest_float

#: For annotations; the keys of `STRATEGIES`.
StrategyName = Literal["all", "semihard", "hard", "random"]

#: Pairs of an anchor and its positive, times negatives, that are compared together.
TRIPLET_ENTRIES = 2**20

#: Indices of anchors, of columns of their positives and of columns of their negatives, (k,) each.
Triplets = tuple[Tensor, Tensor, Tensor]

#: Of distances d_ap (b, w), the mask of positives (b, w), distances d_an (b, n), margin, generator.
Find = Callable[[Tensor, Tensor, Tensor, float, torch.Generator | None], Triplets]


@dataclass(frozen=True, repr=False)
class Strategy:
    """A choice of triplets, for `strategy` and `mining`.

    Parameters
    ----------
    find : callable
        Lists the triplets of a block of b anchors: three tensors (k,) with the row of the anchor in
        the block, the column of its positive in `d_ap`, and that of its negative in `d_an`. It is
        called with `d_ap` (b, w), the distances from the class of each anchor; `is_positive`
        (b, w), which of these are positives; `d_an` (b, n), the distances from all samples,
        infinite if a sample is not a negative; the margin; and a torch.Generator or None.

    negative : callable, default=None
        Chooses one negative (b,) of a pool, -1 if none qualifies, from `d_ap` (b, 1), `d_an`
        (b, n), the margin and the generator. If None, :func:`mine_negatives` refuses the strategy.

    counts : {"violating", "semihard"}, default=None
        Which triplets are summed, if the loss is the mean over all of them, without a list.

    needs_margin : bool, default=False
        Whether `margin="soft"` is refused.

    each : callable, default=None
        If there is one triplet for each anchor: from the arguments of `find`, a mask (b,) of the
        anchors that have a triplet, and the columns (b, 1) of their positive and their negative. It
        must not wait for the device.

    draws : bool, default=False
        Whether it draws random numbers, from the generator or else from torch's global one, which a
        fit seeds and restores. Several processes, which would draw different ones, refuse it then.

    true_distances : bool, default=False
        Whether it needs the distances themselves, for a logarithm for example. Otherwise they lack
        a constant of each anchor: only their differences are right, and they may be negative.
    """

    find: Find
    negative: Callable[[Tensor, Tensor, float, torch.Generator | None], Tensor] | None = None
    counts: Literal["violating", "semihard"] | None = None
    needs_margin: bool = False  # margin="soft" has none
    each: Find | None = None
    draws: bool = False  # at random
    true_distances: bool = False  # needs more than differences of distances

    def __repr__(self) -> str:  # the same in another process
        return f"Strategy({getattr(self.find, '__qualname__', type(self.find).__qualname__)})"


def _violating(
    d_ap: Tensor, is_positive: Tensor, d_an: Tensor, margin: float, _: torch.Generator | None
) -> Triplets:
    return _every(d_ap, is_positive, d_an, lambda near, far: far < near + margin)


def _semihard(
    d_ap: Tensor, is_positive: Tensor, d_an: Tensor, margin: float, _: torch.Generator | None
) -> Triplets:
    return _every(d_ap, is_positive, d_an, lambda near, far: (far < near + margin) & (far > near))


def _every(
    d_ap: Tensor, is_positive: Tensor, d_an: Tensor, qualify: Callable[[Tensor, Tensor], Tensor]
) -> Triplets:
    """Every triplet whose distances `qualify`."""
    found = [torch.zeros(3, 0, dtype=torch.long, device=d_an.device)]
    for pairs in is_positive.nonzero().split(max(TRIPLET_ENTRIES // d_an.shape[1], 1)):
        anchor, positive = pairs.unbind(1)  # (k,)
        mask = qualify(d_ap[anchor, positive, None], d_an[anchor])  # (k, n)
        pair, negative = mask.nonzero(as_tuple=True)
        found.append(torch.stack([anchor[pair], positive[pair], negative]))
    anchor, positive, negative = torch.cat(found, dim=1)
    return anchor, positive, negative


def _hardest(
    d_ap: Tensor, is_positive: Tensor, d_an: Tensor, _: float, __: torch.Generator | None
) -> Triplets:
    nearest, negative = d_an.min(1, keepdim=True)  # (b, 1)
    candidate = is_positive & (nearest < torch.inf)  # (b, w)
    positive = d_ap.masked_fill(~candidate, -torch.inf).argmax(1, keepdim=True)
    return candidate.any(1), positive, negative


def _random(
    d_ap: Tensor,
    is_positive: Tensor,
    d_an: Tensor,
    margin: float,
    generator: torch.Generator | None,
) -> Triplets:
    candidate = is_positive & (d_an.amin(1, keepdim=True) < d_ap + margin)  # (b, w)
    positive = _any_column(candidate, generator)
    negative = _any_column(d_an < d_ap.gather(1, positive) + margin, generator)
    return candidate.any(1), positive, negative


def _listed(each: Find) -> Find:
    """The triplets of the anchors that have one."""

    def find(
        d_ap: Tensor,
        is_positive: Tensor,
        d_an: Tensor,
        margin: float,
        generator: torch.Generator | None,
    ) -> Triplets:
        has_one, positive, negative = each(d_ap, is_positive, d_an, margin, generator)
        anchor = has_one.nonzero().squeeze(1)
        return anchor, positive[anchor, 0], negative[anchor, 0]

    return find


def _nearest_semihard(
    d_ap: Tensor, d_an: Tensor, margin: float, _: torch.Generator | None
) -> Tensor:
    return _nearest((d_an < d_ap + margin) & (d_an > d_ap), d_an)


def _nearest_of_all(d_ap: Tensor, d_an: Tensor, _: float, __: torch.Generator | None) -> Tensor:
    return _nearest(d_an < torch.inf, d_an)


def _any_violating(
    d_ap: Tensor, d_an: Tensor, margin: float, generator: torch.Generator | None
) -> Tensor:
    qualifies = d_an < d_ap + margin
    return torch.where(qualifies.any(1), _any_column(qualifies, generator).squeeze(1), -1)


def _nearest(qualifies: Tensor, d_an: Tensor) -> Tensor:
    """The nearest (b,) of those that qualify (b, n), -1 if none does."""
    nearest = d_an.masked_fill(~qualifies, torch.inf).argmin(1)
    return torch.where(qualifies.any(1), nearest, -1)


def _any_column(mask: Tensor, generator: torch.Generator | None) -> Tensor:
    """A random true column (b, 1) in each row of the mask (b, n); any column if none is true."""
    counted = mask.cumsum(1, dtype=torch.int32)  # (b, n)
    device = mask.device if generator is None else generator.device
    dtype = widest_float(device)
    draw = torch.rand(len(mask), 1, generator=generator, dtype=dtype, device=device)
    last = counted[:, -1:]
    rank = (draw.to(mask.device, widest_float(mask.device)) * last).int() + 1  # (b, 1), from 1
    rank = torch.minimum(rank, last.clamp_min(1))  # a product may be rounded up
    return torch.searchsorted(counted, rank).clamp_max(mask.shape[1] - 1)


STRATEGIES: dict[str, Strategy] = {
    "all": Strategy(_violating, counts="violating"),
    "semihard": Strategy(_semihard, _nearest_semihard, counts="semihard", needs_margin=True),
    "hard": Strategy(_listed(_hardest), _nearest_of_all, each=_hardest),
    "random": Strategy(_listed(_random), _any_violating, each=_random, draws=True),
}


#: Those of the package, whatever users add to the table.
_OF_PACKAGE = tuple(STRATEGIES.values())


def check_strategy(strategy: str | Strategy | Find) -> Strategy:
    """The strategy that the parameter means: a name, the strategy itself, or its `find` alone, of
    which nothing is known, so that it gets the distances themselves and may draw.
    """
    if isinstance(strategy, Strategy):
        return strategy
    if callable(strategy):
        return Strategy(strategy, draws=True, true_distances=True)
    if not isinstance(strategy, str) or strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {tuple(STRATEGIES)}, got {strategy!r}.")
    return STRATEGIES[strategy]


def may_draw_globally(strategy: Strategy) -> bool:
    """Whether it may draw from torch's global generator. Strategies of the package do not."""
    return strategy.draws and strategy not in _OF_PACKAGE


def check_found(strategy: Strategy, found: Triplets, is_positive: Tensor, d_an: Tensor) -> Triplets:
    """What `find` of a strategy returned for a block; refused if it is not of the package, and
    something else than a positive or a negative was chosen.
    """
    if strategy in _OF_PACKAGE:
        return found
    sizes = len(is_positive), is_positive.shape[1], d_an.shape[1]
    if not _are_indices(found, sizes):
        raise ValueError(f"{strategy} must return three tensors (k,) of indices.")
    anchor, positive, negative = found
    if not bool((is_positive[anchor, positive] & (d_an[anchor, negative] < torch.inf)).all()):
        raise ValueError(f"{strategy} chose a sample that is not a positive, or not a negative.")
    return found


def _are_indices(found: Any, sizes: Sequence[int]) -> bool:
    """Whether these are as many indices (k,) for each size, and below it."""
    if not isinstance(found, (tuple, list)) or len(found) != len(sizes):
        return False
    if not all(isinstance(some, Tensor) and some.dtype == torch.long for some in found):
        return False
    if len({some.shape for some in found}) > 1 or found[0].ndim != 1:
        return False
    pairs = zip(found, sizes, strict=True)
    return all(bool(((some >= 0) & (some < size)).all()) for some, size in pairs)
