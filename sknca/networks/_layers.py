"""Which layers a network has, and their outputs."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._sparse_rows import Rows, SparseRows
from ._encoder import CHUNK_ROWS, answers_of, product_of_a_row
from ._members import Members, joined, members_of
from ._unit_code import UnitCode, at_least_single

#: A last, smaller chunk of a dense network is padded to a multiple of this many rows. A matrix
#: product may round a row differently among 3 rows than among 300. With multiples of 16 it did not
#: on the processors that were tried, and a few more rows cost such a network little. On a GPU,
#: which chooses its products by the number of rows, every chunk is padded.
_FILLED_TO = 16

#: The name of a network's last layer: that of the network itself among its modules.
CODE = ""


def hidden_layers(network: nn.Module) -> list[str]:
    """Names of the hidden layers of a network. If its encoder names none, these are its submodules
    one level down (below any that is alone, or a list), except the last. A module that occurs in
    two places has no single output, and is left out.
    """
    network = members_of(network)[0]
    if isinstance(network, UnitCode):
        return [f"encoder.{name}" for name in hidden_layers(network.encoder)]
    named = answers_of(network).hidden_layers()
    if named is not None:
        return named
    layers = [name for name, _ in _children(network)][:-1]
    places = Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    return [name for name in layers if places[id(network.get_submodule(name))] == 1]


def _children(network: nn.Module) -> list[tuple[str, nn.Module]]:
    children = []
    for name, child in network._modules.items():
        if isinstance(child, (nn.ModuleList, nn.ModuleDict)):  # which are not called themselves
            children += [(f"{name}.{inner}", module) for inner, module in child.named_children()]
        elif child is not None:
            children.append((name, child))
    if len(children) == 1 and (inside := _children(children[0][1])):
        name = children[0][0]
        return [(f"{name}.{inner}", module) for inner, module in inside]
    return children


def run_layers(network: nn.Module, x: Rows, names: Iterable[str]) -> dict[str, Tensor]:
    """The outputs of the named modules of a network for `x` (n, d), as matrices (n, units), and its
    code.

    Hooks collect them from one forward pass, so they are those of the network as it runs. Of a
    tuple, which a recurrent layer returns, the first is taken. The outputs of members are joined.

    Raises
    ------
    ValueError
        If a named module is not called exactly once, or does not return a tensor.
    """
    outputs: dict[str, Tensor] = {}
    handles = []
    hidden = [name for name in names if name != CODE]
    if hidden and isinstance(network, Members):
        of_members = [run_layers(member, x.clone(), hidden) for member in network.members]
        return {name: joined([some[name] for some in of_members]) for name in of_members[0]}
    for name in hidden:

        def keep(_: nn.Module, __: object, output: Any, name: str = name) -> None:
            output = output[0] if isinstance(output, tuple) else output
            if name in outputs or not isinstance(output, Tensor):
                raise ValueError(
                    f"layer {name!r} of the encoder must be called once and return a tensor."
                )
            # A copy, because a later module may work in place.
            outputs[name] = at_least_single(output.flatten(1).clone())

        handles.append(network.get_submodule(name).register_forward_hook(keep))
    try:
        outputs[CODE] = at_least_single(network(x))
    finally:
        for handle in handles:
            handle.remove()
    for name in hidden:
        if name not in outputs:
            raise ValueError(f"layer {name!r} of the encoder is never called.")
    return outputs


def apply(network: nn.Module, x: Rows) -> Tensor:
    """The outputs of a trained network for the rows of `x` (n, d)."""
    return apply_layers(network, x, [CODE])[CODE]


def apply_layers(network: nn.Module, x: Rows, names: Iterable[str]) -> dict[str, Tensor]:
    """The outputs of the named modules of a trained network for the rows of `x` (n, d), without
    gradient and in evaluation mode, in which the network is left.

    The outputs are on the device of the network. The rows may be elsewhere.
    """
    modules = [*network.modules()]  # for one row, each walk over them costs a part of the time
    if any(module.training for module in modules):
        network.eval()
    names = [*names]
    device = device_of(network, default=x.device)
    size = chunk_rows(network, device)
    is_dense = math.isfinite(product_of_a_row(modules))  # then a few more rows cost little
    multiple = size if device.type != "cpu" else _FILLED_TO if is_dense else 1
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        chunks = [_run_chunk(network, some.to(device), multiple, names) for some in x.split(size)]
    return {name: torch.cat([chunk[name] for chunk in chunks]) for name in names}


def device_of(network: nn.Module, *, default: torch.device) -> torch.device:
    """Where a network is; the default if it has no tensors."""
    tensors = itertools.chain(network.parameters(), network.buffers())
    return next((tensor.device for tensor in tensors), default)


def chunk_rows(network: nn.Module, device: torch.device) -> int:
    """How many rows go through a network together after training."""
    return CHUNK_ROWS if device.type == "cpu" else answers_of(network).gpu_chunk_rows


def _run_chunk(
    network: nn.Module, x: Rows, multiple: int, names: Iterable[str]
) -> dict[str, Tensor]:
    n = len(x)
    n_filled = -n % multiple
    if n_filled and isinstance(x, SparseRows):
        x = x.filled_up(n_filled)
    elif n_filled and isinstance(x, Tensor):
        x = torch.cat([x, x[-1:].expand(n_filled, *x.shape[1:])])
    return {name: output[:n] for name, output in run_layers(network, x, names).items()}


def choose_layers(network: nn.Module, layers: str | Sequence[int | str]) -> list[str]:
    """Names of the modules that the parameter `layers` means.

    Raises
    ------
    ValueError
        If there is no such layer, or none is named.
    """
    every = [*hidden_layers(network), CODE]
    network = members_of(network)[0]
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
            problem = f"contains {layer!r} twice" if found else f"contains no layer {layer!r}"
            raise ValueError(f"layers={layers!r} {problem}; the layers are {shown}.")
        chosen.append(name)
    if not chosen:
        raise ValueError(f"layers must contain at least one layer, got {layers!r}.")
    return chosen


def describe_layer(network: nn.Module, name: str) -> str:
    """The public name of a layer: "code" for the code, otherwise its name in the encoder."""
    if name == CODE:
        return "code"
    network = members_of(network)[0]
    name = name.removeprefix("encoder.") if isinstance(network, UnitCode) else name
    return f"encoder.{name}" if name in ("code", "input") else name
