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

#: Colors of maximum contrast (Kelly, 1965) without black and white. The first ten can be
#: distinguished with any kind of color vision, and so can the others that have the same marker.
_COLORS = (
    *("#0067a5", "#f38400", "#008856", "#e68fac", "#654522"),  # blue, orange, green, pink, brown
    *("#a1caf1", "#be0032", "#f3c300", "#c2b280", "#848482"),  # pale blue, red, yellow, buff, gray
    *("#875692", "#f99379", "#dcd300", "#882d17", "#8db600"),
    *("#604e97", "#f6a600", "#b3446c", "#e25822", "#2b3d26"),
)
_MARKERS = "o" * 10 + "^" * 5 + "s" * 5

#: The color of points without a label.
UNLABELED = "0.8"

#: The height of a name beside a color bar, in points: small, and as small as can be read.
_NAME_HEIGHT = (10.0, 7.0)


def axes_or_new(ax: Axes | None) -> Axes:
    """`ax`, or the axes of a new figure, which makes room for a legend beside them."""
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(layout="constrained")
        ax.set_prop_cycle(color=_COLORS[:10])
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

    if n_classes <= len(_COLORS):
        return ListedColormap(_COLORS[: max(n_classes, 1)])
    return matplotlib.colormaps["viridis"].resampled(n_classes)


def give_markers(scatter: PathCollection, position: NDArray[Any], n_classes: int) -> None:
    """Give the points of each class its marker.

    `position` (n,) is the class of each point, or NaN, for which the marker is a dot.
    """
    from matplotlib.markers import MarkerStyle

    if n_classes <= len(_COLORS) and len(set(_MARKERS[:n_classes])) > 1:
        styles = {name: MarkerStyle(name) for name in set(_MARKERS)}
        paths = {
            name: style.get_path().transformed(style.get_transform())
            for name, style in styles.items()
        }
        scatter.set_paths([paths["o" if np.isnan(i) else _MARKERS[int(i)]] for i in position])


def name_classes(
    scatter: PathCollection, classes: NDArray[Any], ax: Axes, marker: Any = None
) -> tuple[list[Line2D], Colorbar | None]:
    """Entries of a legend for up to twenty classes, or a color bar for more.

    `marker` is the one of all classes; if None, each has its own.
    """
    from matplotlib.cm import ScalarMappable

    n = len(classes)
    if n <= len(_COLORS):
        colors: Any = scatter.to_rgba(np.arange(n))
        markers = _MARKERS[:n] if marker is None else [marker] * n
        styles = zip(classes, colors, markers, strict=True)
        return [dot(str(c), color=color, marker=mark) for c, color, mark in styles], None
    height = 72 * ax.get_window_extent().height / ax.figure.dpi
    step = 1 if height / n >= _NAME_HEIGHT[1] else int(np.ceil(n * _NAME_HEIGHT[0] / height))
    ticks = range(0, n, step)
    # The points may be pale; their colors are not.
    mappable = ScalarMappable(scatter.norm, scatter.cmap)
    label = f"{n} classes" + f", one in {step} is named" * (step > 1)
    colorbar = ax.figure.colorbar(mappable, ax=ax, label=label)
    colorbar.set_ticks(ticks, labels=[str(classes[tick]) for tick in ticks])
    colorbar.ax.tick_params(labelsize=min(8.3, 0.83 * height / len(ticks)))
    return [], colorbar


def dot(label: str, **style: Any) -> Line2D:
    """An entry of a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **{"linestyle": "", "marker": "o", "label": label, **style})
