"""What scikit-learn requires of every estimator of the package."""

from collections.abc import Iterator
from contextlib import contextmanager

from sklearn.base import BaseEstimator

from .._compat import CallbackSupportMixin, LinksToThePage
from ..training import TrainingInterrupted


class Estimator(LinksToThePage, CallbackSupportMixin, BaseEstimator):
    """An estimator with callbacks, and with documentation of its parameters in notebooks."""

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Restores the estimator if a fit fails."""
        before = self.__dict__.copy()
        try:
            yield
        except TrainingInterrupted:  # what was learned before is kept
            raise
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
