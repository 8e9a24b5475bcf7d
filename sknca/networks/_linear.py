"""Linear layers."""

import torch
from torch import Tensor, nn

from .._random import FromGeneratorOfFit
from .._sparse_rows import Rows, SparseRows


def linear(fan_in: int, fan_out: int, *, bias: bool = True) -> nn.Linear:
    # Explicit, so that the user's default dtype and device have no effect.
    with FromGeneratorOfFit():
        return nn.Linear(fan_in, fan_out, bias=bias, device="cpu", dtype=torch.float32)


class SparseLinear(nn.Module):
    """A linear layer for rows that are mostly zero: its weight stands as the rows' columns do, so
    that each entry meets one row of it, and its gradient is sparse.
    """

    bias: nn.Parameter | None

    product_of_a_row = 0  # only the stored entries are multiplied

    def __init__(self, in_features: int, out_features: int, *, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        start = linear(in_features, out_features, bias=bias)
        self.weight = nn.Parameter(start.weight.detach().T.contiguous())  # (in, out)
        self.register_parameter("bias", start.bias)

    def forward(self, x: Rows) -> Tensor:
        output = x.times(self.weight) if isinstance(x, SparseRows) else x @ self.weight
        return output if self.bias is None else output + self.bias

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={bias}"
