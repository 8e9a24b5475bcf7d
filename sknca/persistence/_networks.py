"""Descriptions of networks and objectives, from which they are built again with their tensors."""

import math
from collections.abc import Callable, Container, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ..estimators._encoders import make_network, width_of_output
from ..networks import ACTIVATIONS, MLP, SkipMLP, UnitCode, encoder_of
from ..objectives import (
    Classification,
    EmbeddingObjective,
    PrimaryLoss,
    Reconstruction,
    SNNLObjective,
    TripletObjective,
)

#: Custom encoder and decoder: modules, or callables that return them.
Makers = Mapping[str, nn.Module | Callable[[int, int], nn.Module]]

_ACTIVATION_NAMES = {type(make()): name for name, make in ACTIVATIONS.items()}

#: Parameters of the constructors that are also attributes.
_PARAMETERS = {
    SNNLObjective: "metric temperatures layers code_units snnl_weight partly_labeled",
    TripletObjective: "metric margin mining",
}


def describe_objective(objective: EmbeddingObjective, given: Container[str]) -> dict[str, Any]:
    """What `build_objective` needs to know, in Python's own types.

    Raises
    ------
    ValueError
        If a network is neither of sknca nor one of the `given` parameters, which load gets.
    """
    network = objective.network
    encoder = encoder_of(network)
    names = _PARAMETERS[type(objective)].split()
    described: dict[str, Any] = {
        "unit_code": isinstance(network, UnitCode),
        "encoder": _describe(encoder, "encoder", given),
        "parameters": {name: getattr(objective, name) for name in names},
    }
    if isinstance(objective, SNNLObjective):
        primary = objective.primary
        described["parameters"]["learned"] = objective.log_temperatures is not None
        described["primary"] = None if primary is None else primary.name
        if isinstance(primary, Reconstruction):
            described["decoder"] = _describe(primary.decoder, "decoder", given)
    return described


def _describe(network: nn.Module, name: str, given: Container[str]) -> dict[str, Any] | None:
    """What the tensors of a network of sknca do not contain; None if the network is `given`."""
    if type(network) not in (MLP, SkipMLP):
        if name not in given:
            raise ValueError(
                f"{name} was changed after fit. To save the estimator, set it to the module or "
                "callable from which the fitted network was made."
            )
        return None
    layers = list(network.get_submodule("hidden").children())
    kinds = {(type(one.get_submodule("1")), one.get_submodule("2").p) for one in layers}
    # Without hidden layers there is nothing to describe.
    activation, dropout = kinds.pop() if kinds else (nn.ReLU, 0.0)
    if kinds or activation not in _ACTIVATION_NAMES:
        raise ValueError(f"The layers of the {name} were changed after fit, and cannot be saved.")
    described = {"activation": _ACTIVATION_NAMES[activation], "dropout": dropout}
    if network.sparse:
        described["sparse"] = True
    return described | ({"gain": network.gain} if isinstance(network, SkipMLP) else {})


def build_objective(
    described: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    n_features: int,
    n_components: int,
    makers: Makers,
) -> EmbeddingObjective:
    """The objective with its network, from the description of `describe_objective`.

    Raises
    ------
    Exception
        Of any kind, if the parts do not fit together.
    """
    prefix = "network.encoder." if described["unit_code"] else "network."
    network = _build(
        described["encoder"],
        _under(tensors, prefix),
        n_features,
        n_components,
        makers.get("encoder"),
        "encoder",
    )
    if described["unit_code"]:
        network = UnitCode(network)
    objective: EmbeddingObjective
    if "primary" not in described:
        objective = TripletObjective(network, **described["parameters"])
    else:
        primary: PrimaryLoss | None = None
        if described["primary"] == Reconstruction.name:
            decoder = _build(
                described["decoder"],
                _under(tensors, "primary.decoder."),
                n_components,
                n_features,
                makers.get("decoder"),
                "decoder",
            )
            primary = Reconstruction(decoder)
        elif described["primary"] == Classification.name:
            n_classes = len(tensors["primary.head.bias"])
            _check_shape(tensors, "primary.head.weight", (n_classes, n_components))
            primary = Classification(n_components, n_classes)
        objective = SNNLObjective(network, primary=primary, **described["parameters"])
        units = objective.code_units
        if units is not None and not (isinstance(units, int) and units > 0):
            raise ValueError(f"its objective has code_units={units!r}, but must have one or more")
    objective.load_state_dict(dict(tensors))
    return objective.eval()


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _build(
    described: Mapping[str, Any] | None,
    tensors: Mapping[str, Tensor],
    n_inputs: int,
    n_outputs: int,
    maker: nn.Module | Callable[[int, int], nn.Module] | None,
    name: str,
) -> nn.Module:
    """A network for these tensors, before they are loaded into it."""
    if described is None and maker is None:
        raise ValueError(f"it does not describe its {name}, which was not a custom one")
    default = SkipMLP if "skip.weight" in tensors else MLP
    sizes: list[int] = []
    sparse = False
    if described is not None:
        maker = None
        sparse = bool(described.get("sparse", False))
        while f"hidden.{len(sizes)}.0.weight" in tensors:
            shape = tensors[f"hidden.{len(sizes)}.0.weight"].shape
            sizes.append(shape[-1 if sparse and not sizes else 0])
        # Checked first, so that a file cannot cause larger networks than it contains.
        names = [*(f"hidden.{i}.0.weight" for i in range(len(sizes))), "output.weight"]
        widths = pairwise([n_inputs, *sizes, n_outputs])
        for tensor, (fan_in, fan_out) in zip(names, widths, strict=True):
            is_sparse = sparse and tensor == names[0]
            _check_shape(tensors, tensor, (fan_in, fan_out) if is_sparse else (fan_out, fan_in))
        if default is SkipMLP:
            expected = (n_inputs, n_outputs) if sparse else (n_outputs, n_inputs)
            _check_shape(tensors, "skip.weight", expected)
    network = make_network(
        maker,
        default,
        n_inputs,
        n_outputs,
        hidden_layer_sizes=sizes,
        activation=described["activation"] if described else "relu",
        dropout=described["dropout"] if described else 0.0,
        name=name,
        sparse=sparse,
    )
    network.to("cpu", torch.float32)
    if described is None:
        rows = torch.zeros(2, n_inputs, device="cpu", dtype=torch.float32)
        width_of_output(network, rows, n_outputs, name)
    elif isinstance(network, SkipMLP):
        network.gain = float(described["gain"])
        if not 0 < network.gain < math.inf:
            raise ValueError(f"its {name}'s gain is {network.gain}, not positive and finite")
    return network


def _check_shape(tensors: Mapping[str, Tensor], name: str, expected: tuple[int, int]) -> None:
    shape = tuple(tensors[name].shape)
    if shape != expected or 0 in shape:
        raise ValueError(f"its tensor {name} has shape {shape}, but must have shape {expected}")
