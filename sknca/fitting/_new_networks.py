"""From the parameters to networks, built-in or custom."""

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .._random import FromGeneratorOfFit
from .._sparse_rows import Rows
from ..networks import MLP, Maker, answers_of, is_plain_maker
from ..training import torch_defaults
from ._plan import MOST_USUAL_COMPONENTS, Plan

#: Dropout of the hidden layers. The second is for many features and few samples per feature: then a
#: network finds, for each label, some feature that predicts it by chance.
DROPOUT = 0.2
DROPOUT_OF_WIDE_ROWS = 0.5
_MANY_FEATURES = 256
_SAMPLES_TO_A_FEATURE = 10


def make_network(
    maker: Maker | None,
    default: type[MLP],
    n_inputs: int,
    n_outputs: int,
    *,
    hidden_layer_sizes: Sequence[int],
    activation: str,
    dropout: float,
    name: str,
    sparse: bool = False,
) -> nn.Module:
    """A new network: a custom one if there is a `maker`, or a `default` after the parameters.

    Raises
    ------
    ValueError
        If a layer size is not positive, or `maker`, the parameter `name`, makes no module.
    """
    if maker is not None:
        return make_custom(maker, n_inputs, n_outputs, name)
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
        sparse=sparse,
    )


def make_custom(maker: Maker, n_inputs: int, n_outputs: int, name: str) -> nn.Module:
    """A copy of the user's module or of what their `maker`, the parameter `name`, makes.

    Raises
    ------
    ValueError
        If it makes no module.
    """
    if isinstance(maker, nn.Module):
        return copy.deepcopy(maker)
    # A plain class draws from the generator of the fit, as the package does.
    own = FromGeneratorOfFit() if is_plain_maker(maker) else nullcontext()
    with torch_defaults(), own:
        network = maker(n_inputs, n_outputs)
    if not isinstance(network, nn.Module):
        raise ValueError(f"{name} must return a torch.nn.Module, got {network!r}.")
    # It may return the same module at every call. The parameters of a copy are also contiguous in
    # memory, as the kernel of the optimizer requires.
    return copy.deepcopy(network)


def check_continues(
    plan: Plan,
    encoders: Sequence[nn.Module],
    maker: Maker | None,
    n_components: int,
    n_features: int,
) -> None:
    """Refuse parameters that mean other encoders than these, which `maker` made and a warm start
    continues.

    Raises
    ------
    ValueError
        That names the first such parameter.
    """
    wanted = plan.encoder
    asked: dict[str, Any] = {
        "encoder": wanted.maker,
        "n_members": wanted.n_members,
        "n_components": wanted.n_components,
    }
    fitted: dict[str, Any] = {
        "encoder": maker,
        "n_members": len(encoders),
        "n_components": n_components,
    }
    if asked["n_components"] is None:
        chosen = isinstance(wanted.maker, nn.Module)
        default = wanted.n_members * default_width(n_features)
        asked["n_components"] = n_components if chosen else default
    made_with = answers_of(encoders[0]).made_with() if maker is None else None
    for name, value in (made_with or {}).items():
        fitted[name], asked[name] = value, getattr(wanted, name)
        if asked[name] == "auto":
            asked[name] = value
        elif isinstance(value, list):
            asked[name] = [*asked[name]]
    for name, value in fitted.items():
        if asked[name] is not value and asked[name] != value:
            subject, advice = "warm_start=True", "Set warm_start=False"
            if not plan.parameters["warm_start"]:
                subject, advice = "partial_fit", "Call fit"
            raise ValueError(
                f"{subject} continues a network with {name}={value!r}, but now "
                f"{name}={plan.parameters[name]!r}. {advice} to train a new one."
            )


def chosen_dropout(dropout: float | Literal["auto"], n_features: int, n_samples: int) -> float:
    """The probability that the parameter means for samples of this shape."""
    if dropout != "auto":
        return dropout
    wide = n_features > _MANY_FEATURES and n_samples < _SAMPLES_TO_A_FEATURE * n_features
    return DROPOUT_OF_WIDE_ROWS if wide else DROPOUT


def default_width(n_features: int) -> int:
    """The number of components of a member if `n_components` is None."""
    return min(n_features, MOST_USUAL_COMPONENTS)


def width_of_output(network: nn.Module, x: Rows, expected: int | None, name: str) -> int:
    """The number of columns that the network, the parameter `name`, gives for rows like `x`.

    Raises
    ------
    ValueError
        If the network cannot read the rows or gives something else than `expected` columns.
    """
    network.eval()
    try:
        with torch.no_grad():
            output: Any = network(x[:2])
    except Exception as error:  # a custom module may raise anything
        raise ValueError(f"{name} fails on samples of {x.shape[1]} features: {error}") from error
    if not isinstance(output, Tensor):
        raise ValueError(f"{name} must return a torch.Tensor, got {type(output).__name__}.")
    shape = tuple(output.shape)
    if shape != (2, expected or shape[-1]) or not output.is_floating_point():
        wanted = expected or "n_components"
        raise ValueError(
            f"{name} must return floating-point codes of shape (n_samples, {wanted}), got "
            f"{output.dtype} of shape {shape} for two samples."
        )
    return shape[1]
