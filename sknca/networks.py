"""The networks that are trained where the user brings none, and what their layers answer."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

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

#: So many features and fewer are taken in units of their spread.
_FEW_FEATURES = 32

#: The name of a network's last layer: that of the network itself among its modules.
CODE = ""


class Dropout(nn.Module):
    """Dropout as torch has it, but on a CPU several times as fast.

    torch draws a random number of 64 bits for each unit; here each such number is for four,
    so the probability is rounded to a 65536th.

    Parameters
    ----------
    p : float
        Probability with which a unit is silenced in training.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if not x.is_cpu:
            return functional.dropout(x, self.p)
        draws = x.new_empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        threshold = min(round(self.p * 2**16), 2**16 - 1) - 2**15
        kept = torch.empty_like(x)
        # A comparison that writes floats is quicker than one that writes booleans to be used.
        torch.ge(draws.view(torch.int16)[: x.numel()].view_as(x), threshold, out=kept)
        return x * kept.mul_(2**16 / (2**15 - threshold))

    def extra_repr(self) -> str:
        return f"p={self.p}"


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
            nn.Sequential(linear(fan_in, fan_out), ACTIVATIONS[activation](), Dropout(dropout))
            for fan_in, fan_out in pairwise(widths)
        )
        self.output = linear(widths[-1], n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = layer(x)
        output: Tensor = self.output(x)
        return output


class SkipMLP(MLP):
    """An encoder for rows of features: hidden layers, and a linear map beside them.

    It starts from the data (`start_from`): each feature is brought to unit spread, and the
    linear map to the principal components, so that already the first codes keep the
    neighbourhoods that the rows have. Far-out values are drawn in smoothly.

    Parameters
    ----------
    n_inputs, n_outputs, hidden_layer_sizes, activation, dropout
        As of `MLP`, with a hidden layer at least.

    References
    ----------
    D. Holzmüller, L. Grinsztajn, I. Steinwart. "Better by Default: Strong Pre-Tuned MLPs and
    Boosted Trees on Tabular Data". NeurIPS 2024. (The smooth clipping.)
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
        super().__init__(
            n_inputs,
            n_outputs,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            dropout=dropout,
        )
        self.scale: Tensor  # (n_inputs,)
        self.register_buffer("scale", torch.ones(n_inputs, device="cpu", dtype=torch.float32))
        self.skip = linear(n_inputs, n_outputs, bias=False)
        # Adam changes each weight by as much, and so the answer to a row by the sum of its
        # features. Smaller features under larger weights keep that in bounds where they are
        # many, and change nothing else.
        self.gain = min(1.0, math.sqrt(_FEW_FEATURES / n_inputs))
        with torch.no_grad():
            self.get_parameter("hidden.0.0.weight").div_(self.gain)

    def start_from(self, x: Tensor) -> None:
        """Set the scale and the linear map after rows `x` (n, n_inputs), centred."""
        with torch.no_grad():
            spread = x.std(0, correction=0)  # (n_inputs,)
            tiny = torch.finfo(spread.dtype).tiny  # of less, the inverse is infinite
            self.scale.copy_(torch.where(spread >= tiny, 1 / spread, 0))
            x = self._squash(x)
            n_found = min(*x.shape, self.skip.out_features + 8)  # more than asked for: exacter
            _, _, directions = torch.pca_lowrank(x, n_found)  # (n_inputs, n_found)
            directions = directions[:, : self.skip.out_features]
            length = self.gain * math.sqrt(x.shape[1])
            self.skip.weight.zero_()
            self.skip.weight[: directions.shape[1]] = directions.T / length

    def forward(self, x: Tensor) -> Tensor:
        x = self._squash(x)
        code: Tensor = super().forward(x) + self.skip(x)
        return code

    def _squash(self, x: Tensor) -> Tensor:
        """Features in units of their spread, drawn into (-3, 3), times the gain."""
        # Cut off first where a square would overflow.
        x = (x * self.scale).clamp(-1e15, 1e15)
        shrinking = torch.addcmul(x.new_ones(()), x, x, value=1 / 9).rsqrt()
        return x * shrinking.mul_(self.gain)


class UnitCode(nn.Module):
    """An encoder whose codes are brought to length one; a zero code stays zero."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        return unit_rows(self.encoder(x))


def linear(fan_in: int, fan_out: int, *, bias: bool = True) -> nn.Linear:
    # Named explicitly, so that a user's default dtype and device stay out of it.
    return nn.Linear(fan_in, fan_out, bias=bias, device="cpu", dtype=torch.float32)


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
