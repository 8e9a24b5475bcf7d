"""When to stop, and which epoch was the best."""

import math
from collections.abc import Mapping


class Stopping:
    """Watches the loss of each epoch.

    Parameters
    ----------
    tol : float or None
        The least improvement that counts. If None, the training is never stopped.

    patience : int
        Epochs without such an improvement, after which to stop.

    Attributes
    ----------
    best_loss : float
        The lowest loss so far.
    """

    def __init__(self, tol: float | None, patience: int) -> None:
        self.tol = tol
        self.patience = patience
        self.best_loss = math.inf
        self._reference = math.inf  # what the next loss has to improve on by tol
        self._waited = 0

    def update(self, loss: float) -> bool:
        """Take the loss of an epoch; is it the best so far?"""
        if self.tol is not None and loss < self._reference - self.tol:
            self._reference = loss
            self._waited = 0
        else:
            self._waited += 1
        is_best = loss < self.best_loss
        if is_best:
            self.best_loss = loss
        return is_best

    def state_dict(self) -> dict[str, float]:
        """What changes from epoch to epoch."""
        return {"best": self.best_loss, "reference": self._reference, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        self.best_loss, self._reference = state["best"], state["reference"]
        self._waited = int(state["waited"])

    @property
    def should_stop(self) -> bool:
        return self.tol is not None and self._waited >= self.patience
