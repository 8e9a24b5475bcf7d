"""The encoder that is trained when the user brings none, and encoding in chunks."""

from collections.abc import Callable, Sequence
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

#: Rows that go through the network at once. Every forward pass of `encode` has this shape:
#: a matrix product may round a row differently among 3 rows than among 300, and a code must
#: not depend on the company its row comes in.
CHUNK_ROWS = 256


class MLPEncoder(nn.Module):
    """Hidden layers (linear, activation, dropout) and a linear code layer.

    Parameters
    ----------
    n_features, n_components : int
        Widths of input and code.

    hidden_layer_sizes : sequence of int
        Widths of the hidden layers. Empty: a linear map.

    activation : str
        A key of `ACTIVATIONS`.

    dropout : float
        Probability with which a hidden unit is silenced in training.
    """

    def __init__(
        self,
        n_features: int,
        n_components: int,
        *,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__()
        widths = [n_features, *hidden_layer_sizes]
        self.hidden = nn.ModuleList(
            nn.Sequential(_linear(fan_in, fan_out), ACTIVATIONS[activation](), nn.Dropout(dropout))
            for fan_in, fan_out in pairwise(widths)
        )
        self.code = _linear(widths[-1], n_components)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = layer(x)
        code: Tensor = self.code(x)
        return code


def _linear(fan_in: int, fan_out: int) -> nn.Linear:
    # Named explicitly, so that a user's default dtype and device stay out of it.
    return nn.Linear(fan_in, fan_out, device="cpu", dtype=torch.float32)


class UnitCode(nn.Module):
    """An encoder whose codes are brought to length one; a zero code stays zero."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        return unit_rows(self.encoder(x))


def encode(network: nn.Module, x: Tensor) -> Tensor:
    """Codes (n, k) of the rows of `x` (n, d), without gradient and in evaluation mode, in
    which the network is left.
    """
    network.eval()
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        return torch.cat([_encode_chunk(network, chunk) for chunk in x.split(CHUNK_ROWS)])


def _encode_chunk(network: nn.Module, x: Tensor) -> Tensor:
    missing = CHUNK_ROWS - len(x)
    if missing:
        x = torch.cat([x, x[-1:].expand(missing, *x.shape[1:])])
    code: Tensor = network(x)
    return code[: CHUNK_ROWS - missing]
