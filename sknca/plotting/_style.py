"""Shared by the displays: axes, colors, and the names of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Colormap
    from matplotlib.lines import Line2D

#: Ten colors that people with any kind of color vision can distinguish. Nobody distinguishes more.
_COLORS = "petroff10"
_N_COLORS = 10

#: The color of points without a label.
UNLABELED = "0.8"

#: The most labels of a color bar.
_MAX_TICKS = 12


def axes_or_new(ax: Axes | None) -> Axes:
    """`ax`, or the axes of a new figure, which makes room for a legend beside them."""
    import matplotlib
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(layout="constrained")
        ax.set_prop_cycle(color=matplotlib.color_sequences[_COLORS])
    return ax


def with_own(
    default: Mapping[str, Any], own: Mapping[str, Any] | None, artist: type[Artist]
) -> dict[str, Any]:
    """Keywords of `artist`: the user's replace the defaults. All get the full names of matplotlib:
    `lw` is `linewidth`.
    """
    from matplotlib.cbook import normalize_kwargs

    return {**default, **normalize_kwargs(dict(own or {}), artist)}


def class_colors(n_classes: int) -> Colormap:
    """A color for each class."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    if n_classes <= _N_COLORS:
        return ListedColormap(list(matplotlib.color_sequences[_COLORS][: max(n_classes, 1)]))
    return matplotlib.colormaps["viridis"].resampled(n_classes)


def is_missing(y: NDArray[Any]) -> NDArray[np.bool_]:
    """Which labels (n,) are None, NaN or `pandas.NA`."""
    if y.dtype.kind not in "fO":
        return np.zeros(len(y), dtype=bool)
    return np.array(
        [
            label is None or type(label).__name__ == "NAType" or label != label
            for label in y.tolist()
        ],
        dtype=bool,
    )


def labels_of(y: NDArray[Any]) -> NDArray[Any]:
    """The labels that are not missing, in their own dtype."""
    present = y[~is_missing(y)]
    return np.array(present.tolist()) if y.dtype.kind == "O" else present


def name_classes(
    scatter: PathCollection, classes: NDArray[Any], ax: Axes
) -> tuple[list[Line2D], Colorbar | None]:
    """Entries of a legend for up to ten classes, or a color bar for more."""
    from matplotlib.cm import ScalarMappable

    if len(classes) <= _N_COLORS:
        colors: Any = scatter.to_rgba(np.arange(len(classes)))
        return [dot(str(c), color=color) for c, color in zip(classes, colors, strict=True)], None
    ticks = range(0, len(classes), -(-len(classes) // _MAX_TICKS))
    # The points may be pale; their colors are not.
    mappable = ScalarMappable(scatter.norm, scatter.cmap)
    colorbar = ax.figure.colorbar(mappable, ax=ax, label="Class")
    colorbar.set_ticks(ticks, labels=[str(classes[tick]) for tick in ticks])
    return [], colorbar


def dot(label: str, **style: Any) -> Line2D:
    """An entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="", marker="o", label=label, **style)
