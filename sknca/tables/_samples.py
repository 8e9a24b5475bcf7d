"""Samples that have been checked, with their labels as positions in the classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._table import Table


@dataclass(frozen=True)
class Samples:
    """What a fit or a portion learns from, and what it is validated on."""

    X: Table  # (n, n_features)
    labels: NDArray[np.int64]  # (n,), positions in the classes, -1 without a label
    classes: NDArray[Any] | None  # (n_classes,), None if nothing is learned from labels
    weight: NDArray[np.float64] | None  # (n,), the largest is 1
    rows: NDArray[np.int64]  # (n_train,), indices of the samples to learn from
    X_val: Table | None = None  # (n_val, n_features)
    labels_val: NDArray[np.int64] | None = None  # (n_val,)
    groups: NDArray[np.int64] | None = None  # (n,), if whole groups are held out

    @property
    def validates_on_other_classes(self) -> bool:
        """Whether validation samples are of classes that are not trained on."""
        if self.labels_val is None:
            return False
        n_classes = 0 if self.classes is None else len(self.classes)
        return bool((self.labels_val >= n_classes).any())

    def arrays(self) -> dict[str, Any]:
        """The arrays by name, which distinguish one fit from another."""
        names = ("X", "labels", "weight", "rows", "X_val", "labels_val", "groups")
        return {name: getattr(self, name) for name in names}
