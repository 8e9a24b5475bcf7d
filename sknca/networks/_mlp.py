"""Hidden layers and a linear layer."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn

from .._random import generator_of_fit
from .._sparse_rows import Rows
from .._torch_compat import has_forward_hooks
from ._activations import ACTIVATIONS, name_of_activation
from ._dropout import Dropout
from ._encoder import Description, Encoder, Tensors, is_plain
from ._fused_relu import FusedReLU
from ._linear import SparseLinear, linear


class MLP(Encoder, nn.Module):
    """Hidden layers (linear, activation, dropout) and a linear layer: an encoder or a decoder.

    Parameters
    ----------
    n_inputs, n_outputs : int
        Numbers of input and output features.

    hidden_layer_sizes : sequence of int
        Widths of the hidden layers. If empty, the network is linear.

    activation : str
        A key of `ACTIVATIONS`.

    dropout : float
        Probability with which a hidden unit is set to zero in training.

    sparse : bool, default=False
        Whether the network reads sparse rows too.
    """

    is_plain = True
    gpu_chunk_rows = 4096

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        *,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        dropout: float,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        self.reads_sparse = sparse
        widths = [n_inputs, *hidden_layer_sizes, n_outputs]
        makers = [SparseLinear if sparse else linear] + [linear] * (len(widths) - 2)
        *layers, output = (
            make(fan_in, fan_out)
            for make, (fan_in, fan_out) in zip(makers, pairwise(widths), strict=True)
        )
        self.hidden = nn.ModuleList(
            nn.Sequential(layer, ACTIVATIONS[activation](), Dropout(dropout)) for layer in layers
        )
        self.output = output

    _is_relu = False  # and unchanged since it was made, in training mode

    def forward(self, x: Rows) -> Tensor:
        return self._run(x, None)

    def _run(self, x: Rows, skip: nn.Module | None) -> Tensor:
        """The outputs for `x` (n, n_inputs), plus those of a linear skip connection, if given."""
        generator = generator_of_fit()  # only a fit has one
        if generator is not None and self._can_be_fused(x):
            hidden_layers: Any = self.hidden
            layers = [*(layer[0] for layer in hidden_layers), self.output]
            tensors = [tensor for layer in layers for tensor in (layer.weight, layer.bias)]
            weight = None if skip is None else skip.get_parameter("weight")
            apply: Any = FusedReLU.apply
            fused: Tensor = apply(x, hidden_layers[0][2].p, generator, weight, *tensors)
            return fused
        hidden: Any = x
        for layer in self.hidden:
            hidden = layer(hidden)
        output: Tensor = self.output(hidden)
        return output if skip is None else output + skip(x)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        # Checked once an epoch, because it takes a while.
        made = [nn.Linear, nn.ReLU, Dropout]
        self._is_relu = (
            mode
            and len(self.hidden) > 0
            and all([type(module) for module in layer.children()] == made for layer in self.hidden)
            and is_plain(self)
        )
        return self

    def _can_be_fused(self, x: Rows) -> bool:
        """Whether this is a training step on a CPU, of an unchanged network with ReLU and without
        hooks that collect activations.
        """
        return (
            self._is_relu
            and x.is_cpu
            and torch.is_grad_enabled()
            and not any(map(has_forward_hooks, self.modules()))
        )

    def hidden_layers(self) -> list[str]:
        return [f"hidden.{i}" for i in range(len(self.hidden))]

    def made_with(self) -> dict[str, Any] | None:
        layers = [[*layer.children()] for layer in self.hidden]
        sizes = [layer[0].out_features for layer in layers]
        if not layers:  # nor activation nor dropout
            return {"hidden_layer_sizes": sizes}
        kinds = {(name_of_activation(activation), dropout.p) for _, activation, dropout in layers}
        activation, dropout = kinds.pop()
        if kinds or activation is None:
            return None
        return {"hidden_layer_sizes": sizes, "activation": activation, "dropout": dropout}

    def describe(self) -> dict[str, Any] | None:
        made_with = self.made_with()
        if made_with is None:
            return None
        described = {"activation": "relu", "dropout": 0.0} | made_with
        del described["hidden_layer_sizes"]  # which follow from the tensors
        return described | ({"sparse": True} if self.reads_sparse else {})

    @classmethod
    def from_description(cls, about: Description, tensors: Tensors, n_in: int, n_out: int) -> Self:
        sparse = bool(about.get("sparse", False))
        sizes: list[int] = []
        while f"hidden.{len(sizes)}.0.weight" in tensors:
            shape = tensors[f"hidden.{len(sizes)}.0.weight"].shape
            sizes.append(shape[-1 if sparse and not sizes else 0])
        settings = {name: about[name] for name in ("activation", "dropout")}
        return cls(n_in, n_out, hidden_layer_sizes=sizes, sparse=sparse, **settings)
