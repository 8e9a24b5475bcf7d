"""AdamW, step by step as torch has it."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from .._torch_compat import adamw_step

#: The names of the tensors that belong to a parameter.
_NAMES = ("mean", "square", "step")

#: This many rows are changed together, so that they stay in the cache.
_ROWS_AT_HAND = 256

_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class AdamW:
    """AdamW by torch's fused kernel, without the rest of `torch.optim`.

    If a gradient is sparse, only its rows change, as with `torch.optim.SparseAdam`. Each row counts
    its own steps.

    Making an optimizer of `torch.optim` first imports torch's compiler, which takes longer than
    many fits, and each of its steps has an overhead that matters if batches are small.

    Parameters
    ----------
    groups : iterable of dict
        Each has its parameters as "params", and its own "weight_decay" if it has one.

    lr : float
        The learning rate: of each group its "lr", which may be set before any step.

    weight_decay : float
        Decoupled weight decay.

    Attributes
    ----------
    param_groups : list of dict
        The groups, with all that belongs to them.

    References
    ----------
    I. Loshchilov, F. Hutter. "Decoupled Weight Decay Regularization". ICLR 2019.
    """

    has_fixed_steps = True  # they may be recorded on a GPU

    def __init__(
        self, groups: Iterable[Mapping[str, Any]], *, lr: float, weight_decay: float
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay}
        self.param_groups: list[dict[str, Any]] = [{**defaults, **group} for group in groups]
        self._state: dict[Tensor, tuple[Tensor, Tensor, Tensor]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Change each parameter that has a gradient by it."""
        for group in self.param_groups:
            parameters = []
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter.grad.is_sparse or self._counts_rows(parameter):
                    self._step_of_rows(parameter, group)
                else:
                    parameters.append(parameter)
            if not parameters:
                continue
            states = map(self._state_of, parameters)
            means, squares, steps = map(list, zip(*states, strict=True))
            adamw_step(
                parameters,
                [p.grad for p in parameters],
                means,
                squares,
                steps,
                lr=group["lr"],
                betas=_BETAS,
                weight_decay=group["weight_decay"],
                eps=_EPSILON,
            )

    def _counts_rows(self, parameter: Tensor) -> bool:
        """Whether the gradient of a parameter was sparse before."""
        return parameter in self._state and self._state[parameter][2].ndim > 0

    def _step_of_rows(self, parameter: Tensor, group: Mapping[str, Any]) -> None:
        """Change the rows that the gradient is of, each as if its steps were all that there are."""
        assert parameter.grad is not None
        grad = parameter.grad.to_sparse(1).coalesce()
        mean, square, step = self._state_of(parameter, len(parameter), 1)
        (beta_1, beta_2), rate = _BETAS, group["lr"]
        some = zip(
            grad.indices()[0].split(_ROWS_AT_HAND), grad.values().split(_ROWS_AT_HAND), strict=True
        )
        for rows, g in some:
            n = step.index_select(0, rows).add_(1)
            m = mean.index_select(0, rows).lerp_(g, 1 - beta_1)
            s = square.index_select(0, rows).mul_(beta_2).addcmul_(g, g, value=1 - beta_2)
            for whole, part in ((step, n), (mean, m), (square, s)):
                whole.index_copy_(0, rows, part)
            m /= 1 - beta_1**n
            s.div_(1 - beta_2**n).sqrt_().add_(_EPSILON)
            p = parameter.index_select(0, rows).mul_(1 - rate * group["weight_decay"])
            parameter.index_copy_(0, rows, p.sub_(m.div_(s).mul_(rate)))

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """The state of each parameter that was changed, by its place among all."""
        return {
            str(i): dict(zip(_NAMES, self._state[parameter], strict=True))
            for i, parameter in enumerate(self._parameters())
            if parameter in self._state
        }

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Continue the optimizer of the same parameters that had this state.

        Raises
        ------
        ValueError
            If the state is of other parameters.
        """
        parameters = self._parameters()
        self._state = {}
        for place, tensors in state.items():
            parameter = parameters[int(place)]
            mean, square, step = (tensors[name].to(parameter.device) for name in _NAMES)
            alike = mean.shape == square.shape == parameter.shape
            if not alike or step.shape not in ((), (len(parameter), 1)):
                raise ValueError("The state of the optimizer is that of another network.")
            self._state[parameter] = mean, square, step

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _state_of(self, parameter: Tensor, *shape: int) -> tuple[Tensor, Tensor, Tensor]:
        """Running means of the gradient and of its square, and the number of steps, one or of this
        shape.
        """
        if parameter not in self._state:
            mean, square = torch.zeros_like(parameter), torch.zeros_like(parameter)
            step = torch.zeros(shape, dtype=torch.float32, device=parameter.device)
            self._state[parameter] = mean, square, step
        return self._state[parameter]
