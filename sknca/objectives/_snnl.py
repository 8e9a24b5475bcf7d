"""The soft nearest neighbour losses of a network's layers, and a primary loss beside them."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..functional import soft_nearest_neighbor_loss
from ..networks import CODE, apply_layers, run_layers
from ._base import EmbeddingObjective, LabelledRows, Loss
from ._loss import bounded_exp
from ._primary import Classification, PrimaryLoss


class SNNLObjective(EmbeddingObjective):
    """A primary loss, if any, and the soft nearest neighbour losses of a network's layers.

    Parameters
    ----------
    network : nn.Module
        From rows (n, n_features) to codes (n, n_components).

    metric : {"sqeuclidean", "cosine"}
        The distance between the answers of a layer.

    temperatures : sequence of float
        The temperature of each epoch.

    learned : bool, default=False
        Whether each layer's temperature is a parameter, which starts at the first of them.

    layers : sequence of str, default=(CODE,)
        Names of the modules of the network whose losses are added up.

    code_units : int, default=None
        How many of the first units of each layer the loss sees. None: all.

    primary : PrimaryLoss, default=None
        What is minimised beside. None: nothing.

    snnl_weight : float, default=1.0
        Of the soft nearest neighbour losses beside the primary loss; without one only its
        sign counts.

    partly_labeled : bool, default=False
        Whether some rows may have no label, -1.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        metric: str,
        temperatures: Sequence[float],
        learned: bool = False,
        layers: Sequence[str] = (CODE,),
        code_units: int | None = None,
        primary: PrimaryLoss | None = None,
        snnl_weight: float = 1.0,
        partly_labeled: bool = False,
    ) -> None:
        super().__init__(network)
        self.metric = metric
        self.temperatures = list(temperatures)
        # On the device too, for steps whose epoch is a tensor there.
        plan = torch.tensor(self.temperatures, dtype=torch.float32, device="cpu")
        self.register_buffer("_plan", plan, persistent=False)
        self.layers = list(layers)
        self.code_units = code_units
        self.primary = primary
        self.snnl_weight = snnl_weight
        self.partly_labeled = partly_labeled
        self._plan: Tensor
        self.log_temperatures: nn.Parameter | None = None
        if learned:
            start = torch.full((len(self.layers),), self.temperatures[0], device="cpu").log()
            self.log_temperatures = nn.Parameter(start)

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        weight: Tensor | None,
        epoch: int | Tensor,
        target: Tensor | None = None,
    ) -> Loss:
        answers = run_layers(self.network, x, self.layers)
        return self._loss(answers, (x if target is None else target, y, weight), epoch)

    def held_out(self, rows: LabelledRows, training_rows: LabelledRows | None) -> Tensor:
        self.eval()
        names = {*self.layers, CODE}
        answers = apply_layers(self.network, rows[0], names)
        training = None
        if self.snnl_weight != 0 and training_rows is not None:
            x, y, weight = training_rows
            training = apply_layers(self.network, x, names), y, weight
        with torch.no_grad():
            total, _ = self._loss(answers, rows, -1, training)
        return total

    def _loss(
        self,
        answers: Mapping[str, Tensor],
        rows: LabelledRows,
        epoch: int | Tensor,
        training: tuple[Mapping[str, Tensor], Tensor, Tensor | None] | None = None,
    ) -> Loss:
        """The loss of rows from their layers' answers; with `training` they look for their
        neighbours among those rows' answers instead of their own.
        """
        x, y, weight = rows
        code = answers[CODE]
        total = code.new_zeros(())
        parts: dict[str, Tensor] = {}
        if self.primary is not None:
            primary = self.primary if self.training else self.primary.in_pieces
            total = parts[self.primary.name] = primary(code, x, y, weight)
        if self.snnl_weight != 0:
            snnl = self._snnl(answers, y, weight, epoch, training)
            if self.primary is None:
                return snnl if self.snnl_weight > 0 else -snnl, {}
            parts["snnl"] = snnl
            total = total + self.snnl_weight * snnl
        return total, parts

    def _snnl(
        self,
        answers: Mapping[str, Tensor],
        y: Tensor,
        weight: Tensor | None,
        epoch: int | Tensor,
        training: tuple[Mapping[str, Tensor], Tensor, Tensor | None] | None,
    ) -> Tensor:
        """Sum of the layers' soft nearest neighbour losses."""
        sample_weight = self._weight_of_labeled(y, weight)
        losses = []
        for layer, temperature in zip(self.layers, self._temperatures(epoch), strict=True):
            among: dict[str, Any] = {}
            if training is not None:
                training_answers, training_y, training_weight = training
                among = {
                    "neighbors": self._seen(training_answers[layer]),
                    "neighbor_labels": training_y,
                    "neighbor_weight": self._weight_of_labeled(training_y, training_weight),
                }
            losses.append(
                soft_nearest_neighbor_loss(
                    self._seen(answers[layer]),
                    y,
                    temperature,
                    metric=self.metric,
                    sample_weight=sample_weight,
                    **among,
                )
            )
        return functools.reduce(torch.add, losses)

    def _seen(self, answer: Tensor) -> Tensor:
        """The units of a layer that the loss sees."""
        return answer if self.code_units is None else answer[:, : self.code_units]

    def _weight_of_labeled(self, y: Tensor, weight: Tensor | None) -> Tensor | None:
        """A row without a label is no row of the loss and nobody's neighbour: it weighs 0."""
        if not self.partly_labeled:
            return weight
        return (y >= 0).to(torch.float32) if weight is None else weight * (y >= 0)

    def _temperatures(self, epoch: int | Tensor) -> Sequence[float | Tensor]:
        if self.log_temperatures is not None:
            return list(bounded_exp(self.log_temperatures).unbind())
        if len(set(self.temperatures)) == 1:
            return self.temperatures[:1] * len(self.layers)
        if isinstance(epoch, Tensor):
            return [self._plan.index_select(0, epoch).squeeze(0)] * len(self.layers)
        return [self.temperatures[epoch]] * len(self.layers)

    def continue_from(self, previous: EmbeddingObjective, *, same_classes: bool) -> None:
        if not isinstance(previous, SNNLObjective):
            return
        same_start = self.temperatures[0] == previous.temperatures[0]
        if self.layers == previous.layers and same_start:
            _load_if_alike(self.log_temperatures, previous.log_temperatures)
        if type(self.primary) is type(previous.primary) and (
            same_classes or not isinstance(self.primary, Classification)
        ):
            _load_if_alike(self.primary, previous.primary)

    def settings(self, epoch: int) -> Mapping[str, Any]:
        if self.log_temperatures is None:
            return {"temperature": self.temperatures[epoch]}
        learned = bounded_exp(self.log_temperatures.detach()).tolist()
        return {"temperature": learned if len(learned) > 1 else learned[0]}

    def parameter_groups(self) -> list[dict[str, Any]]:
        temperatures = [] if self.log_temperatures is None else [self.log_temperatures]
        chosen = {id(parameter) for parameter in temperatures}
        others = [p for p in self.parameters() if p.requires_grad and id(p) not in chosen]
        # Weight decay would draw each temperature to 1.
        return [{"params": others}, {"params": temperatures, "weight_decay": 0.0}]


def _load_if_alike(
    target: nn.Module | nn.Parameter | None, source: nn.Module | nn.Parameter | None
) -> None:
    """Copy the values of `source`, if it has the same tensors."""
    if isinstance(target, nn.Module) and isinstance(source, nn.Module):
        shapes = [
            {name: value.shape for name, value in module.state_dict().items()}
            for module in (target, source)
        ]
        if shapes[0] == shapes[1]:
            target.load_state_dict(source.state_dict())
    elif isinstance(target, nn.Parameter) and isinstance(source, nn.Parameter):
        target.data.copy_(source)
