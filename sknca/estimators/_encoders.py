"""From the parameters to networks, the user's own included."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..networks import MLP
from ..training import torch_defaults


def make_mlp(
    maker: Callable[[int, int], nn.Module] | None,
    n_inputs: int,
    n_outputs: int,
    *,
    hidden_layer_sizes: Sequence[int],
    activation: str,
    dropout: float,
    name: str,
) -> nn.Module:
    """A new network: what the user's `maker` makes, or an MLP after the other parameters.

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
        return MLP(
            n_inputs,
            n_outputs,
            hidden_layer_sizes=[int(size) for size in hidden_layer_sizes],
            activation=activation,
            dropout=dropout,
        )
    with torch_defaults():
        network = maker(n_inputs, n_outputs)
    if not isinstance(network, nn.Module):
        raise ValueError(f"{name} must return a torch.nn.Module, got {network!r}.")
    return network


def width_of_codes(network: nn.Module, x: Tensor, expected: int | None) -> int:
    """The number of components that the network gives, seen on two rows of `x`.

    Raises
    ------
    ValueError
        If the network cannot read the row or gives something else than `expected`.
    """
    network.eval()
    try:
        with torch.no_grad():
            codes: Tensor = network(x[:2])
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"encoder cannot read rows of {x.shape[1]} features: {error}") from error
    shape = tuple(codes.shape)
    if shape != (2, expected or shape[-1]) or not codes.is_floating_point():
        raise ValueError(
            f"encoder must give floating codes of shape (n_samples, {expected or 'n_components'}), "
            f"got {codes.dtype} of shape {shape} for two rows."
        )
    return shape[1]
