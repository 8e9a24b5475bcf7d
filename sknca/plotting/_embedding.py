"""Scatter plots of codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA
from sklearn.utils import check_array, check_consistent_length

from .._compat import check_matplotlib_support
from ..tables import classes_of, is_missing, positions, read_labels, union
from ._style import (
    UNLABELED,
    axes_or_new,
    class_colors,
    dot,
    give_markers,
    name_classes,
    with_own,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.colorbar import Colorbar
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D


class EmbeddingDisplay:
    """Scatter plot of an embedding, with a color for each class.

    Up to twenty classes can be distinguished, with any kind of color vision. From the eleventh on,
    they have other markers.

    It is recommended to use :meth:`from_estimator` or :meth:`from_embedding` to create one.
    All parameters are stored as attributes.

    A supervised embedding always separates the samples that it was trained on. Only test samples
    show whether it overfits. They are drawn with a dark edge, and the training samples are pale.

    Parameters
    ----------
    points : ndarray of shape (n_samples, 1) or (n_samples, 2)
        Coordinates of the samples. With one coordinate, each class is drawn in its own strip.

    y : ndarray of shape (n_samples,)
        Labels of the samples. Samples without a label (None, NaN or `pandas.NA`) are gray.

    points_test : ndarray of shape (n_test, 1) or (n_test, 2), default=None
        Coordinates of the test samples. If None, there are none.

    y_test : ndarray of shape (n_test,), default=None
        Labels of the test samples.

    xlabel, ylabel : str, default=None
        Labels of the axes. If None, the axes have no label.

    Attributes
    ----------
    scatter_ : matplotlib PathCollection
        The points of the samples.

    scatter_test_ : matplotlib PathCollection or None
        The points of the test samples.

    legend_ : matplotlib Legend or None
        The legend. It names up to twenty classes, and training and test samples.

    colorbar_ : matplotlib Colorbar or None
        The color bar, which names the classes if there are more than twenty. If it has no room for
        all names, its label says how many are missing.

    ax_ : matplotlib Axes
        Axes with the points.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    See Also
    --------
    LossCurveDisplay : Losses of an embedding over the epochs of its training.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import train_test_split
    >>> from sknca import SNNLEmbedding
    >>> from sknca.plotting import EmbeddingDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    >>> embedding = SNNLEmbedding(max_iter=5, random_state=0).fit(X_train, y_train)
    >>> display = EmbeddingDisplay.from_estimator(
    ...     embedding, X_train, y_train, X_test=X_test, y_test=y_test
    ... )
    >>> display.points.shape, display.points_test.shape
    ((112, 2), (38, 2))
    """

    def __init__(
        self,
        points: NDArray[Any],
        y: NDArray[Any],
        *,
        points_test: NDArray[Any] | None = None,
        y_test: NDArray[Any] | None = None,
        xlabel: str | None = None,
        ylabel: str | None = None,
    ) -> None:
        self.points = points
        self.y = y
        self.points_test = points_test
        self.y_test = y_test
        self.xlabel = xlabel
        self.ylabel = ylabel

    def plot(
        self,
        ax: Axes | None = None,
        *,
        legend: bool = True,
        scatter_kw: dict[str, Any] | None = None,
        scatter_test_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure and new axes are created.

        legend : bool, default=True
            Whether to name the classes: with a legend or, if there are more than twenty, with a
            color bar.

        scatter_kw, scatter_test_kw : dict, default=None
            Keyword arguments of `matplotlib.axes.Axes.scatter`, for all points and for those of the
            test samples only. `cmap` sets the colors of the classes.

        Returns
        -------
        display : EmbeddingDisplay
            This display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the data or the keywords are not as described.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        if (self.points_test is None) != (self.y_test is None):
            raise ValueError(
                "points_test and y_test must be given together; "
                f"got points_test={'None' if self.points_test is None else '...'}, "
                f"y_test={'None' if self.y_test is None else '...'}."
            )
        every_y = [y for y in (self.y, self.y_test) if y is not None]
        classes = _classes(every_y)
        any_unlabeled = any(is_missing(y).any() for y in every_y)
        default = {
            "cmap": class_colors(len(classes)),
            "plotnonfinite": True,  # samples without a label get the color of bad values
            "vmin": -0.5,
            "vmax": len(classes) - 0.5,
            "s": 10,
            "linewidth": 0,
        }
        style = _with_own(default, scatter_kw)
        marked = {"s": 18, "linewidth": 0.5, "edgecolor": "black"}
        style_test = _with_own({**style, **marked}, scatter_test_kw)
        ax = axes_or_new(ax)
        self.scatter_test_: PathCollection | None = None
        if self.points_test is None or self.y_test is None:
            self.scatter_ = _draw(ax, self.points, self.y, classes, style)
        else:
            self.scatter_ = _draw(ax, self.points, self.y, classes, {"alpha": 0.35, **style})
            self.scatter_test_ = _draw(ax, self.points_test, self.y_test, classes, style_test)
        ax.set(xlabel=self.xlabel, ylabel=self.ylabel)
        if self.points.shape[1] == 1:
            names = [str(label) for label in classes] + ["no label"] * any_unlabeled
            ax.set_yticks(np.arange(len(names)), names)
            ax.yaxis.set_inverted(True)
        else:
            # A distance between codes must have the same length in both directions. Axes that share
            # both their limits with others change their size instead.
            groups = (ax.get_shared_x_axes(), ax.get_shared_y_axes())
            shared = all(len(group.get_siblings(ax)) > 1 for group in groups)
            ax.set_aspect("equal", adjustable="box" if shared else "datalim")
        self.ax_ = ax
        self.figure_ = ax.figure
        self.legend_: Legend | None = None
        self.colorbar_: Colorbar | None = None
        if legend:
            self._explain(classes, style.get("marker"), any_unlabeled=any_unlabeled)
        return self

    def _explain(self, classes: NDArray[Any], marker: Any, *, any_unlabeled: bool) -> None:
        """Name the color of each class, and the markers of training and test samples."""
        handles: list[Line2D] = []
        if self.points.shape[1] == 2:  # the strips are named on the axis
            handles, self.colorbar_ = name_classes(self.scatter_, classes, self.ax_, marker)
            if any_unlabeled:
                handles.append(dot("no label", color=UNLABELED))
        place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
        if self.colorbar_ is not None or not handles:
            place = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 3}
        elif len(classes) > 10:
            place["ncols"] = 2
        if self.scatter_test_ is not None:
            handles += [
                dot("training", color="0.7", markersize=3.5),
                dot("test", color="0.7", markeredgecolor="black", markersize=5),
            ]
        if handles:
            self.legend_ = self.ax_.legend(
                handles=handles, frameon=False, fontsize="small", handletextpad=0.2, **place
            )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        X_test: ArrayLike | None = None,
        y_test: ArrayLike | None = None,
        ax: Axes | None = None,
        legend: bool = True,
        scatter_kw: dict[str, Any] | None = None,
        scatter_test_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the codes of samples, computed by a fitted transformer.

        Parameters
        ----------
        estimator : estimator instance
            Any fitted transformer, or a fitted :class:`~sklearn.pipeline.Pipeline` that ends
            with one. If a pipeline ends with a classifier, pass `pipeline[:-1]`.

        X : array-like of shape (n_samples, n_features)
            Samples.

        y : array-like of shape (n_samples,)
            Labels of the samples.

        X_test : array-like of shape (n_test, n_features), default=None
            Test samples, drawn with a dark edge.

        y_test : array-like of shape (n_test,), default=None
            Labels of `X_test`.

        ax, legend, scatter_kw, scatter_test_kw
            See :meth:`plot`.

        Returns
        -------
        display : EmbeddingDisplay
            The display, drawn. If codes have more than two components, the first two principal
            components of the codes of `X` are drawn, and the labels of the axes show the fraction
            of the variance of each.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the estimator is not a transformer, or the data or the keywords are not as described.
        """
        method = f"{cls.__name__}.from_estimator"
        check_matplotlib_support(method)
        if not hasattr(estimator, "transform"):
            raise ValueError(f"{method} only supports transformers; got {estimator!r}.")
        return cls.from_embedding(
            estimator.transform(X),
            y,
            codes_test=None if X_test is None else estimator.transform(X_test),
            y_test=y_test,
            ax=ax,
            legend=legend,
            scatter_kw=scatter_kw,
            scatter_test_kw=scatter_test_kw,
        )

    @classmethod
    def from_embedding(
        cls,
        codes: ArrayLike,
        y: ArrayLike,
        *,
        codes_test: ArrayLike | None = None,
        y_test: ArrayLike | None = None,
        ax: Axes | None = None,
        legend: bool = True,
        scatter_kw: dict[str, Any] | None = None,
        scatter_test_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw codes.

        Parameters
        ----------
        codes : array-like of shape (n_samples, n_components)
            Codes, as `transform` returns them.

        y : array-like of shape (n_samples,)
            Labels of the samples.

        codes_test : array-like of shape (n_test, n_components), default=None
            Codes of test samples, drawn with a dark edge.

        y_test : array-like of shape (n_test,), default=None
            Labels of `codes_test`.

        ax, legend, scatter_kw, scatter_test_kw
            See :meth:`plot`.

        Returns
        -------
        display : EmbeddingDisplay
            The display, drawn. If codes have more than two components, the first two principal
            components of `codes` are drawn, and the labels of the axes show the fraction of the
            variance of each.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the data or the keywords are not as described.
        """
        check_matplotlib_support(f"{cls.__name__}.from_embedding")
        if (codes_test is None) != (y_test is None):
            raise ValueError(
                "Test samples and y_test must be given together; "
                f"got y_test={'None' if y_test is None else '...'}."
            )
        points, labels = _check_codes(codes, y)
        n_components = points.shape[1]
        points_test = labels_test = None
        if codes_test is not None:
            points_test, labels_test = _check_codes(codes_test, y_test)
            if points_test.shape[1] != n_components:
                raise ValueError(
                    f"codes_test has {points_test.shape[1]} components, but codes has "
                    f"{n_components}."
                )
        axes = ["Component 1", "Component 2" if n_components > 1 else "Class"]
        if n_components > 2:
            with np.errstate(invalid="ignore"):  # if all codes are equal
                pca = PCA(2, random_state=0).fit(points)
            points = pca.transform(points)
            points_test = None if points_test is None else pca.transform(points_test)
            shares = np.nan_to_num(pca.explained_variance_ratio_)
            axes = [
                f"PC {i} of {n_components} ({100 * share:.0f} %)"
                for i, share in enumerate(shares, start=1)
            ]
        display = cls(
            points,
            labels,
            points_test=points_test,
            y_test=labels_test,
            xlabel=axes[0],
            ylabel=axes[1],
        )
        return display.plot(
            ax, legend=legend, scatter_kw=scatter_kw, scatter_test_kw=scatter_test_kw
        )


def _classes(every_y: list[NDArray[Any]]) -> NDArray[Any]:
    """The labels that occur."""
    every = [classes_of(read_labels(y)) for y in every_y]
    try:
        return union(*every, name="y and y_test")
    except TypeError as error:
        raise ValueError(f"Mix of label input types (string and number): {error}") from error


def _check_codes(codes: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    codes = check_array(codes, dtype=[np.float64, np.float32], input_name="codes")
    labels = read_labels(y)
    check_consistent_length(codes, labels.is_labeled)
    if labels.is_labeled.all():
        return codes, labels.values
    with_missing = np.full(len(labels), None, dtype=object)
    with_missing[labels.is_labeled] = labels.values
    return codes, with_missing


def _with_own(default: dict[str, Any], own: dict[str, Any] | None) -> dict[str, Any]:
    import matplotlib.pyplot as plt
    from matplotlib.collections import PathCollection

    style = with_own(default, own, PathCollection)
    for name in ("c", "color"):
        if name in style:
            raise ValueError(
                f"{name}={style[name]!r} cannot be set, because points have the colors of their "
                "classes. Use cmap instead."
            )
    style["cmap"] = plt.get_cmap(style["cmap"]).with_extremes(bad=UNLABELED)
    if own and own.get("norm") is not None:  # it has its own limits
        style = {k: v for k, v in style.items() if k not in ("vmin", "vmax") or k in own}
    return style


def _draw(
    ax: Axes,
    points: NDArray[Any],
    y: NDArray[Any],
    classes: NDArray[Any],
    style: dict[str, Any],
) -> PathCollection:
    position = np.full(len(y), np.nan)  # (n,)
    labeled = ~is_missing(y)
    position[labeled] = positions(read_labels(y), classes)[labeled]
    x = points[:, 0]
    if points.shape[1] == 1:
        # Spread evenly over the height of the strip: multiples of the golden ratio.
        height = np.nan_to_num(position, nan=len(classes)) + 0.8 * (
            np.arange(len(y)) * 0.618034 % 1 - 0.5
        )
    else:
        height = points[:, 1]
    scatter = ax.scatter(x, height, c=position, **style)
    if points.shape[1] > 1 and "marker" not in style:
        give_markers(scatter, position, len(classes))
    return scatter
