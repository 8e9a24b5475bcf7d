"""The encoders, and the outputs of the layers of a network."""

from ._activations import ACTIVATIONS
from ._dropout import Dropout
from ._encoder import (
    CHUNK_ROWS,
    Encoder,
    answers_of,
    is_plain,
    largest_product,
)
from ._layers import (
    CODE,
    apply,
    apply_layers,
    choose_layers,
    chunk_rows,
    describe_layer,
    device_of,
    hidden_layers,
    run_layers,
)
from ._linear import linear
from ._makers import Maker, is_plain_maker, reads_sparse, starts_from_data
from ._members import Members, joined, members_of, parted
from ._mlp import MLP
from ._skip_mlp import SkipMLP
from ._unit_code import UnitCode, at_least_single, encoder_of

__all__ = [
    "ACTIVATIONS",
    "CHUNK_ROWS",
    "CODE",
    "MLP",
    "Dropout",
    "Encoder",
    "Maker",
    "Members",
    "SkipMLP",
    "UnitCode",
    "answers_of",
    "apply",
    "apply_layers",
    "at_least_single",
    "choose_layers",
    "chunk_rows",
    "describe_layer",
    "device_of",
    "encoder_of",
    "hidden_layers",
    "is_plain",
    "is_plain_maker",
    "joined",
    "largest_product",
    "linear",
    "members_of",
    "parted",
    "reads_sparse",
    "run_layers",
    "starts_from_data",
]
