"""Losses of an embedding during its training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from .._compat import check_matplotlib_support
from ._style import axes_or_new, with_own

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


class LossCurveDisplay:
    """Losses of an embedding over the epochs of its training.

    It is recommended to use :meth:`from_estimator` to create one. All parameters are stored
    as attributes.

    Parameters
    ----------
    loss : ndarray of shape (n_epochs,)
        Training loss.

    parts : dict from str to ndarray of shape (n_epochs,), default=None
        The parts of the training loss: the primary loss, and the soft nearest neighbor loss before
        it is multiplied by its weight.

    validation_loss : ndarray of shape (n_epochs,), default=None
        Validation loss. Its minimum is marked: `fit` kept the weights of this epoch.

    temperature : ndarray of shape (n_epochs,) or (n_epochs, n_layers), default=None
        Temperature. If it changes, it is drawn on a second axis.

    q : ndarray of shape (n_epochs,), default=None
        The `q` of the loss. If it changes, it is drawn on the second axis: training losses with
        different `q` are not comparable, and the curve jumps with `q`.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        Training loss, validation loss and the parts, if given.

    best_epoch_ : int or None
        The epoch with the lowest validation loss. Epochs are counted from 0, as in `history_`.

    best_line_ : matplotlib Line2D or None
        The marker of this epoch.

    temperature_lines_ : list of matplotlib Line2D
        One line for each temperature. Empty if the temperature does not change.

    temperature_ax_ : matplotlib Axes or None
        Axes with the temperature.

    q_line_ : matplotlib Line2D or None
        The line of `q`. None if it does not change.

    ax_ : matplotlib Axes
        Axes with the losses.

    figure_ : matplotlib Figure
        Figure that holds the axes.

    See Also
    --------
    EmbeddingDisplay : Scatter plot of an embedding.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sknca import SNNLEmbedding
    >>> from sknca.plotting import LossCurveDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> embedding = SNNLEmbedding(max_iter=5, random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(embedding)
    >>> display.ax_.get_xlabel()
    'Epoch'
    """

    def __init__(
        self,
        loss: NDArray[Any],
        *,
        parts: Mapping[str, NDArray[Any]] | None = None,
        validation_loss: NDArray[Any] | None = None,
        temperature: NDArray[Any] | None = None,
        q: NDArray[Any] | None = None,
    ) -> None:
        self.loss = loss
        self.parts = parts
        self.validation_loss = validation_loss
        self.temperature = temperature
        self.q = q

    def plot(self, ax: Axes | None = None, *, line_kw: dict[str, Any] | None = None) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. If None, a new figure and new axes are created.

        line_kw : dict, default=None
            Keyword arguments of `matplotlib.axes.Axes.plot`, for all losses.

        Returns
        -------
        display : LossCurveDisplay
            This display.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        from matplotlib.lines import Line2D
        from matplotlib.ticker import MaxNLocator

        style = with_own({}, line_kw, Line2D)
        ax = axes_or_new(ax)
        self.lines_ = ax.plot(self.loss, **{"label": "training loss", **style})
        self.best_epoch_: int | None = None
        self.best_line_: Line2D | None = None
        if self.validation_loss is not None:
            self.lines_ += ax.plot(self.validation_loss, **{"label": "validation loss", **style})
            best = int(np.argmin(self.validation_loss))
            self.best_epoch_ = best
            (self.best_line_,) = ax.plot(
                [best],
                self.validation_loss[[best]],
                label=f"best epoch ({best})",
                color=self.lines_[-1].get_color(),
                linestyle="",
                marker="o",
            )
        for name, part in (self.parts or {}).items():
            self.lines_ += ax.plot(part, **{"label": name, "linestyle": "--", **style})
        ax.set(xlabel="Epoch", ylabel="Loss")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.ax_ = ax
        self.figure_ = ax.figure
        self._plot_settings()
        marks = [line for line in (self.best_line_, self.q_line_) if line is not None]
        handles = [*self.lines_, *marks, *self.temperature_lines_[:1]]
        ax.legend(handles=handles, fontsize="small")
        return self

    def _plot_settings(self) -> None:
        """Draw the temperature and `q` behind the losses, if they change."""
        self.temperature_ax_: Axes | None = None
        self.temperature_lines_: list[Line2D] = []
        self.q_line_: Line2D | None = None
        temperature, q = (
            None if curve is None or not np.ptp(curve, axis=0).any() else curve
            for curve in (self.temperature, self.q)
        )
        if temperature is None and q is None:
            return
        background = self.ax_.patch
        visible = background.get_visible()
        ax = self.ax_.twinx()
        if temperature is not None:
            self.temperature_ax_ = ax
            n_layers = temperature[0].size
            self.temperature_lines_ = ax.plot(
                temperature,
                color="0.5",
                linestyle=":",
                label="temperature" if n_layers == 1 else f"temperatures of {n_layers} layers",
            )
        if q is not None:
            (self.q_line_,) = ax.plot(q, color="0.5", linestyle="-.", label="q")
        names = [] if temperature is None else ["Temperature"]
        ax.set_ylabel(", ".join(names if q is None else [*names, "q"]))
        # The second axis and the background are drawn behind the losses and the legend.
        self.ax_.set_zorder(ax.get_zorder() + 1)
        ax.patch.set(visible=visible, facecolor=background.get_facecolor())
        background.set_visible(False)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Axes | None = None, line_kw: dict[str, Any] | None = None
    ) -> Self:
        """Draw the losses of the last `fit` of an embedding.

        Parameters
        ----------
        estimator : estimator instance
            A fitted :class:`~sknca.SNNLEmbedding` or :class:`~sknca.TripletEmbedding`. If it is a
            step of a pipeline, pass this step.

        ax, line_kw
            See :meth:`plot`.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If the estimator has no record of a training.
        """
        method = f"{cls.__name__}.from_estimator"
        check_matplotlib_support(method)
        check_is_fitted(estimator)
        history = getattr(estimator, "history_", None)
        if not history:
            raise ValueError(
                f"{method} only supports estimators with epochs in `history_`; got {estimator!r}."
            )

        curves = {
            name: np.array([record[name] for record in history])
            for name in history[0]
            # Epochs of an earlier version, or of a stream after a fit, may have other entries.
            if all(record.get(name) is not None for record in history)
        }
        # Other entries of a record are not drawn as losses.
        parts = {name: curves[name] for name in estimator._objective.parts if name in curves}
        return cls(
            curves["loss"],
            parts=parts if len(parts) > 1 else None,  # a single one is the loss itself
            validation_loss=curves.get("validation_loss"),
            temperature=curves.get("temperature"),
            q=curves.get("q"),
        ).plot(ax, line_kw=line_kw)
