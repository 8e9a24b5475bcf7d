"""L2-normalized codes."""

import torch
from torch import Tensor, nn

from .._sparse_rows import Rows
from ..functional import unit_rows


class UnitCode(nn.Module):
    """An encoder with L2-normalized codes; a code of zeros stays zero."""

    is_plain = True

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Rows) -> Tensor:
        return unit_rows(at_least_single(self.encoder(x)))


def encoder_of(network: nn.Module) -> nn.Module:
    """The encoder whose codes a network L2-normalizes, or the network itself."""
    return network.encoder if isinstance(network, UnitCode) else network


def at_least_single(output: Tensor) -> Tensor:
    """The outputs of a network, in float32 if they have half precision (under autocast)."""
    return output.float() if output.dtype in (torch.bfloat16, torch.float16) else output
