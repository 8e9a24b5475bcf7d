"""Primary losses, which are trained together with the soft nearest neighbor loss.

A new primary loss is one more class in `PRIMARY_LOSSES`, or one that users pass. Nothing else in
the package compares names of primary losses: the class says what it needs.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from .._sparse_rows import Rows, dense
from ..distributed import Part
from ..networks import at_least_single, linear

#: Held-out samples for which a primary loss is computed together.
_PIECE_ROWS = 4096


@dataclass(frozen=True)
class PrimaryTask:
    """What a primary loss is built for."""

    n_components: int  # of a code
    n_features: int
    n_classes: int  # 0 if nothing is learned from labels
    make_decoder: Callable[[], nn.Module]  # from codes to samples, as the parameters say


class PrimaryLoss(nn.Module, ABC):
    """A loss of each sample that is minimized together with the soft nearest neighbor loss.

    Derive a class from it, and pass the class as `primary_loss` of
    :class:`~sknca.SNNLEmbedding`.

    Attributes
    ----------
    name : str
        What the loss is called in `history_` and in loss curves.

    needs_labels : bool, default=True
        Whether it is computed from labels. Then the mean is over the samples that have a label,
        with the weights of their classes.

    fixed_classes : bool, default=False
        Whether it is built for the classes of the fit, so that no other class may come.

    has_decoder : bool, default=False
        Whether it has a module `decoder` that reconstructs samples from codes.

    has_fixed_steps : bool, default=False
        Whether it consists of the same operators for all batches of a size, and never waits for the
        device. Then a GPU may record a step and replay it. It is not inherited.
    """

    name: ClassVar[str]
    needs_labels: ClassVar[bool] = True
    fixed_classes: ClassVar[bool] = False
    has_decoder: ClassVar[bool] = False
    has_fixed_steps: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def build(cls, task: PrimaryTask) -> Self:
        """The loss with its layers.

        Parameters
        ----------
        task : PrimaryTask
            Has `n_components`, `n_features`, `n_classes`, and `make_decoder()`, which returns the
            decoder that the parameters of the embedding describe.

        Returns
        -------
        loss : PrimaryLoss
            On the CPU, in float32.
        """

    @abstractmethod
    def of_rows(self, code: Tensor, x: Rows, y: Tensor) -> Tensor:
        """The loss of each sample.

        Parameters
        ----------
        code : Tensor of shape (n, n_components)
            Codes.

        x : Tensor of shape (n, n_features)
            The samples.

        y : Tensor of shape (n,)
            Their classes, from 0; -1 for a sample without a label, whose loss may be anything
            finite.

        Returns
        -------
        losses : Tensor of shape (n,)
            Differentiable.
        """

    def weight_of_rows(self, y: Tensor, weight: Tensor | None) -> Tensor | None:
        """The weight (n,) of each sample in the mean; None if all are equal."""
        if not self.needs_labels:
            return weight
        return (y >= 0).to(torch.float32) if weight is None else weight * (y >= 0)

    def forward(
        self, code: Tensor, x: Rows, y: Tensor, weight: Tensor | None, part: Part | None = None
    ) -> Tensor:
        """Weighted mean over the samples of a batch; or, if several processes have a part of it,
        the share of this one, with the weights of all.
        """
        return self._mean(self._checked(code, x, y), y, weight, part)

    def in_pieces(
        self, code: Tensor, x: Rows, y: Tensor, weight: Tensor | None, part: Part | None = None
    ) -> Tensor:
        """The same for samples `x` that may not fit on the device, and may be on the host."""
        pieces = zip(*(t.split(_PIECE_ROWS) for t in (code, x, y)), strict=True)
        losses = [self._checked(c, some.to(c.device), labels) for c, some, labels in pieces]
        return self._mean(torch.cat(losses), y, weight, part)

    def _checked(self, code: Tensor, x: Rows, y: Tensor) -> Tensor:
        """The loss (n,) of each sample. A mean, or a column, would be weighted wrongly."""
        losses: Any = self.of_rows(code, x, y)
        if isinstance(losses, Tensor) and losses.shape == y.shape:
            return losses
        got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise ValueError(
            f"{type(self).__name__}.of_rows must return the loss of each sample, of shape "
            f"{tuple(y.shape)}, got {got}."
        )

    def _mean(self, losses: Tensor, y: Tensor, weight: Tensor | None, part: Part | None) -> Tensor:
        weight = self.weight_of_rows(y if part is None else part.y, weight)
        if weight is None:
            return losses.mean() if part is None else part.share(losses.sum(), len(part.y))
        total = ((weight if part is None else weight[part.own]) * losses).sum()
        counted = weight.sum().clamp_min(torch.finfo(losses.dtype).tiny)
        return total / counted if part is None else part.share(total, counted)


class Reconstruction(PrimaryLoss):
    """Mean squared error of the reconstructions of `decoder`, over samples and features."""

    name = "reconstruction"
    needs_labels = False
    has_decoder = True
    has_fixed_steps = True

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    @classmethod
    def build(cls, task: PrimaryTask) -> Self:
        return cls(task.make_decoder())

    def of_rows(self, code: Tensor, x: Rows, y: Tensor) -> Tensor:
        errors = (at_least_single(self.decoder(code)) - dense(x)).square()
        return errors.flatten(1).mean(1)

    def forward(
        self, code: Tensor, x: Rows, y: Tensor, weight: Tensor | None, part: Part | None = None
    ) -> Tensor:
        if weight is None and part is None:  # one operator instead of several
            return nn.functional.mse_loss(at_least_single(self.decoder(code)), dense(x))
        return super().forward(code, x, y, weight, part)


class Classification(PrimaryLoss):
    """Cross-entropy of a linear layer on the codes, over the samples that have a label."""

    name = "classification"
    fixed_classes = True
    has_fixed_steps = True

    def __init__(self, n_components: int, n_classes: int) -> None:
        super().__init__()
        self.head = linear(n_components, n_classes)

    @classmethod
    def build(cls, task: PrimaryTask) -> Self:
        return cls(task.n_components, task.n_classes)

    def of_rows(self, code: Tensor, x: Rows, y: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.head(code), y, ignore_index=-1, reduction="none")


#: The primary losses that have a name as a parameter and in files.
PRIMARY_LOSSES: dict[str, type[PrimaryLoss]] = {
    loss.name: loss for loss in (Reconstruction, Classification)
}


#: Those of the package, whatever users add to the table.
_OF_PACKAGE = tuple(PRIMARY_LOSSES.values())

#: What else a record of `history_` has.
_TAKEN = ("epoch", "loss", "snnl", "temperature", "q", "learning_rate", "validation_loss")


def check_primary_loss(primary_loss: Any) -> type[PrimaryLoss] | None:
    """The class that the parameter means, a name or a class; None if there is no primary loss."""
    if primary_loss is None:
        return None
    if isinstance(primary_loss, str) and primary_loss in PRIMARY_LOSSES:
        primary_loss = PRIMARY_LOSSES[primary_loss]
    if not (isinstance(primary_loss, type) and issubclass(primary_loss, PrimaryLoss)):
        raise ValueError(
            f"primary_loss must be one of {tuple(PRIMARY_LOSSES)}, a class derived from "
            f"PrimaryLoss, or None; got {primary_loss!r}."
        )
    name = getattr(primary_loss, "name", None)
    if not isinstance(name, str) or name in ("", *_TAKEN):
        raise ValueError(
            f"{primary_loss.__name__}.name must be a string other than {', '.join(_TAKEN)}, which "
            f"history_ has too; got {name!r}."
        )
    return primary_loss


def is_of_package(primary_loss: type[PrimaryLoss] | None) -> bool:
    """Whether no code of the user runs with it, which may draw from torch's global generator."""
    return primary_loss is None or primary_loss in _OF_PACKAGE


def build_primary_loss(primary_loss: type[PrimaryLoss], task: PrimaryTask) -> PrimaryLoss:
    """The loss with its layers, checked.

    Raises
    ------
    ValueError
        If the class does not build what it must.
    """
    name, built = primary_loss.__name__, primary_loss.build(task)
    if not isinstance(built, PrimaryLoss):
        raise ValueError(f"{name}.build must return a PrimaryLoss, got {built!r}.")
    if built.has_decoder and not isinstance(getattr(built, "decoder", None), nn.Module):
        raise ValueError(f"{name} has has_decoder=True, but no module decoder.")
    return built
