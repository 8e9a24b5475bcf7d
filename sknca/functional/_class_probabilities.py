"""The probability of each class among the soft neighbors of a sample."""

import torch
from torch import Tensor

from ._log_sums import NOWHERE, exp_rows_
from ._memory import in_smaller_blocks
from ._metrics import Metric
from ._roots import resolution

#: Entries in a block of pairs, and a floor for the product's sake.
_BLOCK_ENTRIES = 2**21
_MIN_BLOCK_ROWS = 64

#: The same on a GPU.
_GPU_BLOCK_ENTRIES = 2**26


class ClassProbabilities:
    """Logarithms of the probabilities that the soft neighbor of a sample is of each class.

    These are the sums of the loss, each with its own maximum: one sum for each class, instead of
    one for the class of a sample and one for all others.

    Parameters
    ----------
    keys : Tensor of shape (m, d)
        The neighbors, sorted by class.

    class_sizes : Tensor of shape (n_classes,)
        How many of `keys` are of each class.

    temperature : float
        Positive, in units of the distance.

    metric : Metric
        The distance.

    log_key_weight : Tensor of shape (m,)
        The logarithms of the weights of `keys`.
    """

    offset: Tensor  # (m,)

    def __init__(
        self,
        keys: Tensor,
        class_sizes: Tensor,
        temperature: float,
        metric: Metric,
        log_key_weight: Tensor,
    ) -> None:
        by_size = self._sort_by_size(class_sizes)
        if by_size is not None:
            keys, log_key_weight = keys[by_size], log_key_weight[by_size]
        keys = metric.prepare(keys)
        # Centered on the keys alone, so that the result does not depend on the other queries.
        self.center = keys.mean(0) if metric.shift_invariant else keys.new_zeros(())
        self.keys = keys - self.center if metric.shift_invariant else keys
        unit = self._set_metric(metric, temperature, log_key_weight)
        bias = metric.bias(self.keys)
        if bias is not None:
            self.offset = self.offset + bias / unit

    def _set_metric(self, metric: Metric, temperature: float, log_key_weight: Tensor) -> float:
        """Set what turns products of queries and keys into logits, except for the bias of the keys,
        and return the unit of these products: the temperature, or 1 if the distance is the square
        root of a form.
        """
        unit = 1.0 if metric.root else temperature
        self.metric = metric
        self.temperature = temperature
        self.log_key_weight = log_key_weight
        self.factor = metric.product / unit
        self.offset = torch.zeros_like(log_key_weight) if metric.root else log_key_weight
        return unit

    def _sort_by_size(self, class_sizes: Tensor) -> Tensor | None:
        """Set how the classes are reduced, and return how the keys have to be sorted for that; None
        if they are.
        """
        order = class_sizes.argsort(stable=True)
        self.place = order.argsort()
        # Classes of one size are reduced together, however many they are.
        sizes, counts = class_sizes[order].unique_consecutive(return_counts=True)
        self.widths: list[int] = (sizes * counts).tolist()
        self.shapes = list(zip(counts.tolist(), sizes.tolist(), strict=True))
        if not bool((class_sizes.diff() < 0).any()):
            return None
        return self.place.repeat_interleave(class_sizes).argsort(stable=True)

    def log_of(self, z: Tensor) -> Tensor:
        """The logarithms (n, n_classes) for samples (n, d), block by block.

        They are on the device of the samples, which may differ from that of the keys.

        They are NaN if distance / temperature is too large for the dtype.
        """
        entries = _BLOCK_ENTRIES if self.keys.is_cpu else _GPU_BLOCK_ENTRIES
        block_size = max(_MIN_BLOCK_ROWS, entries // len(self.keys))
        found = z.new_empty(len(z), len(self.place))

        def fill(block_size: int) -> Tensor:
            for block, out in zip(z.split(block_size), found.split(block_size), strict=True):
                out.copy_(self.log_of_block(block.to(self.keys.device)))
            return found

        return in_smaller_blocks(fill, min(block_size, max(len(z), 1)))

    def log_of_block(self, z: Tensor) -> Tensor:
        """As `log_of`, with all pairs at once."""
        rows = self.metric.prepare(z) - self.center
        products = torch.addmm(self.offset, rows * self.factor, self.keys.T)  # (b, m)
        return self.log_of_logits(self.logits_of(products, rows))

    def logits_of(self, products: Tensor, rows: Tensor) -> Tensor:
        """The logits (b, m), from products with the offset added, and the rows (b, d)."""
        if not self.metric.root:
            return products
        rest = self.metric.rest(rows)[:, None]  # (b, 1)
        distances = (rest - products).relu().sqrt()
        # Of a query that is one of the keys only rounding is left, which depends on the others.
        distances = distances * (distances > resolution(rest))
        return self.log_key_weight - distances / self.temperature

    def log_of_logits(self, logits: Tensor) -> Tensor:
        """From -distance / temperature (b, m), up to a constant of each row, to the logarithms
        (b, n_classes). It uses up the logits.
        """
        sums = [
            _log_sums_(part.unflatten(1, shape))
            for part, shape in zip(logits.split(self.widths, dim=1), self.shapes, strict=True)
        ]
        return torch.cat(sums, dim=1)[:, self.place].log_softmax(1)


def _log_sums_(logits: Tensor) -> Tensor:
    """The logarithm of the sums (b, c) of the exponentials; overwrites `logits` (b, c, k)."""
    if logits.shape[2] == 0:
        return logits.new_full(logits.shape[:2], -torch.inf)
    largest, sums = exp_rows_(logits)
    log_sums = (largest + sums.log()).squeeze(-1)
    return log_sums.masked_fill(log_sums < NOWHERE[logits.dtype] / 4, torch.nan)
