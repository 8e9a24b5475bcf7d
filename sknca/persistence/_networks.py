"""Descriptions of networks and objectives, from which they are built again with their tensors."""

from collections.abc import Callable, Container, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..fitting import make_custom, width_of_output
from ..functional import METRICS, STRATEGIES
from ..networks import MLP, Encoder, Maker, SkipMLP, UnitCode, encoder_of
from ..objectives import (
    PRIMARY_LOSSES,
    TEMPERATURE_SCHEDULES,
    EmbeddingObjective,
    MembersObjective,
    PrimaryLoss,
    PrimaryTask,
    SNNLObjective,
    TripletObjective,
    build_primary_loss,
)

#: Custom encoder and decoder: modules, or callables that return them.
Makers = Mapping[str, Maker]

#: The networks that files describe, and that `load` makes without being given them.
KINDS: dict[str, Any] = {"MLP": MLP, "SkipMLP": SkipMLP}

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
    if isinstance(objective, MembersObjective):
        return {"members": [describe_objective(member, given) for member in objective.objectives]}
    network = objective.network
    encoder = encoder_of(network)
    names = _PARAMETERS[type(objective)].split()
    described: dict[str, Any] = {
        "unit_code": isinstance(network, UnitCode),
        "encoder": _describe(encoder, "encoder", given),
        "parameters": {name: name_of_part(getattr(objective, name), name) for name in names},
    }
    if isinstance(objective, SNNLObjective):
        primary = objective.primary
        described["parameters"]["learned"] = objective.log_temperatures is not None
        described["primary"] = (
            None if primary is None else name_of_part(type(primary), "primary_loss")
        )
        if primary is not None and primary.has_decoder:
            decoder = primary.get_submodule("decoder")
            described["decoder"] = _describe(decoder, "decoder", given)
    return described


def _describe(network: nn.Module, name: str, given: Container[str]) -> dict[str, Any] | None:
    """What the tensors of a network of sknca do not contain; None if the network is `given`."""
    kind = next((name for name, cls in KINDS.items() if type(network) is cls), None)
    if kind is None:
        if name not in given:
            raise ValueError(
                f"{name} was changed after fit. To save the estimator, set it to the module or "
                "callable from which the fitted network was made."
            )
        return None
    assert isinstance(network, Encoder)
    described = network.describe()
    if described is None:
        raise ValueError(f"The layers of the {name} were changed after fit, and cannot be saved.")
    return {"kind": kind, **described}


def build_objective(
    described: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    n_features: int,
    n_components: int,
    n_classes: int,
    makers: Makers,
) -> EmbeddingObjective:
    """The objective with its network, from the description of `describe_objective`.

    Raises
    ------
    Exception
        Of any kind, if the parts do not fit together.
    """
    objective: EmbeddingObjective
    if "members" in described:
        n_members = len(described["members"])
        if not n_members or n_components % n_members:
            raise ValueError(
                f"its {n_components} components cannot be those of {n_members} members"
            )
        sizes = n_features, n_components // n_members, n_classes
        objective = MembersObjective(
            [
                build_objective(some, _under(tensors, f"members.{i}."), *sizes, makers)
                for i, some in enumerate(described["members"])
            ]
        )
        objective.load_state_dict(dict(tensors))
        return objective.eval()
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
    if "primary" not in described:
        objective = TripletObjective(network, **described["parameters"])
    else:
        primary: PrimaryLoss | None = None
        if described["primary"] is not None:
            primary = _build_primary_loss(
                described, tensors, n_features, n_components, n_classes, makers
            )
        objective = SNNLObjective(network, primary=primary, **described["parameters"])
        units = objective.code_units
        if units is not None and not (isinstance(units, int) and units > 0):
            raise ValueError(f"its objective has code_units={units!r}, but must have one or more")
    objective.load_state_dict(dict(tensors))
    return objective.eval()


#: By parameter, the table in which a part that users pass has a name, and where they find it.
_TABLES: dict[str, tuple[Mapping[str, Any], str]] = {
    "metric": (METRICS, "sknca.functional.METRICS"),
    "mining": (STRATEGIES, "sknca.functional.STRATEGIES"),
    "primary_loss": (PRIMARY_LOSSES, "sknca.objectives.PRIMARY_LOSSES"),
    "temperature_schedule": (TEMPERATURE_SCHEDULES, "sknca.objectives.TEMPERATURE_SCHEDULES"),
}


def name_of_part(value: Any, parameter: str) -> Any:
    """The name in files of a value of a parameter, if it is a part with a table.

    Raises
    ------
    ValueError
        If the part is not in its table, from which load gets it.
    """
    if parameter not in _TABLES or value is None or isinstance(value, str):
        return value
    table, where = _TABLES[parameter]
    names = [name for name, part in table.items() if part == value]
    if not names:
        shown = getattr(value, "__name__", value)
        raise ValueError(
            f"{parameter}={shown} cannot be saved: files contain no code. Give it a name in "
            f"{where}, before save and before load."
        )
    return names[0]


def _build_primary_loss(
    described: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    n_features: int,
    n_components: int,
    n_classes: int,
    makers: Makers,
) -> PrimaryLoss:
    name = described["primary"]
    if name not in PRIMARY_LOSSES:
        raise ValueError(
            f"its primary loss {name!r} is unknown: add its class to "
            f"{_TABLES['primary_loss'][1]} before load"
        )
    primary_loss, decoder = PRIMARY_LOSSES[name], nn.Module()
    if primary_loss.has_decoder:
        of_decoder = _under(tensors, "primary.decoder.")
        maker = makers.get("decoder")
        decoder = _build(
            described["decoder"], of_decoder, n_components, n_features, maker, "decoder"
        )
    task = PrimaryTask(n_components, n_features, n_classes, lambda: decoder)
    return _checked(lambda: build_primary_loss(primary_loss, task), _under(tensors, "primary."))


M = TypeVar("M", bound=nn.Module)


def _checked(make: Callable[[], M], tensors: Mapping[str, Tensor]) -> M:
    """A module for these tensors. It is made without memory first, so that a file cannot cause
    larger layers than it contains.
    """
    with torch.device("meta"), _WithoutMemory():
        expected = make().state_dict()
    # Weights before biases, because their shapes show what is wrong.
    for name, tensor in sorted(expected.items(), key=lambda item: -item[1].ndim):
        if name not in tensors:
            raise ValueError(f"Missing key: it has no tensor {name}")
        shape, wanted = tuple(tensors[name].shape), tuple(tensor.shape)
        if shape != wanted or 0 in shape:
            raise ValueError(f"its tensor {name} has shape {shape}, but must have shape {wanted}")
    return make()


class _WithoutMemory(TorchFunctionMode):
    """Within it, tensors that are made for a device, whichever it is, have no memory."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if "device" in kwargs:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _build(
    described: Mapping[str, Any] | None,
    tensors: Mapping[str, Tensor],
    n_inputs: int,
    n_outputs: int,
    maker: Maker | None,
    name: str,
) -> nn.Module:
    """A network for these tensors, before they are loaded into it."""
    network: nn.Module
    if described is not None:
        kind = described.get("kind", "SkipMLP" if "skip.weight" in tensors else "MLP")
        if kind not in KINDS:
            raise ValueError(f"its {name} is of an unknown kind, {kind!r}")

        def make() -> nn.Module:
            try:
                made: nn.Module = KINDS[kind].from_description(
                    described, tensors, n_inputs, n_outputs
                )
            except ValueError as error:
                raise ValueError(f"its {name}'s {error}") from error
            return made

        network = _checked(make, tensors)
        network.to("cpu", torch.float32)
        return network
    if maker is None:
        raise ValueError(f"it does not describe its {name}, which was not a custom one")
    network = make_custom(maker, n_inputs, n_outputs, name)
    network.to("cpu", torch.float32)
    rows = torch.zeros(2, n_inputs, device="cpu", dtype=torch.float32)
    width_of_output(network, rows, n_outputs, name)
    return network
