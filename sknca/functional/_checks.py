"""Checks of the arguments of the losses, and their error messages."""

import functools
import math
from numbers import Real
from typing import Any

import torch
from torch import Tensor

#: How the losses of the samples are reduced.
_REDUCTIONS = ("mean", "sum", "none")


@functools.cache
def widest_float(device: torch.device, dtype: torch.dtype = torch.float64) -> torch.dtype:
    """The dtype, or float32 on a device without double precision (Apple's)."""
    try:
        return torch.empty(0, dtype=dtype, device=device).dtype
    except (TypeError, RuntimeError):
        return torch.float32


def check_floats(z: Tensor, name: str) -> Tensor:
    """`z` in float32 or float64."""
    if not isinstance(z, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(z).__name__}.")
    if not z.is_floating_point():
        raise ValueError(f"{name} must have a floating-point dtype, got {z.dtype}.")
    return z if z.dtype in (torch.float32, torch.float64) else z.float()


def check_rows(z: Tensor, name: str) -> Tensor:
    """`z` as a matrix in float32 or float64."""
    if isinstance(z, Tensor) and (z.ndim != 2 or z.shape[1] == 0):
        raise ValueError(
            f"{name} must have 2 dimensions (samples, features) and at least one feature, "
            f"got shape {tuple(z.shape)}."
        )
    return check_floats(z, name)


def check_pair(a: Tensor, b: Tensor, names: tuple[str, str]) -> tuple[Tensor, Tensor]:
    """Both as floating-point matrices of one width and dtype."""
    a, b = check_rows(a, names[0]), check_rows(b, names[1])
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same number of features, "
            f"got {a.shape[1]} and {b.shape[1]}."
        )
    dtype = torch.promote_types(a.dtype, b.dtype)
    return a.to(dtype), b.to(dtype)


def check_reduction(reduction: str) -> None:
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction must be one of {_REDUCTIONS}, got {reduction!r}.")


def check_labels(y: Tensor, z: Tensor, name: str) -> Tensor:
    if not isinstance(y, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(y).__name__}.")
    if y.shape != z.shape[:1]:
        raise ValueError(
            f"{name} must have one label for each of the {len(z)} samples, "
            f"got shape {tuple(y.shape)}."
        )
    if y.is_floating_point() or y.is_complex():
        raise ValueError(f"{name} must contain integer class labels, got {y.dtype}.")
    return y.long().to(z.device)


def check_weight(weight: Tensor | None, z: Tensor, name: str) -> Tensor | None:
    if weight is None:
        return None
    if not isinstance(weight, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(weight).__name__}.")
    if weight.shape != z.shape[:1]:
        raise ValueError(
            f"{name} must have one weight for each of the {len(z)} samples, "
            f"got shape {tuple(weight.shape)}."
        )
    weight = weight.detach().to(z)
    if weight.device.type != "cpu":
        # Reading from a GPU would make every step wait for it.
        return torch.where(weight >= 0, weight, torch.nan)
    if bool((weight < 0).any()):
        raise ValueError(f"{name} must not be negative, got {weight.min().item()}.")
    return weight


def check_temperature(temperature: float | Tensor, z: Tensor) -> Tensor | float:
    """A number rounded to the dtype of `z`, or a tensor () of it on its device."""
    if not isinstance(temperature, Tensor):
        rounded = torch.tensor(temperature, dtype=z.dtype, device="cpu").item()
        if not 0 < rounded < math.inf:
            too = "" if rounded == temperature else f", which is {rounded} in {z.dtype}"
            raise ValueError(f"temperature must be positive, got {temperature}{too}.")
        return rounded
    if temperature.numel() != 1:
        raise ValueError(f"temperature must be one number, got shape {tuple(temperature.shape)}.")
    temperature = temperature.reshape(())
    if temperature.device.type != "cpu":
        temperature = torch.where(temperature > 0, temperature, torch.nan)  # as for the weights
    elif not 0 < temperature.item() < torch.inf:
        raise ValueError(f"temperature must be positive, got {temperature.item()}.")
    return temperature.to(z.device, z.dtype)


def check_first(first: int, z: Tensor, neighbors: Tensor) -> None:
    """Refuse a place of `z` among its neighbors that cannot be."""
    last = len(neighbors) - len(z)
    if not (isinstance(first, int) and 0 <= first <= last):
        raise ValueError(
            f"first_neighbor must be an integer from 0 to {last}, where {len(z)} samples fit into "
            f"{len(neighbors)} neighbors; got {first!r}."
        )


def check_q(q: Any) -> None:
    if isinstance(q, Tensor):
        return  # reading it would wait for its device
    if not isinstance(q, Real) or not 0 <= float(q) <= 1:
        raise ValueError(f"q must be a number from 0 to 1, got {q!r}.")


def check_margin(margin: Any) -> float:
    if not isinstance(margin, Real) or not float(margin) >= 0:
        raise ValueError(f"margin must be a non-negative number, got {margin!r}.")
    return float(margin)
