"""What the package asks of an encoder."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from .._sparse_rows import Rows
from .._torch_compat import has_hooks
from ._activations import ACTIVATIONS
from ._unit_code import encoder_of

#: What a file has of a network: values of Python's own types, and its tensors.
Description = Mapping[str, Any]
Tensors = Mapping[str, Tensor]

#: Rows that go through a network together after training.
CHUNK_ROWS = 256

#: The layers of torch that say nothing themselves: multiplications of each for a row. Modules
#: without parameters cost little.
_PRODUCTS: dict[type[nn.Module], Callable[[Any], float]] = {
    nn.Linear: lambda layer: layer.weight.numel(),
    nn.LayerNorm: lambda layer: 0,
    nn.BatchNorm1d: lambda layer: 0,
}

#: The modules of torch that are plain, as `Encoder.is_plain` says it.
_PLAIN = {nn.Linear, nn.Sequential, nn.ModuleList}
_PLAIN |= {type(make()) for make in ACTIVATIONS.values()}


class Encoder:
    """What the package asks of an encoder, with the cautious answers for a module of which nothing
    is known. A class of encoders derives from it and from `nn.Module`, and says what it knows.

    Attributes
    ----------
    starts_from_data : bool
        Whether a new one reads centered features, and `start_from` is called before its training.
        Of the class, because it is asked before there is an encoder.

    reads_sparse : bool
        Whether it reads `SparseRows` too.

    is_plain : bool
        Whether it runs the same operators for all batches of a size, does not wait for the device,
        and draws nothing but by `nn.Linear`, to start, and by the package's `Dropout`. Its steps
        can then be recorded on a GPU, and several fits may run at a time. Not inherited, because a
        subclass may do anything. Layers may have it too.

    product_of_a_row : float or None
        Multiplications for a row in the largest matrix product with its own parameters, those of
        its submodules aside. If None, it is unknown, and taken as infinite if there are such
        parameters. Threads follow from it, and whether a few more rows may be computed. Layers may
        have it too.

    gpu_chunk_rows : int
        How many rows go through it together on a GPU after training.

    spread : Tensor of shape (n_inputs,) or None
        The unit of each feature, in which the features together have about unit variance. If known,
        samples are perturbed in these units (adversarial training).
    """

    starts_from_data: ClassVar[bool] = False
    is_plain: ClassVar[bool] = False
    reads_sparse: bool = False
    product_of_a_row: float | None = None
    gpu_chunk_rows: int = CHUNK_ROWS

    @property
    def spread(self) -> Tensor | None:
        return None

    def start_from(self, x: Rows, spread: Tensor) -> None:
        """Initialize it from centered samples `x` (n, n_inputs) and the spread (n_inputs,) of the
        features.
        """

    def set_scale(self, x: Rows, spread: Tensor) -> Any:
        """Set the scale of the features alone, when more samples have been seen."""

    def squash(self, x: Tensor) -> Tensor:
        """The features (n, n_inputs) as its first layer reads them."""
        return x

    def hidden_layers(self) -> list[str] | None:
        """Names of its hidden layers; None: its submodules."""
        return None

    def made_with(self) -> dict[str, Any] | None:
        """The parameters of an estimator with which this encoder would be made, as far as there are
        such; None if there are none.
        """
        return {}

    def describe(self) -> dict[str, Any] | None:
        """What a file needs beside its tensors, in Python's own types; None if nothing describes
        it, because its layers were changed.
        """
        return {}

    @classmethod
    def from_description(cls, about: Description, tensors: Tensors, n_in: int, n_out: int) -> Self:
        """An encoder for these tensors, which are loaded into it next.

        Raises
        ------
        ValueError
            That names what of the description is wrong. Shapes are compared by the caller.
        """
        raise NotImplementedError


#: Of modules of which nothing is known.
_UNKNOWN = Encoder()


def answers_of(network: nn.Module) -> Encoder:
    """What is known of the encoder of a network."""
    encoder = encoder_of(network)
    return encoder if isinstance(encoder, Encoder) else _UNKNOWN


def class_made_by(maker: object) -> type[Encoder]:
    """What is known of the encoders that a callable makes: their class, if it is the callable or is
    within a `partial`.
    """
    while isinstance(maker, partial):
        maker = maker.func
    return maker if isinstance(maker, type) and issubclass(maker, Encoder) else Encoder


def says_plain(kind: type) -> bool:
    """Whether a class says so itself."""
    return kind in _PLAIN or vars(kind).get("is_plain") is True


def is_plain(network: nn.Module) -> bool:
    """Whether all modules of a network are plain and have no hooks."""
    return all(says_plain(type(m)) and not has_hooks(m) for m in network.modules())


def product_of_a_row(modules: Iterable[nn.Module]) -> float:
    """Multiplications for a row in the largest matrix product of modules, infinite if unknown."""
    return max(map(_own_product, modules), default=0)


def largest_product(network: nn.Module, n_rows: int) -> float:
    """Multiplications in the largest matrix product for so many rows, infinite if unknown."""
    product = product_of_a_row(network.modules())
    return product if math.isinf(product) else n_rows * product


def _own_product(module: Any) -> float:
    kind = type(module)
    if kind in _PRODUCTS:
        return _PRODUCTS[kind](module)
    said: float | None = module.product_of_a_row if hasattr(kind, "product_of_a_row") else None
    if said is not None:
        return said
    return math.inf if module._parameters else 0
