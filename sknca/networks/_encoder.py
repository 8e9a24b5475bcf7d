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
    """What an encoder says of itself, so that it is used as the built-in one is.

    Derive a class from it and from `torch.nn.Module`, and pass the class, or a `functools.partial`
    of it, as `encoder` of :class:`~sknca.SNNLEmbedding` or :class:`~sknca.TripletEmbedding`. It is
    called with `n_features` and `n_components`. Every attribute and method has a default that suits
    a module of which nothing is known, so override only what applies.

    Attributes
    ----------
    starts_from_data : bool, default=False
        Whether the samples are centered, and `start_from` is called before the training. It must be
        an attribute of the class, because it is read before there is an encoder.

    is_plain : bool, default=False
        Whether it runs the same operators for all batches of a size, never waits for the device,
        and draws random numbers only to initialize `torch.nn.Linear`. Then its steps can be
        recorded on a GPU, and several fits can train at the same time. It is not inherited, because
        a subclass may do anything. Submodules must be plain too.

    reads_sparse : bool, default=False
        Whether it reads the sparse rows of the package too, for encoders inside the package.
        Otherwise, sparse samples are made dense, batch by batch.

    product_of_a_row : float or None, default=None
        Multiplications for one sample in the largest matrix product with its own parameters,
        without those of its submodules. The number of threads follows from it. If None, it is
        unknown, and all threads are used if it has parameters of its own.

    gpu_chunk_rows : int, default=256
        How many samples are transformed together on a GPU.

    spread : Tensor of shape (n_features,) or None
        The unit of each feature. In these units, the mean variance of the features should be about
        1. If not None, samples are perturbed in these units (adversarial training), and
        `adversarial_radius="auto"` means 0.7.

    See Also
    --------
    SNNLEmbedding : Its parameter `encoder` also takes any other module.
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
        """Initialize the encoder from samples. Called once, before the training.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
            Centered training samples on the CPU, at most about 4096.

        spread : Tensor of shape (n_features,)
            The spread of each feature, 0 if it is constant.
        """

    def set_scale(self, x: Rows, spread: Tensor) -> Any:
        """Update the scale of the features alone. Called before each further portion of a stream.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
            Centered samples of all portions so far.

        spread : Tensor of shape (n_features,)
            The spread of each feature, 0 if it is constant.
        """

    def squash(self, x: Tensor) -> Tensor:
        """Scale features as the first layer reads them. Neighbors among samples, to which labels
        spread before the training, are searched in this scale.

        Parameters
        ----------
        x : Tensor of shape (n, n_features)
            Centered samples.

        Returns
        -------
        scaled : Tensor of shape (n, n_features)
            The scaled features.
        """
        return x

    def hidden_layers(self) -> list[str] | None:
        """Name the hidden layers, for `layers` and `layer_entanglement`.

        Returns
        -------
        names : list of str or None
            Names of its modules. If None, its submodules.
        """
        return None

    def made_with(self) -> dict[str, Any] | None:
        """List the parameters of the estimator that this encoder was made with, so that a warm
        start refuses others. For encoders inside the package.

        Returns
        -------
        parameters : dict or None
            By name. If None, such an encoder cannot be made by parameters.
        """
        return {}

    def describe(self) -> dict[str, Any] | None:
        """Describe what a file needs in addition to the tensors. For encoders inside the package.

        Returns
        -------
        description : dict or None
            Values of Python's own types. None if nothing describes it, because its layers were
            changed.
        """
        return {}

    @classmethod
    def from_description(cls, about: Description, tensors: Tensors, n_in: int, n_out: int) -> Self:
        """Make an encoder for the tensors of a file. For encoders inside the package.

        Parameters
        ----------
        about : dict
            What `describe` returned.

        tensors : dict of Tensor
            The tensors, which are loaded into it next.

        n_in, n_out : int
            Numbers of features and of components. Shapes are compared by the caller.

        Returns
        -------
        encoder : Encoder
            The encoder.

        Raises
        ------
        ValueError
            If the description is wrong. The message names the entry.
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
    """Multiplications in the largest matrix product for `n_rows` rows, infinite if unknown."""
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
