"""The distances between codes: each prepares its samples, and is then a bilinear form of them, or
the square root of one.

A new metric is one more entry of `METRICS`, or one that users pass. Nothing else in the package
compares names of metrics: the losses, the mining, the scores and the estimators use the entry.
"""

import math
from dataclasses import dataclass, fields
from functools import reduce
from typing import Literal

import torch
from torch import Tensor

from ._roots import Root, resolution

#: For annotations; the keys of `METRICS`.
MetricName = Literal["sqeuclidean", "euclidean", "cosine"]


@dataclass(frozen=True)
class Metric:
    """A distance of codes that is a bilinear form of them, or the square root of one, for `metric`.

    The form is `constant + squares * (|a|² + |b|²) - product * (a . b)`, and must be at least 0.
    The losses depend on differences of distances alone, so most terms cancel, unless the distance
    is a square root.

    Parameters
    ----------
    constant, squares, product : float
        The coefficients.

    temperature, margin : float
        What `temperature="auto"` and `margin="auto"` mean. A bounded distance needs smaller ones.

    unit_length : bool, default=False
        Whether samples are L2-normalized first. The codes of an embedding then are, too.

    complex_rows : bool, default=False
        Whether samples may be complex. Their real and imaginary parts are then taken side by side.

    root : bool, default=False
        Whether the distance is the square root of the form. Its gradient is 0 between codes that
        coincide.
    """

    constant: float
    squares: float
    product: float
    temperature: float
    margin: float
    unit_length: bool = False
    complex_rows: bool = False
    root: bool = False

    def __post_init__(self) -> None:
        coefficients = (self.constant, self.squares, self.product)
        least = self.constant + 2 * self.squares - self.product
        if not self.unit_length:
            least = min(self.constant, 2 * self.squares - self.product)
        if not (all(map(math.isfinite, coefficients)) and self.product > 0 and least >= 0):
            raise ValueError(
                "A Metric must never be negative, and must fall as the product of two samples "
                f"grows, got {self}."
            )

    def __repr__(self) -> str:
        # It distinguishes fits in checkpoints, and those of version 0.2 have no `root`.
        shown = [one.name for one in fields(self) if one.name != "root" or self.root]
        return f"Metric({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    @property
    def shift_invariant(self) -> bool:
        """Whether it depends on a - b alone, so that rows may be centered."""
        return self.product == 2 * self.squares

    @property
    def largest(self) -> float:
        """No distance is larger; infinite if there is no bound."""
        largest = self._largest_form
        return math.sqrt(largest) if self.root else largest

    @property
    def _largest_form(self) -> float:
        return self.constant + 2 * self.squares + self.product if self.unit_length else torch.inf

    def real(self, *rows: Tensor) -> tuple[Tensor, ...]:
        """Complex rows as real ones, if the metric accepts them. Called before all other checks."""
        return real_rows(*rows) if self.complex_rows else rows

    def temperature_of(self, given: float | Literal["auto"]) -> float:
        """The number that a parameter `temperature` means."""
        return self.temperature if given == "auto" else float(given)

    def prepare(self, z: Tensor) -> Tensor:
        """The rows (n, d) that the bilinear form is of; differentiable."""
        return unit_rows(z) if self.unit_length else z

    def bilinear(self, z: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Queries (n, d), keys (m, d) and bias (m,) with `queries @ keys.T + bias` = -form, up to a
        term that is constant along a row.
        """
        rows = self.prepare(z)
        rows, columns = self._centered(rows, rows if keys is z else self.prepare(keys))
        return self.product * rows, columns, self.bias(columns)

    def comparable(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """As `bilinear` of `z` with itself. If the distance is a square root, of which a constant
        along a row does not cancel, it is the whole form, and there is no bias.
        """
        if not self.root:
            return self.bilinear(z, z)
        rows = self.prepare(z)
        queries, keys = self.factors(rows, rows)
        return -queries, keys, None

    def factors(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (n, d + 2) and keys (m, d + 2) of prepared rows and columns, whose product
        `queries @ keys.T` is the whole form; differentiable.
        """
        rows, columns = self._centered(rows, columns)
        rest, norms = self.rest(rows)[:, None], self.squares * columns.square().sum(1, keepdim=True)
        queries = torch.cat([-self.product * rows, rest, torch.ones_like(rest)], 1)
        return queries, torch.cat([columns, torch.ones_like(norms), norms], 1)

    def _centered(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Prepared rows and columns, whose offset would cost precision, without it."""
        if not self.shift_invariant:
            return rows, columns
        center = common_center(rows, columns, on_grid=True)
        same = columns is rows
        rows = rows - center
        return rows, rows if same else columns - center

    def bias(self, keys: Tensor) -> Tensor | None:
        """The bias (m,) of the bilinear form for prepared keys (m, d), or None for zeros."""
        return -self.squares * keys.square().sum(1) if self.squares else None

    def rest(self, keys: Tensor) -> Tensor:
        """What `bilinear` leaves out of the forms of each of the keys (m, d) that it returned and
        all others: (m,).
        """
        return self.constant + self.squares * keys.square().sum(1)

    def distances(self, a: Tensor, b: Tensor) -> Tensor:
        """From every row of `a` to every row of `b`, (n, m)."""
        if self.root:
            return self._roots(a, b)
        d = self.unbounded(a, b)
        # relu_ is the clamp at zero that keeps no second (n, m) matrix for its gradient.
        return d.relu_() if self.largest == torch.inf else d.clamp(0, self.largest)

    def _roots(self, a: Tensor, b: Tensor) -> Tensor:
        with torch.autocast(a.device.type, enabled=False):
            queries, keys = self.factors(self.prepare(a), self.prepare(b))
            form = (queries @ keys.T).clamp(0, self._largest_form)
            distances: Tensor = Root.apply(form, resolution_of(queries))
            return distances

    def unbounded(self, a: Tensor, b: Tensor) -> Tensor:
        """The form of every row of `a` and every row of `b`. What should be 0 may be negative by
        rounding.
        """
        with torch.autocast(a.device.type, enabled=False):
            a, b = self.prepare(a), self.prepare(b)
            if self.shift_invariant:
                center = common_center(a, b, on_grid=True)
                a, b = a - center, b - center
            if not self.squares:
                return self.constant - self.product * (a @ b.T)
            a_norms = self.constant + self.squares * a.square().sum(1, keepdim=True)  # (n, 1)
            b_norms = self.squares * b.square().sum(1)  # (m,)
            return torch.addmm(b_norms, a, b.T, alpha=-self.product).add_(a_norms)

    def of_pairs(self, a: Tensor, b: Tensor) -> Tensor:
        """From each prepared row of `a` (n, d) to the same row of `b` (n, d): (n,)."""
        form = self._form_of_pairs(a, b)
        if not self.root:
            return form
        # Differences of codes are exact, so that a distance may be as small as they are.
        terms = torch.zeros_like(form) if self.shift_invariant else self.rest(a)
        distances: Tensor = Root.apply(form.relu(), resolution(terms.detach()))
        return distances

    def _form_of_pairs(self, a: Tensor, b: Tensor) -> Tensor:
        if self.shift_invariant:
            return self.constant + self.squares * (a - b).square().sum(1)
        d = self.constant - self.product * (a * b).sum(1)
        return d + self.squares * (a.square() + b.square()).sum(1) if self.squares else d


METRICS: dict[str, Metric] = {
    "sqeuclidean": Metric(constant=0, squares=1, product=2, temperature=1.0, margin=1.0),
    "euclidean": Metric(constant=0, squares=1, product=2, temperature=0.3, margin=0.5, root=True),
    "cosine": Metric(
        constant=1,
        squares=0,
        product=1,
        temperature=0.1,
        margin=0.2,
        unit_length=True,
        complex_rows=True,
    ),
}


def check_metric(metric: str | Metric) -> Metric:
    """The metric that the parameter means, a name or the metric itself."""
    if isinstance(metric, Metric):
        return metric
    if not isinstance(metric, str) or metric not in METRICS:
        raise ValueError(
            f"metric must be one of {tuple(METRICS)}, got {metric!r}. Another distance must be a "
            "Metric: a bilinear form of the samples, or its square root."
        )
    return METRICS[metric]


def resolution_of(queries: Tensor) -> Tensor:
    """The distances (n, 1) that rounding amounts to, of queries (n, d + 2) of `Metric.factors`."""
    return resolution(queries[:, -2:-1].detach())


def farthest(queries: Tensor, keys: Tensor) -> Tensor:
    """A number () that no distance exceeds, of the queries and keys of `Metric.factors`."""
    return (2 * (queries[:, -2].abs().max() + keys[:, -1].abs().max())).sqrt()


def unit_rows(z: Tensor) -> Tensor:
    """The L2-normalized rows of `z` (n, d); a row of zeros stays zero and gets no gradient."""
    # Divided by its largest entry, the squares of a tiny or huge row neither vanish nor overflow.
    # The length of a row does not matter, so that entry is a constant for the gradient.
    largest = z.detach().abs().amax(1, keepdim=True)  # (n, 1)
    nonzero = largest != 0
    z = z / torch.where(nonzero, largest, 1)
    norms = torch.linalg.vector_norm(z, dim=1, keepdim=True)  # (n, 1)
    units: Tensor = z / torch.where(nonzero, norms, 1) * nonzero
    return units


def real_rows(*rows: Tensor) -> tuple[Tensor, ...]:
    """Rows whose real product is the real part of the Hermitian one: if any is complex, each
    row's real and imaginary parts side by side.
    """
    if not any(isinstance(z, Tensor) and z.is_complex() for z in rows):
        return rows
    dtype = reduce(torch.promote_types, (z.dtype for z in rows))
    return tuple(torch.view_as_real(z.to(dtype)).flatten(1) for z in rows)


def common_center(a: Tensor, b: Tensor, *, on_grid: bool = False) -> Tensor:
    """The mean of all rows of both; a constant, because distances do not depend on it.

    With `on_grid`, a point near the mean on a grid whose step is a power of two, as fine as the
    spread of the rows. Numbers on such a grid (integers, for example) are still on it after the
    subtraction, so that their distances are exact.
    """
    with torch.no_grad():
        mean = a.mean(0) if a is b else (a.sum(0) + b.sum(0)) / max(len(a) + len(b), 1)
        if not on_grid:
            return mean
        spread = (a - mean).abs().mean()
        step = torch.where(spread > 0, spread, 1).log2().floor().exp2()
        return (mean / step).round() * step
