"""From the parameters to an encoder network, the user's own included."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor, nn

from ..networks import MLPEncoder, encode


def make_encoder(
    encoder: nn.Module | Callable[[int, int], nn.Module] | None,
    n_features: int,
    n_components: int | None,
    *,
    hidden_layer_sizes: Sequence[int],
    activation: str,
    dropout: float,
) -> nn.Module:
    """A new network after the parameters of the same names; the user's module is copied.

    Raises
    ------
    ValueError
        If a layer size is not positive, or `encoder` makes no module.
    """
    if isinstance(encoder, nn.Module):
        return copy.deepcopy(encoder)
    if n_components is None:
        raise TypeError("n_components may be None only with a module as encoder.")
    if encoder is None:
        sizes = [int(size) for size in np.ravel(np.asarray(hidden_layer_sizes))]
        if any(size < 1 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        return MLPEncoder(
            n_features,
            n_components,
            hidden_layer_sizes=sizes,
            activation=activation,
            dropout=dropout,
        )
    network = encoder(n_features, n_components)
    if not isinstance(network, nn.Module):
        raise ValueError(f"encoder must return a torch.nn.Module, got {network!r}.")
    return network


def width_of_codes(network: nn.Module, x: Tensor, expected: int | None) -> int:
    """The number of components that the network gives, seen on a row of `x`.

    Raises
    ------
    ValueError
        If the network cannot read the row or gives something else than `expected`.
    """
    try:
        codes = encode(network, x[:1])
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"encoder cannot read rows of {x.shape[1]} features: {error}") from error
    if codes.ndim != 2 or expected not in (None, codes.shape[1]):
        raise ValueError(
            f"encoder must give codes of shape (n_samples, {expected or 'n_components'}), "
            f"got {tuple(codes.shape)} for one row."
        )
    return codes.shape[1]
