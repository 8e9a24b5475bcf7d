"""The encoders, and what the layers of a network answer."""

from ._encoders import ACTIVATIONS, MLP, Dropout, SkipMLP, UnitCode, linear
from ._layers import (
    CHUNK_ROWS,
    CODE,
    apply,
    apply_layers,
    choose_layers,
    describe_layer,
    hidden_layers,
    run_layers,
)

__all__ = [
    "ACTIVATIONS",
    "CHUNK_ROWS",
    "CODE",
    "MLP",
    "Dropout",
    "SkipMLP",
    "UnitCode",
    "apply",
    "apply_layers",
    "choose_layers",
    "describe_layer",
    "hidden_layers",
    "linear",
    "run_layers",
]
