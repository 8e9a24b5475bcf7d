"""From the parameters to networks, the user's own included."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..networks import MLP
from ..training import torch_defaults


def make_network(
    maker: nn.Module | Callable[[int, int], nn.Module] | None,
    default: type[MLP],
    n_inputs: int,
    n_outputs: int,
    *,
    hidden_layer_sizes: Sequence[int],
    activation: str,
    dropout: float,
    name: str,
) -> nn.Module:
    """A new network: a copy of the user's module or of what their `maker` makes, or a
    `default` after the other parameters.

    Raises
    ------
    ValueError
        If a layer size is not positive, or `maker`, the parameter `name`, makes no module.
    """
    if maker is None:
        if not all(isinstance(size, (int, np.integer)) and size > 0 for size in hidden_layer_sizes):
            raise ValueError(
                f"hidden_layer_sizes must be a sequence of integers > 0, got {hidden_layer_sizes}."
            )
        return default(
            n_inputs,
            n_outputs,
            hidden_layer_sizes=[int(size) for size in hidden_layer_sizes],
            activation=activation,
            dropout=dropout,
        )
    if isinstance(maker, nn.Module):
        return copy.deepcopy(maker)
    with torch_defaults():
        network = maker(n_inputs, n_outputs)
    if not isinstance(network, nn.Module):
        raise ValueError(f"{name} must return a torch.nn.Module, got {network!r}.")
    # It may give the same module at every call. A copy's parameters also lie densely in memory,
    # as the optimizer's kernel takes them to.
    return copy.deepcopy(network)


def width_of_answer(network: nn.Module, x: Tensor, expected: int | None, name: str) -> int:
    """The number of columns that the network, the parameter `name`, gives for rows like `x`.

    Raises
    ------
    ValueError
        If the network cannot read the rows or gives something else than `expected` columns.
    """
    network.eval()
    try:
        with torch.no_grad():
            answer: Tensor = network(x[:2])
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"{name} cannot read rows of {x.shape[1]} features: {error}") from error
    shape = tuple(answer.shape)
    if shape != (2, expected or shape[-1]) or not answer.is_floating_point():
        wanted = expected or "n_components"
        raise ValueError(
            f"{name} must give floating rows of shape (n_samples, {wanted}), got {answer.dtype} "
            f"of shape {shape} for two rows."
        )
    return shape[1]
