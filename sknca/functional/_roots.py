"""The square root of a bilinear form as a distance, and its gradient.

A form is a difference of large numbers. If two codes are close to each other and far from the
center, little but rounding is left of it, and the gradient of the root, 1 / (2 d), would be
arbitrarily large. Therefore it is divided by at least the distance that the rounding of the form
amounts to. The pull of a pair on a code is then bounded, as it is for all other pairs, and goes to
0 as the two codes meet. The distances themselves are not changed.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

#: The rounding error of a form, in units of the last place of the terms that cancel.
_ROUNDING = 4.0


def roots_(forms: Tensor, scale: Tensor | float, out: Tensor | None = None) -> Tensor:
    """Turn forms (n, m) in place into logits, -scale * distance, and return the distances."""
    distances = torch.sqrt(forms.relu_(), out=out)
    torch.mul(distances, -scale, out=forms)
    return distances


def resolution(terms: Tensor) -> Tensor:
    """The distances that rounding amounts to, from the terms (n, 1) that cancel in a form."""
    info = torch.finfo(terms.dtype)
    return (_ROUNDING * info.eps * terms.abs()).sqrt_().clamp_min_(info.tiny**0.5)


def divisors_(distances: Tensor, least: Tensor) -> Tensor:
    """Turn distances in place into the numbers whose double divides a gradient in them: at least
    `least`, and infinite for two codes that coincide.
    """
    return functional.threshold(distances, 0.0, math.inf, inplace=True).clamp_min_(least)


class Root(torch.autograd.Function):
    """The square root of a form that is not negative."""

    @staticmethod
    def forward(ctx: Any, form: Tensor, least: Tensor) -> Tensor:
        distances = form.sqrt()
        ctx.save_for_backward(distances, least)
        return distances

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        distances, least = ctx.saved_tensors
        return grad / (2 * divisors_(distances.clone(), least)), None
