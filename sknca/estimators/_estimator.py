"""What every estimator of the package is to scikit-learn."""

from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin


class Estimator(CallbackSupportMixin, BaseEstimator):
    """An estimator that takes callbacks, and whose picture in a notebook explains itself."""

    # scikit-learn shows what a parameter means, when the mouse is over it, where its name is a
    # link. The package has no address on the web yet: these links stay on the page.
    _doc_link_module = "sknca"
    _doc_link_template = "#{estimator_name}"
