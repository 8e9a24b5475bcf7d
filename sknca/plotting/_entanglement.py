"""In which layers of a network the classes are separated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

from numpy.typing import ArrayLike

from .._compat import check_matplotlib_support
from ._style import axes_or_new, with_own

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


class EntanglementDisplay:
    """Entanglement of the classes in each layer of a network.

    Lower means better separated.

    It is recommended to use :meth:`from_estimator` to create one. All parameters are stored
    as attributes.

    Parameters
    ----------
    entanglement : dict from str to float
        The entanglement of each layer, as
        :meth:`~sknca.SNNLEmbedding.layer_entanglement` returns it.

    entanglement_test : dict from str to float, default=None
        The entanglement of test samples in the same layers. If None, there are none.

    name : str, default=None
        Name of the network in the legend. If None, it has no name.

    ylabel : str, default=None
        Label of the vertical axis. If None, it is "Entanglement".

    Attributes
    ----------
    line_ : matplotlib Line2D
        The line of the samples.

    line_test_ : matplotlib Line2D or None
        The line of the test samples.

    ax_ : matplotlib Axes
        Axes with the lines.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    See Also
    --------
    sknca.metrics.entanglement_score : The score that is drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknca import SNNLEmbedding
    >>> from sknca.plotting import EntanglementDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> embedding = SNNLEmbedding(max_iter=5, random_state=0).fit(X, y)
    >>> display = EntanglementDisplay.from_estimator(embedding, X, y, temperature=0.1)
    >>> list(display.entanglement)
    ['input', 'hidden.0', 'hidden.1', 'code']
    """

    def __init__(
        self,
        entanglement: Mapping[str, float],
        *,
        entanglement_test: Mapping[str, float] | None = None,
        name: str | None = None,
        ylabel: str | None = None,
    ) -> None:
        self.entanglement = entanglement
        self.entanglement_test = entanglement_test
        self.name = name
        self.ylabel = ylabel

    def plot(self, ax: Axes | None = None, *, line_kw: dict[str, Any] | None = None) -> Self:
        """Draw the lines.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. To compare networks with the same layers, pass the axes of another
            display. If None, a new figure and new axes are created.

        line_kw : dict, default=None
            Keyword arguments of `matplotlib.axes.Axes.plot`, for both lines.

        Returns
        -------
        display : EntanglementDisplay
            This display.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        from matplotlib.lines import Line2D

        style = with_own({"marker": "o"}, line_kw, Line2D)
        ax = axes_or_new(ax)
        self.line_test_: Line2D | None = None
        if self.entanglement_test is None:
            self.line_ = _draw(ax, self.entanglement, {"label": self.name, **style})
        else:
            of = "" if self.name is None else f"{self.name}, "
            training = {"linestyle": "--", "alpha": 0.5, "label": f"{of}training"}
            self.line_ = _draw(ax, self.entanglement, {**training, **style})
            test = {"color": self.line_.get_color(), "label": f"{of}test"}
            self.line_test_ = _draw(ax, self.entanglement_test, {**test, **style})
        ax.set(xlabel="Layer", ylabel=self.ylabel or "Entanglement")
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize="small")
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        X_test: ArrayLike | None = None,
        y_test: ArrayLike | None = None,
        temperature: float | Literal["auto"] = "auto",
        metric: Any = "cosine",
        name: str | None = None,
        ax: Axes | None = None,
        line_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the entanglement of the classes in each layer of an embedding.

        Parameters
        ----------
        estimator : estimator instance
            A fitted :class:`~sknca.SNNLEmbedding`.

        X : array-like of shape (n_samples, n_features)
            Samples.

        y : array-like of shape (n_samples,)
            Labels of the samples.

        X_test : array-like of shape (n_test, n_features), default=None
            Test samples, for a second line.

        y_test : array-like of shape (n_test,), default=None
            Labels of `X_test`.

        temperature : float or "auto", default="auto"
            A positive number, in units of the distance. "auto" means 0.1 with "cosine", 1 with
            "sqeuclidean" and 0.3 with "euclidean". Lines of different temperatures are not
            comparable.

        metric : {"sqeuclidean", "euclidean", "cosine"} or Metric, default="cosine"
            The distance between the activations of a layer.

        name : str, default=None
            Name of the network in the legend. If None, it has no name.

        ax, line_kw
            See :meth:`plot`.

        Returns
        -------
        display : EntanglementDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the estimator has no `layer_entanglement`, or the data are not as described.
        """
        method = f"{cls.__name__}.from_estimator"
        check_matplotlib_support(method)
        if not hasattr(estimator, "layer_entanglement"):
            raise ValueError(
                f"{method} only supports estimators with `layer_entanglement`; got {estimator!r}."
            )
        if (X_test is None) != (y_test is None):
            raise ValueError(
                "X_test and y_test must be given together; "
                f"got X_test={'None' if X_test is None else '...'}, "
                f"y_test={'None' if y_test is None else '...'}."
            )
        how: dict[str, Any] = {"temperature": temperature, "metric": metric}
        shown = metric if isinstance(metric, str) else "custom metric"
        given = shown if temperature == "auto" else f"T = {temperature:g}, {shown}"
        return cls(
            estimator.layer_entanglement(X, y, **how),
            entanglement_test=(
                None if X_test is None else estimator.layer_entanglement(X_test, y_test, **how)
            ),
            name=name,
            ylabel=f"Entanglement ({given})",
        ).plot(ax, line_kw=line_kw)


def _draw(ax: Axes, entanglement: Mapping[str, float], style: dict[str, Any]) -> Line2D:
    (line,) = ax.plot(list(entanglement), list(entanglement.values()), **style)
    return line
