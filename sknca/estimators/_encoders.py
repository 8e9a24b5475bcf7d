"""From the parameters to networks, the user's own included."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..networks import ACTIVATIONS, MLP
from ..training import torch_defaults
from ._parameters import EmbeddingParameters

#: Of the hidden layers; and if features are many, and samples few for them, so that a network
#: finds some feature that happens to tell each label.
DROPOUT = 0.2
DROPOUT_OF_WIDE_ROWS = 0.5
_MANY_FEATURES = 256
_SAMPLES_TO_A_FEATURE = 10


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


def check_continues(
    parameters: EmbeddingParameters,
    encoder: nn.Module,
    maker: nn.Module | Callable[[int, int], nn.Module] | None,
    n_components: int,
    n_features: int,
) -> None:
    """Refuse parameters that mean another encoder than this one, which `maker` had made and a
    warm start is to continue.

    Raises
    ------
    ValueError
        That names the first such parameter.
    """
    asked: dict[str, Any] = {"encoder": parameters.encoder, "n_components": parameters.n_components}
    fitted: dict[str, Any] = {"encoder": maker, "n_components": n_components}
    if asked["n_components"] is None:
        chosen = isinstance(parameters.encoder, nn.Module)
        asked["n_components"] = n_components if chosen else default_width(n_features)
    if maker is None and isinstance(encoder, MLP):
        layers = list(encoder.hidden)
        asked["hidden_layer_sizes"] = [*parameters.hidden_layer_sizes]
        fitted["hidden_layer_sizes"] = [layer.get_submodule("0").out_features for layer in layers]
        if layers:
            asked |= {"activation": parameters.activation, "dropout": parameters.dropout}
            if asked["dropout"] == "auto":
                asked["dropout"] = layers[0].get_submodule("2").p
            kind, dropout = type(layers[0].get_submodule("1")), layers[0].get_submodule("2").p
            names = {type(make()): name for name, make in ACTIVATIONS.items()}
            fitted |= {"activation": names[kind], "dropout": dropout}
    for name, value in fitted.items():
        if asked[name] is not value and asked[name] != value:
            raise ValueError(
                f"warm_start=True continues a network of {name}={value!r}, but now "
                f"{name}={getattr(parameters, name)!r}. Set warm_start=False to train a new one."
            )


def chosen_dropout(dropout: float | Literal["auto"], n_features: int, n_samples: int) -> float:
    """The probability that the parameter means for rows like those."""
    if dropout != "auto":
        return dropout
    wide = n_features > _MANY_FEATURES and n_samples < _SAMPLES_TO_A_FEATURE * n_features
    return DROPOUT_OF_WIDE_ROWS if wide else DROPOUT


def default_width(n_features: int) -> int:
    """The number of components, if nobody says another."""
    return min(n_features, 32)


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
            answer: Any = network(x[:2])
    except Exception as error:  # whatever a module of the user's may raise
        raise ValueError(f"{name} cannot read rows of {x.shape[1]} features: {error}") from error
    if not isinstance(answer, Tensor):
        raise ValueError(f"{name} must give a torch.Tensor, got {type(answer).__name__}.")
    shape = tuple(answer.shape)
    if shape != (2, expected or shape[-1]) or not answer.is_floating_point():
        wanted = expected or "n_components"
        raise ValueError(
            f"{name} must give floating rows of shape (n_samples, {wanted}), got {answer.dtype} "
            f"of shape {shape} for two rows."
        )
    return shape[1]
