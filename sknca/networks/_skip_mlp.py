"""The encoder for tables."""

import math
from typing import Any, Self

import torch
from torch import Tensor

from .._random import FromGeneratorOfFit
from .._sparse_rows import Rows, SparseRows
from .._torch_compat import sparse_checks_as_they_are
from ._encoder import Description, Tensors
from ._linear import SparseLinear, linear
from ._mlp import MLP

#: With more features than these, standardized features are made smaller.
_FEW_FEATURES = 32

#: The variance of a standard normal variable whose outliers are clipped as here.
_VARIANCE = 0.79


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

    starts_from_data = True
    is_plain = True

    def __init__(
        self, n_inputs: int, n_outputs: int, *, sparse: bool = False, **others: Any
    ) -> None:
        super().__init__(n_inputs, n_outputs, sparse=sparse, **others)
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
            weight = self.skip.weight.T if self.reads_sparse else self.skip.weight
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
            # Only for features that vary: constant ones would enlarge the other features.
            mean_variance = variance / (self.scale > 0).sum() / self.gain**2
            if mean_variance > 0:
                self.unit.copy_((_VARIANCE / mean_variance).sqrt())
            if isinstance(x, SparseRows):
                return x.with_values(x.values * self.unit)
            x *= self.unit
            if not self.reads_sparse:
                self.offset.copy_(x.mean(0))
        return x

    def forward(self, x: Rows) -> Tensor:
        squashed = self.squash_sparse(x) if isinstance(x, SparseRows) else self.squash(x)
        return self._run(squashed, self.skip)

    def squash_sparse(self, x: SparseRows) -> SparseRows:
        """As `squash`, for the stored entries. Zeros stay zeros."""
        values = (x.values * self.scale.index_select(0, x.columns)).clamp(-1e15, 1e15)
        shrinking = torch.addcmul(values.new_ones(()), values, values, value=1 / 9).rsqrt()
        return x.with_values(values * (shrinking * (self.unit * self.gain)))

    def squash(self, x: Tensor) -> Tensor:
        """Features in units of their spread, outliers clipped smoothly, times the gain."""
        # Clipped first, because a square could overflow.
        x = (x * self.scale).clamp(-1e15, 1e15)
        shrinking = torch.addcmul(x.new_ones(()), x, x, value=1 / 9).rsqrt()
        return torch.addcmul(-self.offset, x, shrinking * self.unit, value=self.gain)

    def describe(self) -> dict[str, Any] | None:
        described = super().describe()
        return None if described is None else described | {"gain": self.gain}

    @classmethod
    def from_description(cls, about: Description, tensors: Tensors, n_in: int, n_out: int) -> Self:
        network = super().from_description(about, tensors, n_in, n_out)
        network.gain = float(about["gain"])
        if not 0 < network.gain < math.inf:
            raise ValueError(f"gain is {network.gain}, not positive and finite")
        return network
