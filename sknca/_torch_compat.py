"""Private names of torch, and what differs between its versions.

No other file uses a private name of it, so that a new release is looked at here alone.

torch 2.13: its fused kernel of AdamW is reached by `torch.optim` alone, whose import takes longer
than many a fit.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

#: The logger of torch's exporter that reports what else could be installed (torch 2.13).
QUIET_LOGGER_OF_EXPORT = "torch.onnx._internal.exporter._registration"

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


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
