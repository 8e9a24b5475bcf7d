"""What members that did not learn from a sample say of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..distributed import Processes
from ..objectives import EmbeddingObjective, MembersObjective
from ._found import OutOfBag
from ._joint import pooled_sample
from ._prepared import Prepared

#: Samples whose probabilities are computed together.
_ROWS_AT_HAND = 4096


def out_of_bag(
    objective: EmbeddingObjective,
    prepared: Prepared,
    generator: torch.Generator,
    processes: Processes,
) -> OutOfBag | None:
    """The mean of the probabilities of the members that did not learn from a sample: that which
    left it out or, if it is no sample to learn from, all. Each member searches neighbors among the
    samples that it learned from, or a random part of them if they are many. None if members left no
    samples out.
    """
    data = prepared.data
    if data.parts is None or prepared.classes is None:
        return None
    assert isinstance(objective, MembersObjective)
    n, n_classes = len(data.parts), len(prepared.classes)
    sums, counts = np.zeros((n, n_classes)), np.zeros((n, 1))
    for i, member in enumerate(objective.objectives):
        learns = torch.zeros(n, dtype=torch.bool, device="cpu")
        learns[data.rows] = data.parts[data.rows] != i
        rows = learns.nonzero().squeeze(1)
        among = pooled_sample(replace(data, rows=rows, parts=None), generator, processes)
        for some in (~learns).nonzero().squeeze(1).split(_ROWS_AT_HAND):
            x: Any = data.x.take_at_home(some)
            found = member.class_probabilities(x, among, n_classes).numpy(force=True)
            sums[some] += found
            counts[some] += 1
    with np.errstate(invalid="ignore"):
        return OutOfBag(data.parts.numpy(), sums / counts)
