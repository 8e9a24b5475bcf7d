"""Private names of scikit-learn, and what differs between its versions.

No other file uses a private name of it, so that a new release is looked at here alone. Those of
torch are in `_torch_compat.py`, because the rooms below the estimators use no scikit-learn.

scikit-learn 1.9: parameter validation (`HasMethods`, `Interval`, `StrOptions`, `validate_params`,
the decorator of `fit`) is what its own estimators use, so that errors are in its words. There is
no public check of feature names and counts of further arrays (`X_val`), of sample weights, of pairs
of label vectors, and of a missing matplotlib.
"""

from inspect import signature
from typing import Any

from sklearn.base import _fit_context
from sklearn.metrics.cluster._supervised import check_clusterings
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params
from sklearn.utils.validation import (
    _check_feature_names as check_feature_names,
)
from sklearn.utils.validation import (
    _check_n_features as check_n_features,
)
from sklearn.utils.validation import (
    _check_sample_weight,
)

from ._typing import with_types

__all__ = [
    "NO_WEIGHT",
    "OF_LATER_FITS",
    "OUTPUT_CONFIG",
    "CallbackSupportMixin",
    "HasMethods",
    "Interval",
    "LinksToThePage",
    "StrOptions",
    "check_clusterings",
    "check_feature_names",
    "check_matplotlib_support",
    "check_n_features",
    "check_parameters",
    "check_sample_weight",
    "context_of_callbacks",
    "fit_context",
    "has_callbacks",
    "n_threads_of_sklearn",
    "samples_of_neighbors",
    "validate_params",
]

#: The decorator of `fit` and `partial_fit`.
fit_context = with_types(_fit_context(prefer_skip_nested_validation=True))

#: Attributes of steps that only a later fit uses: metadata requests and callbacks.
OF_LATER_FITS = {"_metadata_request", "_skl_callbacks"}

#: The attribute that `set_output` sets (scikit-learn 1.9).
OUTPUT_CONFIG = "_sklearn_output_config"

#: What scikit-learn says of sample weights that are all zero.
NO_WEIGHT = "Sample weights must contain at least one non-zero number."


class LinksToThePage:
    """Where the names in a picture of an estimator link to: scikit-learn 1.9 shows what a parameter
    means, when the mouse is over it, only if its name is a link. The package has no address on the
    web yet, so these links stay on the page.
    """

    _doc_link_module = "sknca"
    _doc_link_template = "#{estimator_name}"


def check_parameters(estimator: Any) -> None:
    """Refuse parameters that are not as the estimator's constraints say."""
    estimator._validate_params()


def check_sample_weight(sample_weight: Any, X: Any, *, may_be_zero: bool = False) -> Any:
    """Weights (n,) as scikit-learn checks them, none of which is negative."""
    options: dict[str, Any] = {"ensure_non_negative": True}
    if "allow_all_zero_weights" in signature(_check_sample_weight).parameters:
        options["allow_all_zero_weights"] = may_be_zero
    weight = _check_sample_weight(sample_weight, X, **options)
    if not (may_be_zero or weight.any()):  # scikit-learn 1.6 does not refuse them
        raise ValueError(NO_WEIGHT)
    return weight


try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before scikit-learn 1.9, whose estimators take no callbacks

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing: callbacks need scikit-learn 1.9."""


class _NoCallbacks:
    """The context of a fit without callbacks."""

    def call_on_fit_task_begin(self, **_: Any) -> None: ...

    def call_on_fit_task_end(self, **_: Any) -> bool:
        return False


def context_of_callbacks(estimator: Any, max_subtasks: int | None) -> Any:
    """The context of a fit, for its callbacks (new in scikit-learn 1.9)."""
    if not hasattr(estimator, "_init_callback_context"):
        return _NoCallbacks()
    return estimator._init_callback_context(max_subtasks=max_subtasks)


def has_callbacks(estimator: Any) -> bool:
    return hasattr(estimator, "_skl_callbacks")


def samples_of_neighbors(classifier: Any) -> tuple[Any, Any]:
    """The samples that a nearest-neighbor classifier was fitted on, and the places of their labels
    among its classes, which have no public names.
    """
    return classifier._fit_X, classifier._y


def n_threads_of_sklearn() -> int:
    """How many threads KMeans has, which it stores when it is fitted."""
    n_threads: int = _openmp_effective_n_threads()
    return n_threads
