"""What every estimator of the package is to scikit-learn."""

from collections.abc import Iterator
from contextlib import contextmanager

from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin

from ..training import TrainingInterrupted


class Estimator(CallbackSupportMixin, BaseEstimator):
    """An estimator that takes callbacks, and whose picture in a notebook explains itself."""

    # scikit-learn shows what a parameter means, when the mouse is over it, where its name is a
    # link. The package has no address on the web yet: these links stay on the page.
    _doc_link_module = "sknca"
    _doc_link_template = "#{estimator_name}"

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Puts the estimator back as it was where a fit fails."""
        before = self.__dict__.copy()
        try:
            yield
        except TrainingInterrupted:  # what was learned before is kept
            raise
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
