"""The table of activations."""

from collections.abc import Callable

from torch import nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}

_NAMES = {type(make()): name for name, make in ACTIVATIONS.items()}


def name_of_activation(module: nn.Module) -> str | None:
    """Its key in the table, None if it has none."""
    return _NAMES.get(type(module))
