"""The built-in networks."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from .._random import FromGeneratorOfFit, generator_of_fit
from .._sparse_rows import Rows, SparseRows
from .._torch_compat import has_forward_hooks, has_hooks, sparse_checks_as_they_are
from ..functional import unit_rows

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}

#: With more features than these, standardized features are made smaller.
_FEW_FEATURES = 32

#: The variance of a standard normal variable whose outliers are clipped as here.
_VARIANCE = 0.79


class Dropout(nn.Module):
    """Dropout as torch has it, but on a CPU several times as fast.

    torch draws a random number of 64 bits for each unit. Here each such number is for eight units,
    and the probability is rounded to a 256th; below 1/16, for four units, and to a 65536th.

    Parameters
    ----------
    p : float
        Probability with which a unit is set to zero in training.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if not x.is_cpu:
            return functional.dropout(x, self.p)
        kept, scale = _kept(x, self.p)
        return x * kept.mul_(scale)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _kept(x: Tensor, p: float) -> tuple[Tensor, float]:
    """Which units of `x` dropout keeps, as zeros and ones of its shape, and the factor of the kept
    ones.
    """
    dtype, bits = (torch.int8, 8) if p >= 1 / 16 else (torch.int16, 16)
    draws = x.new_empty(-(-x.numel() * bits // 64), dtype=torch.int64)
    draws.random_(-(2**63), None, generator=generator_of_fit())
    least = min(round(p * 2**bits), 2**bits - 1) - 2 ** (bits - 1)
    kept = torch.empty_like(x)
    # A comparison that writes floats is faster than one that writes booleans.
    torch.ge(draws.view(dtype)[: x.numel()].view_as(x), least, out=kept)
    return kept, 2**bits / (2 ** (bits - 1) - least)


class MLP(nn.Module):
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
        self.sparse = sparse
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
        if self._can_be_fused(x):
            hidden_layers: Any = self.hidden
            layers = [*(layer[0] for layer in hidden_layers), self.output]
            tensors = [tensor for layer in layers for tensor in (layer.weight, layer.bias)]
            weight = None if skip is None else skip.get_parameter("weight")
            apply: Any = _FusedReLU.apply
            fused: Tensor = apply(x, hidden_layers[0][2].p, weight, *tensors)
            return fused
        hidden: Any = x
        for layer in self.hidden:
            hidden = layer(hidden)
        output: Tensor = self.output(hidden)
        return output if skip is None else output + skip(x)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        # Checked once an epoch, because it takes a while.
        layers: Any = self.hidden
        as_made = mode and len(layers) > 0 and is_plain(self)
        self._is_relu = as_made and all(type(layer[1]) is nn.ReLU for layer in layers)
        return self

    def _can_be_fused(self, x: Rows) -> bool:
        """Whether this is a training step of a fit on a CPU, of an unchanged network with ReLU,
        without hooks that collect activations.
        """
        return (
            self._is_relu
            and x.is_cpu
            and generator_of_fit() is not None
            and torch.is_grad_enabled()
            and not any(map(has_forward_hooks, self.modules()))
        )


class _FusedReLU(torch.autograd.Function):
    """Hidden layers (linear, ReLU, dropout), a linear layer, and a linear skip connection.

    It computes the same numbers as the modules do one by one. With small batches each operator
    takes longer to call than to run, and here are about half as many.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,  # (n, n_inputs)
        dropout: float,
        skip: Tensor | None,  # (n_outputs, n_inputs)
        *tensors: Tensor,  # weight and bias of each layer
    ) -> Tensor:
        weights, biases = tensors[::2], tensors[1::2]
        inputs = [x]  # of each layer
        ctx.scale = 1.0
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            hidden = torch.addmm(bias, inputs[-1], weight.T).relu_()
            if dropout:
                kept, ctx.scale = _kept(hidden, dropout)
                hidden.mul_(kept.mul_(ctx.scale))
            inputs.append(hidden)
        ctx.save_for_backward(skip, *weights, *inputs)
        output = torch.addmm(biases[-1], inputs[-1], weights[-1].T)
        return output if skip is None else output.add_(torch.mm(x, skip.T))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        skip, *saved = ctx.saved_tensors
        weights, inputs = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        grad_x = grad_skip = None
        if skip is not None:
            grad_skip = torch.mm(grad.T, inputs[0])
            if ctx.needs_input_grad[0]:
                grad_x = torch.mm(grad, skip)
        gradients: list[Tensor | None] = []
        for i in reversed(range(len(weights))):
            gradients += [grad.sum(0), torch.mm(grad.T, inputs[i])]
            if i > 0:
                grad = torch.mm(grad, weights[i])
                # Units that are not positive were set to zero, by ReLU or by dropout.
                torch.ops.aten.threshold_backward.grad_input(grad, inputs[i], 0, grad_input=grad)
                if ctx.scale != 1:
                    grad.mul_(ctx.scale)
            elif ctx.needs_input_grad[0]:
                of_layers = torch.mm(grad, weights[0])
                grad_x = of_layers if grad_x is None else grad_x.add_(of_layers)
        return grad_x, None, grad_skip, *reversed(gradients)


class SparseLinear(nn.Module):
    """A linear layer for rows that are mostly zero: its weight stands as the rows' columns do, so
    that each entry meets one row of it, and its gradient is sparse.
    """

    bias: nn.Parameter | None

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


class SkipMLP(MLP):
    """An encoder for tables: hidden layers, and a linear skip connection.

    It is initialized from the data (`start_from`). Each feature is divided by its spread, and all
    features together are scaled to the variance that a clipped normal variable has. The skip
    connection starts at the principal components, so that the first codes already keep the
    neighborhoods of the samples. Outliers are clipped smoothly.

    Parameters
    ----------
    n_inputs, n_outputs, hidden_layer_sizes, activation, dropout, sparse
        See `MLP`. There is at least one hidden layer. If the network reads sparse rows, zeros stay
        zeros.

    References
    ----------
    D. Holzmüller, L. Grinsztajn, I. Steinwart. "Better by Default: Strong Pre-Tuned MLPs and
    Boosted Trees on Tabular Data". NeurIPS 2024. (The smooth clipping.)
    """

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
        super().__init__(
            n_inputs,
            n_outputs,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            dropout=dropout,
            sparse=sparse,
        )
        self.scale: Tensor  # (n_inputs,)
        self.register_buffer("scale", torch.ones(n_inputs, device="cpu", dtype=torch.float32))
        self.unit: Tensor  # (), what brings the features together to their usual variance
        self.register_buffer("unit", torch.ones((), device="cpu", dtype=torch.float32))
        self.offset: Tensor  # (n_inputs,), the mean once outliers are clipped
        self.register_buffer("offset", torch.zeros(n_inputs, device="cpu", dtype=torch.float32))
        self.skip = (SparseLinear if sparse else linear)(n_inputs, n_outputs, bias=False)
        # Adam changes each weight by the same amount, and therefore the output for a row by the sum
        # of its features. With many features, smaller features under larger weights keep this
        # bounded, and change nothing else.
        self.gain = min(1.0, math.sqrt(_FEW_FEATURES / n_inputs))
        with torch.no_grad():
            self.get_parameter("hidden.0.0.weight").div_(self.gain)

    @property
    def spread(self) -> Tensor:
        """The unit (n_inputs,) of each feature, 0 if it is ignored. In these units, the features
        together have about unit variance.
        """
        return torch.where(self.scale > 0, 1 / (self.scale * self.unit), 0)

    def start_from(self, x: Rows, spread: Tensor) -> None:
        """Set the scale and the skip connection, from centered samples `x` (n, n_inputs) and the
        spread (n_inputs,) of the features.
        """
        x = self.set_scale(x, spread)
        with torch.no_grad():
            # More than needed, which is more exact.
            n_found = min(*x.shape, self.skip.out_features + 8)
            directions: Tensor  # (n_inputs, n_found)
            with FromGeneratorOfFit():
                if isinstance(x, SparseRows):  # whose principal components are about zero too
                    # On the CPU, because a GPU sums sparse products in any order.
                    with sparse_checks_as_they_are():
                        _, _, directions = torch.svd_lowrank(x.cpu().to_coo(), n_found)
                    directions = directions.to(x.device)
                else:
                    _, _, directions = torch.pca_lowrank(x, n_found)
            directions = directions[:, : self.skip.out_features]
            length = self.gain * math.sqrt(x.shape[1])
            weight = self.skip.weight.T if self.sparse else self.skip.weight
            weight.zero_()
            weight[: directions.shape[1]] = directions.T / length

    def set_scale(self, x: Rows, spread: Tensor) -> Rows:
        """Set the scale alone, and return the samples as the skip connection reads them, before
        the subtraction of their mean.
        """
        with torch.no_grad():
            tiny = torch.finfo(spread.dtype).tiny  # of less, the inverse is infinite
            self.scale.copy_(torch.where(spread >= tiny, 1 / spread, 0))
            self.unit.fill_(1)
            self.offset.zero_()
            if isinstance(x, SparseRows):
                x = self.squash_sparse(x)
                variance = x.cpu().variance().sum().to(x.device)
            else:
                x = torch.cat([self.squash(some) for some in x.split(256)])  # to save memory
                variance = x.var(0, correction=0).sum()
            # Only of features that vary: constant ones would enlarge the others.
            mean_variance = variance / (self.scale > 0).sum() / self.gain**2
            if mean_variance > 0:
                self.unit.copy_((_VARIANCE / mean_variance).sqrt())
            if isinstance(x, SparseRows):
                return x.with_values(x.values * self.unit)
            x *= self.unit
            if not self.sparse:
                self.offset.copy_(x.mean(0))
        return x

    def forward(self, x: Rows) -> Tensor:
        squashed = self.squash_sparse(x) if isinstance(x, SparseRows) else self.squash(x)
        return self._run(squashed, self.skip)

    def squash_sparse(self, x: SparseRows) -> SparseRows:
        """As `squash`, of the stored entries: the others are zero, and stay so."""
        values = (x.values * self.scale.index_select(0, x.columns)).clamp(-1e15, 1e15)
        shrinking = torch.addcmul(values.new_ones(()), values, values, value=1 / 9).rsqrt()
        return x.with_values(values * (shrinking * (self.unit * self.gain)))

    def squash(self, x: Tensor) -> Tensor:
        """Features in units of their spread, outliers clipped smoothly, times the gain."""
        # Clipped first, because a square could overflow.
        x = (x * self.scale).clamp(-1e15, 1e15)
        shrinking = torch.addcmul(x.new_ones(()), x, x, value=1 / 9).rsqrt()
        return torch.addcmul(-self.offset, x, shrinking * self.unit, value=self.gain)


class UnitCode(nn.Module):
    """An encoder with L2-normalized codes; a code of zeros stays zero."""

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


def is_plain(network: nn.Module) -> bool:
    """Whether all modules of a network are of the package and have no hooks. Then it runs the same
    operators for all rows, and does not wait for the device.
    """
    plain = {MLP, SkipMLP, UnitCode, Dropout, nn.Linear, nn.Sequential, nn.ModuleList}
    plain |= {type(make()) for make in ACTIVATIONS.values()}
    return all(type(module) in plain and not has_hooks(module) for module in network.modules())


def linear(fan_in: int, fan_out: int, *, bias: bool = True) -> nn.Linear:
    # Explicit, so that the user's default dtype and device have no effect.
    with FromGeneratorOfFit():
        return nn.Linear(fan_in, fan_out, bias=bias, device="cpu", dtype=torch.float32)
