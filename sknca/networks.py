"""The networks that are trained where the user brings none, and what their layers answer."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .functional._distances import unit_rows

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}

#: Rows that go through a network at once after training. Every such pass has this shape: a
#: matrix product may round a row differently among 3 rows than among 300, and a code must
#: not depend on the company its row comes in.
CHUNK_ROWS = 256

#: The name of a network's last layer: that of the network itself among its modules.
CODE = ""


class MLP(nn.Module):
    """Hidden layers (linear, activation, dropout) and a linear layer: an encoder or a decoder.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Widths of what it reads and of what it gives.

    hidden_layer_sizes : sequence of int
        Widths of the hidden layers. Empty: a linear map.

    activation : str
        A key of `ACTIVATIONS`.

    dropout : float
        Probability with which a hidden unit is silenced in training.
    """

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        *,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__()
        widths = [n_inputs, *hidden_layer_sizes]
        self.hidden = nn.ModuleList(
            nn.Sequential(linear(fan_in, fan_out), ACTIVATIONS[activation](), nn.Dropout(dropout))
            for fan_in, fan_out in pairwise(widths)
        )
        self.output = linear(widths[-1], n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = layer(x)
        output: Tensor = self.output(x)
        return output


class UnitCode(nn.Module):
    """An encoder whose codes are brought to length one; a zero code stays zero."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        return unit_rows(self.encoder(x))


def linear(fan_in: int, fan_out: int) -> nn.Linear:
    # Named explicitly, so that a user's default dtype and device stay out of it.
    return nn.Linear(fan_in, fan_out, device="cpu", dtype=torch.float32)


def hidden_layers(network: nn.Module) -> list[str]:
    """Names of a network's hidden layers: of an `MLP` what they are; of another network its
    submodules one level down (below any that is alone, or a mere list), but the last. A
    module that stands in two places has no answer of its own, and is left out.
    """
    if isinstance(network, UnitCode):
        return [f"encoder.{name}" for name in hidden_layers(network.encoder)]
    if isinstance(network, MLP):
        return [f"hidden.{i}" for i in range(len(network.hidden))]
    layers = [name for name, _ in _children(network)][:-1]
    places = Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    return [name for name in layers if places[id(network.get_submodule(name))] == 1]


def _children(network: nn.Module) -> list[tuple[str, nn.Module]]:
    children = []
    for name, child in network._modules.items():
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):  # which answer nothing themselves
            children += [(f"{name}.{inner}", module) for inner, module in child.named_children()]
        elif child is not None:
            children.append((name, child))
    if len(children) == 1 and (inside := _children(children[0][1])):
        name = children[0][0]
        return [(f"{name}.{inner}", module) for inner, module in inside]
    return children


def run_layers(network: nn.Module, x: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """What the named modules of a network answer to `x` (n, d), as matrices (n, units), and
    its code.

    Hidden answers are taken by hooks from the one forward pass: they are those of the
    network as it runs. Of a tuple, as a recurrent layer gives, it is the first.

    Raises
    ------
    ValueError
        If a named module is not called exactly once, or does not answer a tensor.
    """
    answers: dict[str, Tensor] = {}
    handles = []
    hidden = [name for name in names if name != CODE]
    for name in hidden:

        def keep(_: nn.Module, __: object, answer: Any, name: str = name) -> None:
            answer = answer[0] if isinstance(answer, tuple) else answer
            if name in answers or not isinstance(answer, Tensor):
                raise ValueError(
                    f"layer {name!r} of the encoder must be called once and answer a tensor."
                )
            # A copy, for a later module may work in place.
            answers[name] = answer.flatten(1).clone()

        handles.append(network.get_submodule(name).register_forward_hook(keep))
    try:
        answers[CODE] = network(x)
    finally:
        for handle in handles:
            handle.remove()
    for name in hidden:
        if name not in answers:
            raise ValueError(f"layer {name!r} of the encoder is never called.")
    return answers


def apply(network: nn.Module, x: Tensor) -> Tensor:
    """What a trained network answers to the rows of `x` (n, d)."""
    return apply_layers(network, x, [CODE])[CODE]


def apply_layers(network: nn.Module, x: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """What the named modules of a trained network answer to the rows of `x` (n, d): without
    gradient, and in evaluation mode, in which the network is left.
    """
    network.eval()
    names = [*names]
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        chunks = [_run_chunk(network, chunk, names) for chunk in x.split(CHUNK_ROWS)]
    return {name: torch.cat([chunk[name] for chunk in chunks]) for name in names}


def _run_chunk(network: nn.Module, x: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    n = len(x)
    if n < CHUNK_ROWS:
        x = torch.cat([x, x[-1:].expand(CHUNK_ROWS - n, *x.shape[1:])])
    return {name: answer[:n] for name, answer in run_layers(network, x, names).items()}


def choose_layers(network: nn.Module, layers: str | Sequence[int | str]) -> list[str]:
    """Names of the modules that the parameter `layers` means.

    Raises
    ------
    ValueError
        If there is no such layer, or none is named.
    """
    every = [*hidden_layers(network), CODE]
    if isinstance(layers, str):
        return every if layers == "all" else [CODE]
    prefix = "encoder." if isinstance(network, UnitCode) else ""
    known = dict(network.named_modules(remove_duplicate=False))
    chosen: list[str] = []
    for layer in layers:
        if isinstance(layer, str):
            name = CODE if layer == "code" else prefix + layer.removeprefix("encoder.")
            found = name in known
        else:
            found = isinstance(layer, (int, np.integer)) and -len(every) <= layer < len(every)
            name = every[layer] if found else CODE
        if not found or name in chosen:
            shown = [describe_layer(network, name) for name in every]
            problem = "twice the layer" if found else "no layer"
            raise ValueError(f"layers={layers!r} names {problem} {layer!r}; there are {shown}.")
        chosen.append(name)
    if not chosen:
        raise ValueError(f"layers must name a layer at least, got {layers!r}.")
    return chosen


def describe_layer(network: nn.Module, name: str) -> str:
    """What a user calls the layer: the code "code", others by their name in the encoder."""
    if name == CODE:
        return "code"
    name = name.removeprefix("encoder.") if isinstance(network, UnitCode) else name
    return f"encoder.{name}" if name in ("code", "input") else name
