"""The interface of what the training loop minimizes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn

from .._sparse_rows import Rows
from ..data import Batch
from ..functional import ClassProbabilities, Metric, check_metric, widest_float
from ..networks import apply, is_plain
from ._primary import PrimaryLoss

#: The total loss, and the named parts that it is the sum of.
Loss = tuple[Tensor, Mapping[str, Tensor]]


class EmbeddingObjective(nn.Module, ABC):
    """The loss of a network's codes.

    Parameters
    ----------
    network : nn.Module
        From samples (n, n_features) to codes (n, n_components).
    """

    metric: str | Metric  # of the codes

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @property
    def has_fixed_steps(self) -> bool:
        """Whether a step consists of the same operators for all batches of a size, and waits for
        nothing. It does if all modules are of the package. A custom one may do anything.
        """
        networks: list[nn.Module] = []
        for module in self.children():
            if not isinstance(module, PrimaryLoss):
                networks.append(module)
            elif not vars(type(module)).get("has_fixed_steps", False):
                return False
            else:
                networks += module.children()
        return all(map(is_plain, networks))

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts of the loss in the record of an epoch."""
        return ()

    @property
    def decoder(self) -> nn.Module | None:
        """What reconstructs samples from codes, if something does."""
        return None

    def train(self, mode: bool = True) -> Self:
        """Switch to training mode, except for modules whose parameters are all frozen: these do not
        change, including the running statistics of their batch norms.
        """
        super().train(mode)
        if any(not p.requires_grad for p in self.parameters()):
            for module in self.modules():
                parameters = [*module.parameters()]
                if parameters and not any(p.requires_grad for p in parameters):
                    module.eval()
        return self

    def codes(self, x: Rows) -> Tensor:
        """The codes of rows as the loss compares them, without gradient."""
        return apply(self.network, x)

    @abstractmethod
    def forward(self, batch: Batch, epoch: int | Tensor) -> Loss:
        """The loss of a batch in an epoch."""

    @abstractmethod
    def held_out(self, rows: Batch, training_rows: Batch | None) -> Tensor:
        """Loss of held-out samples, whose neighbors are searched among training samples, as a
        nearest-neighbor classifier on the codes does. Without training samples, neighbors are
        searched among the held-out ones, as in retrieval of classes that are not trained on. The
        settings are those of the last epoch.
        """

    #: Whether `adapt_to` does anything.
    adapts = False

    def adapt_to(self, training_rows: Batch | None) -> None:
        """Adapt the settings of the later epochs to some of the training samples; None means that
        the samples are assumed to agree with their labels.
        """

    def training_state(self) -> dict[str, Any]:
        """Everything that changes in a training, except the tensors of `state_dict`."""
        return {}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Continue from this state."""

    def overfitting(self, rows: Batch, training_rows: Batch) -> tuple[Tensor, Tensor]:
        """The two numbers that show overfitting: a loss of held-out samples among training samples,
        and the probability with which a training sample picks a neighbor of another class.
        """
        raise NotImplementedError

    def continue_from(self, previous: "EmbeddingObjective", *, same_classes: bool) -> None:
        """Take over everything that `previous` has learned except its network, if it still fits."""

    def class_probabilities(self, x: Rows, among: Batch, n_classes: int) -> Tensor:
        """The probability (n, n_classes) that the soft neighbor of a sample is of each class, at
        the temperature of the last epoch. Neighbors are searched among labeled samples.
        """
        order = among.y.argsort(stable=True)
        dtype = widest_float(among.y.device)
        keys = self.codes(among.x).to(dtype)[order]
        weight = among.weight
        probabilities = ClassProbabilities(
            keys,
            among.y.bincount(minlength=n_classes),
            self.last_temperature,
            check_metric(self.metric),
            keys.new_zeros(len(keys)) if weight is None else weight.to(dtype)[order].log(),
        )
        return probabilities.log_of(self.codes(x).to(dtype)).exp()

    @property
    def last_temperature(self) -> float:
        """The temperature of the codes after the last epoch."""
        return check_metric(self.metric).temperature

    @abstractmethod
    def settings(self, epoch: int) -> Mapping[str, Any]:
        """The settings of the loss in this epoch."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The trainable parameters, as an optimizer expects them."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]
