"""Private names of scikit-learn and torch, and what differs between their versions.

No other file uses a private name of theirs, so that a new release is looked at here alone.

scikit-learn 1.9: parameter validation (`Interval`, `StrOptions`, `validate_params`, the decorator
of `fit`) is what its own estimators use, so that errors are in its words; feature names and counts
of further arrays (`X_val`) have no public check; nor have sample weights, pairs of label vectors,
and a missing matplotlib.

torch 2.13: its fused kernel of AdamW is reached by `torch.optim` alone, whose import takes longer
than many a fit.
"""

from typing import Any

import torch
from sklearn.base import _fit_context
from sklearn.metrics.cluster._supervised import check_clusterings
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import Interval, StrOptions, validate_params
from sklearn.utils.validation import (
    _check_feature_names as check_feature_names,
)
from sklearn.utils.validation import (
    _check_n_features as check_n_features,
)
from sklearn.utils.validation import (
    _check_sample_weight,
)
from torch import Tensor, nn
from torch import distributed as dist

from ._typing import with_types

__all__ = [
    "OUTPUT_CONFIG",
    "QUIET_LOGGER_OF_EXPORT",
    "CallbackSupportMixin",
    "Interval",
    "LinksToThePage",
    "StrOptions",
    "adamw_step",
    "all_gather",
    "check_clusterings",
    "check_feature_names",
    "check_matplotlib_support",
    "check_n_features",
    "check_parameters",
    "check_sample_weight",
    "context_of_callbacks",
    "fit_context",
    "has_callbacks",
    "has_forward_hooks",
    "has_hooks",
    "reduce_scatter",
    "sparse_checks_as_they_are",
    "store_of_processes",
    "validate_params",
]

#: The decorator of `fit` and `partial_fit`.
fit_context = with_types(_fit_context(prefer_skip_nested_validation=True))

#: The attribute that `set_output` sets (scikit-learn 1.9).
OUTPUT_CONFIG = "_sklearn_output_config"

#: The logger of torch's exporter that reports what else could be installed (torch 2.13).
QUIET_LOGGER_OF_EXPORT = "torch.onnx._internal.exporter._registration"

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


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


def check_sample_weight(sample_weight: Any, X: Any) -> Any:
    """Weights (n,) as scikit-learn checks them, none of which is negative."""
    weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
    if not weight.any():  # scikit-learn 1.6 does not refuse them
        raise ValueError("Sample weights must contain at least one non-zero number.")
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


def has_hooks(module: nn.Module) -> bool:
    """Whether anything is hooked to a module itself or to its parameters."""
    return any(getattr(module, name) for name in _HOOKS) or any(
        parameter._backward_hooks for parameter in module.parameters(recurse=False)
    )


def has_forward_hooks(module: nn.Module) -> bool:
    """Whether functions are called after a module's forward pass."""
    return bool(module._forward_hooks)


def adamw_step(
    parameters: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    steps: list[Tensor],
    *,
    lr: Any,
    betas: tuple[float, float],
    weight_decay: float,
    eps: float,
) -> None:
    """One step of torch's fused AdamW, which also counts it in `steps`."""
    torch._foreach_add_(steps, 1)
    torch._fused_adamw_(
        parameters,
        gradients,
        means,
        squares,
        [],
        steps,
        lr=lr,
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=weight_decay,
        eps=eps,
        amsgrad=False,
        maximize=False,
    )


def sparse_checks_as_they_are() -> Any:
    """Within it, torch checks its sparse tensors if it did before. Having been told, torch 2.11
    does not warn that it does not.
    """
    checks: Any = torch.sparse.check_sparse_tensor_invariants
    return checks(checks.is_enabled())


def store_of_processes() -> Any:
    """The store by which the processes of torch's group have found each other (torch 2.13 has no
    public name for it).
    """
    from torch.distributed.distributed_c10d import _get_default_store

    return _get_default_store()


def all_gather(gathered: Tensor, part: Tensor) -> None:
    """The parts of all processes one after the other (torch 2.13 has renamed it)."""
    gather: Any = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    gather(gathered, part)


def reduce_scatter(part: Tensor, whole: Tensor) -> None:
    """The part of this process of the sum over all processes (torch 2.13 has renamed it)."""
    scatter: Any = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
    scatter(part, whole)
