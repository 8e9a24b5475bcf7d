"""scikit-learn's callbacks: a fit is a task, and each epoch is a task within it."""

import copy
from collections.abc import Callable
from typing import Any

from .._compat import context_of_callbacks, has_callbacks
from ..fitting import Fitted
from ._estimator import Estimator


class FitCallbacks:
    """Calls the callbacks of an estimator in one fit.

    It must be made within `fit`, before the estimator changes: scikit-learn keeps what it needs to
    end the callbacks on the estimator, and clears it when `fit` returns.

    Parameters
    ----------
    estimator : Estimator
        The estimator that is fitted.

    X, y, sample_weight, X_val, y_val
        What `fit` was given. At the end of each task, callbacks get the validation samples, if
        there are any, because what they score there should be what the fit has not seen.

    max_epochs : int, default=0
        The greatest number of epochs. 0: the fit is one task. None: it is not known yet.
    """

    def __init__(
        self,
        estimator: Estimator,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        X_val: Any = None,
        y_val: Any = None,
        max_epochs: int | None = 0,
    ) -> None:
        self._estimator: Any = estimator
        self._given = {
            "estimator": estimator,
            "X": X,
            "y": y,
            "metadata": None if sample_weight is None else {"sample_weight": sample_weight},
        }
        self._at_end = self._given
        if X_val is not None:
            self._at_end = {"estimator": estimator, "X": X_val, "y": y_val, "metadata": None}
        self._fit = context_of_callbacks(estimator, max_epochs)
        self._fit.call_on_fit_task_begin(**self._given)
        self._epoch: Any = None
        self._has_any = has_callbacks(estimator)

    @property
    def of_epochs(self) -> "FitCallbacks | None":
        """Itself, if the estimator has callbacks."""
        return self if self._has_any else None

    def begin_epoch(self) -> None:
        self._epoch = self._fit.subcontext(task_name="epoch")
        self._epoch.call_on_fit_task_begin(**self._given)

    def end_epoch(self, found: Callable[[], Fitted]) -> bool:
        """Whether a callback asks the fit to stop here. A callback that asks for a fitted estimator
        gets one as if the fit had stopped.
        """

        def attributes() -> dict[str, Any]:
            fitted: Any = copy.copy(self._estimator)
            fitted._keep(found())
            kept: dict[str, Any] = vars(fitted)
            return kept

        asked: bool = self._epoch.call_on_fit_task_end(
            **self._at_end, reconstruction_attributes=attributes
        )
        return asked

    def end_fit(self) -> None:
        """Must be called when the estimator is fitted."""
        self._fit.call_on_fit_task_end(**self._at_end, reconstruction_attributes={})
