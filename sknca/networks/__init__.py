"""The encoders, and the outputs of the layers of a network."""

from ._encoders import (
    ACTIVATIONS,
    MLP,
    Dropout,
    SkipMLP,
    SparseLinear,
    UnitCode,
    encoder_of,
    is_plain,
    linear,
)
from ._layers import (
    CHUNK_ROWS,
    CODE,
    apply,
    apply_layers,
    choose_layers,
    chunk_rows,
    describe_layer,
    device_of,
    hidden_layers,
    largest_product,
    run_layers,
)

__all__ = [
    "ACTIVATIONS",
    "CHUNK_ROWS",
    "CODE",
    "MLP",
    "Dropout",
    "SkipMLP",
    "SparseLinear",
    "UnitCode",
    "apply",
    "apply_layers",
    "choose_layers",
    "chunk_rows",
    "describe_layer",
    "device_of",
    "encoder_of",
    "hidden_layers",
    "is_plain",
    "largest_product",
    "linear",
    "run_layers",
]
