"""What the training loop is given to minimise."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn

from ..data import Batch
from ..networks import apply, is_plain
from ._primary import PrimaryLoss

#: The total loss, and the named parts that it is the sum of.
Loss = tuple[Tensor, Mapping[str, Tensor]]


class EmbeddingObjective(nn.Module, ABC):
    """The loss of a network's codes.

    Parameters
    ----------
    network : nn.Module
        From rows (n, n_features) to codes (n, n_components).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    def has_fixed_steps(self) -> bool:
        """Whether a step is the same operators for all batches of a size, and waits for nothing.
        So it is if all modules are of the package; a custom one may do anything.
        """
        networks: list[nn.Module] = []
        for module in self.children():
            networks += module.children() if isinstance(module, PrimaryLoss) else [module]
        return all(map(is_plain, networks))

    def train(self, mode: bool = True) -> Self:
        """Switch to training, but for modules whose parameters are all frozen: what is frozen
        stays as it is, the running statistics of its batch norms too.
        """
        super().train(mode)
        if any(not p.requires_grad for p in self.parameters()):
            for module in self.modules():
                parameters = [*module.parameters()]
                if parameters and not any(p.requires_grad for p in parameters):
                    module.eval()
        return self

    def codes(self, x: Tensor) -> Tensor:
        """The codes of rows as the loss compares them, without gradient."""
        return apply(self.network, x)

    @abstractmethod
    def forward(self, batch: Batch, epoch: int | Tensor) -> Loss:
        """The loss of a batch in an epoch."""

    @abstractmethod
    def held_out(self, rows: Batch, training_rows: Batch | None) -> Tensor:
        """Loss of held-out rows that look for their neighbours among training rows, as a
        nearest-neighbour classifier on the codes will; or, without these, among themselves, as
        in retrieval of classes that are not trained on. Always as in the last epoch.
        """

    #: Whether `adapt_to` does anything.
    adapts = False

    def adapt_to(self, training_rows: Batch | None) -> None:
        """Adapt what the later epochs use to a sample of the training rows; None if they are
        taken to agree with their labels.
        """

    def training_state(self) -> dict[str, Any]:
        """What changes in a training beside the tensors of `state_dict`."""
        return {}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on where a training with this state was."""

    def overfitting(self, rows: Batch, training_rows: Batch) -> tuple[Tensor, Tensor]:
        """What tells overfitting: a loss of held-out rows among training rows, and the probability
        with which a training row picks a neighbor of another class.
        """
        raise NotImplementedError

    def continue_from(self, previous: "EmbeddingObjective", *, same_classes: bool) -> None:
        """Take over what `previous` has learned beside its network, where it still fits."""

    @abstractmethod
    def settings(self, epoch: int) -> Mapping[str, Any]:
        """What the loss goes by in this epoch."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What there is to train, as an optimizer takes it."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]
