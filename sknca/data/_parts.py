"""Which samples each of several members leaves out."""

import torch
from torch import Tensor

from ._samplers import shuffled_ranks

#: So many samples of a class are left to each member at least. One alone has no positive.
_LEAST_OF_A_CLASS = 2

#: How much all classes count when a group is dealt, beside those of the group.
_TIE = 1e-3


def deal_parts(
    labels: Tensor, n_parts: int, generator: torch.Generator, groups: Tensor | None = None
) -> Tensor:
    """Deal samples at random into parts, each of which one member leaves out.

    The parts are equally large and stratified by class, and so are samples without a label. With
    groups, a group is in one part, and size and classes are as even as the groups allow. If fewer
    than two samples of a class would be left to a member, it leaves out none of them.

    Parameters
    ----------
    labels : Tensor of shape (n,), on the CPU
        Class of each row, from 0; -1 where there is no label.

    n_parts : int
        Number of parts.

    generator : torch.Generator
        On the CPU.

    groups : Tensor of shape (n,), default=None
        The group of each row, on the CPU. If None, each row is dealt by itself.

    Returns
    -------
    parts : Tensor of shape (n,)
        The part of each row, from 0; -1 if no member leaves it out.
    """
    if len(labels) == 0:  # in this process
        return labels
    classes = labels + 1  # (n,), 0 without a label
    n_classes = int(classes.max()) + 1
    if groups is None:
        order, *_ = shuffled_ranks(labels, generator)  # by class, so that turns are fair to classes
        parts = torch.empty_like(labels)
        parts[order] = torch.arange(len(labels), device="cpu") % n_parts
    else:
        _, groups = groups.unique(return_inverse=True)
        parts = _parts_of_groups(classes, n_classes, n_parts, generator, groups)[groups]
    cells = parts * n_classes + classes  # (n,), of a part and a class
    left = classes.bincount() - cells.bincount(minlength=n_parts * n_classes).view(n_parts, -1)
    is_needed = (left < _LEAST_OF_A_CLASS).flatten()[cells]  # (n,)
    if groups is not None:
        is_needed = groups[is_needed].bincount(minlength=len(groups))[groups] > 0
    return parts.masked_fill(is_needed, -1)


def _parts_of_groups(
    classes: Tensor, n_classes: int, n_parts: int, generator: torch.Generator, groups: Tensor
) -> Tensor:
    """The part (n_groups,) of each group: the largest ones first, each to the part that has the
    least of its classes or, of parts with as much, the least altogether.
    """
    sizes = groups.bincount()  # (n_groups,)
    shuffled = torch.randperm(len(sizes), generator=generator, device="cpu")
    order = shuffled[sizes[shuffled].argsort(descending=True, stable=True)]
    cells, counts = (groups * n_classes + classes).unique(return_counts=True)
    shares = counts / classes.bincount()[cells % n_classes]  # (n_cells,), of its class in a group
    n_cells = (cells // n_classes).bincount().tolist()  # of each group
    classes_of_groups = (cells % n_classes).split(n_cells)
    shares_of_groups = shares.split(n_cells)
    dealt = torch.zeros(n_parts, n_classes, device="cpu")  # the share of each class
    parts = torch.empty_like(sizes)
    for group in order.tolist():
        of_group, share = classes_of_groups[group], shares_of_groups[group]
        part = (dealt[:, of_group] @ share + _TIE * dealt.sum(1)).argmin()
        dealt[part, of_group] += share
        parts[group] = part
    return parts
