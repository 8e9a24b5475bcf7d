"""The networks that are trained where the user brings none, and what their layers answer."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

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
    """Names of a network's hidden layers: of an `MLP` what they are, of another network its
    direct submodules but the last.
    """
    prefix = ""
    if isinstance(network, UnitCode):
        prefix, network = "encoder.", network.encoder
    if isinstance(network, MLP):
        return [f"{prefix}hidden.{i}" for i in range(len(network.hidden))]
    return [prefix + name for name, _ in network.named_children()][:-1]


def run_layers(network: nn.Module, x: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """What the named modules of a network answer to `x` (n, d), as matrices (n, units), and
    its code.

    Hidden answers are taken by hooks from the one forward pass: they are those of the
    network as it runs.
    """
    answers: dict[str, Tensor] = {}
    handles = []
    for name in names:
        if name == CODE:
            continue

        def keep(_: nn.Module, __: object, answer: Tensor, name: str = name) -> None:
            answers[name] = answer.flatten(1)

        handles.append(network.get_submodule(name).register_forward_hook(keep))
    try:
        answers[CODE] = network(x)
    finally:
        for handle in handles:
            handle.remove()
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
    if layers == "last":
        return [CODE]
    if layers == "all":
        return every
    prefix = "encoder." if isinstance(network, UnitCode) else ""
    known = {prefix + name for name, _ in network.get_submodule(prefix[:-1]).named_modules()}
    chosen = []
    for layer in layers:
        if isinstance(layer, str):
            name = CODE if layer == "code" else prefix + layer
            found = name in known or name == CODE
        else:
            found = -len(every) <= layer < len(every)
            name = every[layer] if found else ""
        if not found:
            shown = [describe_layer(network, name) for name in every]
            raise ValueError(f"layers={layers!r}: there is no layer {layer!r} in {shown}.")
        chosen.append(name)
    if not chosen:
        raise ValueError(f"layers must name a layer at least, got {layers!r}.")
    return chosen


def describe_layer(network: nn.Module, name: str) -> str:
    """What a user calls the layer: the code "code", others by their name in the encoder."""
    if name == CODE:
        return "code"
    return name.removeprefix("encoder.") if isinstance(network, UnitCode) else name
