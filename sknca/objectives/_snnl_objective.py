"""The soft nearest neighbor losses of the layers of a network, and a primary loss."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .._sparse_rows import Rows
from ..data import Batch
from ..distributed import Part, gather_rows
from ..functional import Metric, check_metric, counted_weight, soft_nearest_neighbor_loss
from ..networks import CODE, apply_layers, run_layers
from ._base import EmbeddingObjective, Loss
from ._primary import PrimaryLoss
from ._snn_loss import bounded_exp

#: Overfitting is judged by the loss of held-out samples at the best of these multiples of the
#: temperature. At the temperature itself it grows with confidence, even while classes become better
#: separated.
_MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)

#: With less disagreement among the training samples than the first, q is 0. With more than the
#: second, it has its full value.
_CLEAN, _NOISY = 0.1, 0.2

#: A tensor q is not smaller, because 0 is a special case. The loss is the same up to rounding.
_LEAST_Q = 1e-6


class SNNLObjective(EmbeddingObjective):
    """A primary loss, if any, and the soft nearest neighbor losses of a network's layers.

    Parameters
    ----------
    network : nn.Module
        From samples (n, n_features) to codes (n, n_components).

    metric : {"sqeuclidean", "euclidean", "cosine"}
        The distance between the activations of a layer.

    temperatures : sequence of float
        The temperature of each epoch.

    q : sequence of float, default=None
        The q of each epoch, in the loss (1 - p^q) / q. If None, always 0.

    adapts_q : bool, default=False
        Whether `adapt_to` lowers `q` if the training samples agree with their labels.

    learned : bool, default=False
        Whether the temperature of each layer is a trainable parameter, which starts at the first
        of them.

    layers : sequence of str, default=(CODE,)
        Names of the modules of the network whose losses are added up.

    code_units : int, default=None
        The loss is computed on this many of the first units of each layer. If None, on all.

    primary : PrimaryLoss, default=None
        A loss that is minimized together with it. If None, there is none.

    snnl_weight : float, default=1.0
        Weight of the soft nearest neighbor losses beside the primary loss. Without a primary loss
        only its sign matters.

    partly_labeled : bool, default=False
        Whether some samples may have no label, -1.

    class_weight : sequence of float, default=None
        Weights of the classes in the mean. They do not apply to samples as neighbors: a rare sample
        with the weight of hundreds would dominate the losses of all samples around it.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        metric: str | Metric,
        temperatures: Sequence[float],
        q: Sequence[float] | None = None,
        adapts_q: bool = False,
        learned: bool = False,
        layers: Sequence[str] = (CODE,),
        code_units: int | None = None,
        primary: PrimaryLoss | None = None,
        snnl_weight: float = 1.0,
        partly_labeled: bool = False,
        class_weight: Sequence[float] | None = None,
    ) -> None:
        super().__init__(network)
        self.metric = metric
        self.temperatures = list(temperatures)
        self._given_q = [0.0] * len(self.temperatures) if q is None else list(q)
        # On the device too, for steps whose epoch is a tensor there.
        plan = torch.empty(2, len(self.temperatures), dtype=torch.float32, device="cpu")
        self.register_buffer("_plan", plan, persistent=False)  # (2, n_epochs)
        self._set_q(1.0)
        self.layers = list(layers)
        self.adapts = adapts_q and snnl_weight != 0 and CODE in self.layers
        self.code_units = code_units
        self.primary = primary
        self.snnl_weight = snnl_weight
        self.partly_labeled = partly_labeled
        self._class_weight: Tensor | None
        weights = (
            None
            if class_weight is None
            else torch.tensor(class_weight, dtype=torch.float32, device="cpu")
        )
        self.register_buffer("_class_weight", weights, persistent=False)
        self._plan: Tensor
        self.log_temperatures: nn.Parameter | None = None
        if learned:
            start = torch.full((len(self.layers),), self.temperatures[0], device="cpu").log()
            self.log_temperatures = nn.Parameter(start)

    @property
    def parts(self) -> tuple[str, ...]:
        primary = () if self.primary is None else (self.primary.name,)
        return primary + ("snnl",) * bool(primary and self.snnl_weight != 0)

    @property
    def decoder(self) -> nn.Module | None:
        has_decoder = self.primary is not None and self.primary.has_decoder
        return self.get_submodule("primary.decoder") if has_decoder else None

    @property
    def last_temperature(self) -> float:
        place = self.layers.index(CODE) if CODE in self.layers else -1
        temperature = self._temperatures(-1)[place]
        return temperature.item() if isinstance(temperature, Tensor) else temperature

    def codes(self, x: Rows) -> Tensor:
        return self._seen(super().codes(x))

    def forward(self, batch: Batch, epoch: int | Tensor) -> Loss:
        outputs = run_layers(self.network, batch.x, self.layers)
        return self._loss(outputs, batch, epoch)

    def held_out(self, rows: Batch, training_rows: Batch | None) -> Tensor:
        self.eval()
        names = {*self.layers, CODE}
        outputs = apply_layers(self.network, rows.x, names)
        training = None
        if self.snnl_weight != 0 and training_rows is not None:
            x, y, weight, *_ = training_rows
            training = apply_layers(self.network, x, names), y, weight
        with torch.no_grad():
            total, _ = self._loss(outputs, rows, -1, training)
        return total

    def adapt_to(self, training_rows: Batch | None) -> None:
        disagreement = 0.0
        if training_rows is not None:
            disagreement = self.disagreement(training_rows).item()
        if not math.isfinite(disagreement):
            disagreement = 0.0  # the training has diverged, as the next loss shows
        factor = (disagreement - _CLEAN) / (_NOISY - _CLEAN)
        self._set_q(min(max(factor, 0.0), 1.0))

    def _set_q(self, factor: float) -> None:
        """Multiply the given q of each epoch by this factor."""
        self._q_factor = factor
        self.q = [factor * q for q in self._given_q]
        plan = torch.tensor([self.temperatures, self.q], dtype=torch.float32, device="cpu")
        plan[1].clamp_min_(_LEAST_Q)
        self._plan.copy_(plan)

    def training_state(self) -> dict[str, Any]:
        return {"q_factor": self._q_factor}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        self._set_q(state["q_factor"])

    def disagreement(self, training_rows: Batch) -> Tensor:
        """The probability with which a training sample picks a neighbor of another class among the
        current codes. If distances are bounded, at the best of several temperatures.
        """
        self.eval()
        x, y, weight, *_ = training_rows
        temperature = self._temperatures(-1)[-1]
        multiples = _MULTIPLES if check_metric(self.metric).unit_length else (1.0,)
        with torch.no_grad():
            codes = self.codes(x)
            probabilities = [
                soft_nearest_neighbor_loss(
                    codes,
                    y,
                    multiple * temperature,
                    q=1.0,
                    metric=self.metric,
                    sample_weight=weight,
                )
                for multiple in multiples
            ]
        return torch.stack(probabilities).min()

    def overfitting(self, rows: Batch, training_rows: Batch) -> tuple[Tensor, Tensor]:
        """The two numbers that show overfitting, computed on the codes alone: the loss of held-out
        samples among training samples, at the best of several temperatures, and the probability
        with which a training sample picks a neighbor of another class.
        """
        self.eval()
        x, y, weight, *_ = training_rows
        x_held_out, y_held_out, weight_held_out, *_ = rows
        temperature = self._temperatures(-1)[-1]
        with torch.no_grad():
            codes = self.codes(x)
            codes_held_out = self.codes(x_held_out)
            losses = [
                soft_nearest_neighbor_loss(
                    codes_held_out,
                    y_held_out,
                    factor * temperature,
                    metric=self.metric,
                    sample_weight=weight_held_out,
                    neighbors=codes,
                    neighbor_labels=y,
                    neighbor_weight=weight,
                )
                for factor in _MULTIPLES
            ]
            held_out_loss = torch.stack(losses).min()
        return held_out_loss, self.disagreement(training_rows)

    def _loss(
        self,
        outputs: Mapping[str, Tensor],
        rows: Batch,
        epoch: int | Tensor,
        training: tuple[Mapping[str, Tensor], Tensor, Tensor | None] | None = None,
    ) -> Loss:
        """The loss of samples from their activations. With `training`, their neighbors are
        searched among the activations of training samples instead.
        """
        seen = [self._seen(outputs[layer]) for layer in self.layers]
        whole, everyone, part = _of_all_processes(rows, seen)
        code = outputs[CODE]
        total = code.new_zeros(())
        parts: dict[str, Tensor] = {}
        if self.primary is not None:
            primary = self.primary if self.training else self.primary.in_pieces
            weight = whole.weight
            if self.primary.needs_labels:
                weight = self._in_mean(whole.y, whole.label_weight)
            target = rows.x if rows.target is None else rows.target
            total = parts[self.primary.name] = primary(code, target, rows.y, weight, part)
        if self.snnl_weight != 0:
            snnl = self._snnl(seen, everyone, whole, part, epoch, training)
            if self.primary is None:
                return snnl if self.snnl_weight > 0 else -snnl, {}
            parts["snnl"] = snnl
            total = total + self.snnl_weight * snnl
        return total, parts

    def _snnl(
        self,
        seen: Sequence[Tensor],
        everyone: Sequence[Tensor],
        whole: Batch,
        part: Part | None,
        epoch: int | Tensor,
        training: tuple[Mapping[str, Tensor], Tensor, Tensor | None] | None,
    ) -> Tensor:
        """Sum of the layers' soft nearest neighbor losses."""
        y = whole.y
        neighbor_weight = self._weight_of_labeled(y, whole.label_weight)
        sample_weight = self._in_mean(y, neighbor_weight)
        q = self._q(epoch) if self.training else 0.0  # every held-out sample counts
        among: dict[str, Any] = {}
        if part is not None:
            counted = counted_weight(y, sample_weight, neighbor_weight)
            y, sample_weight = y[part.own], part.of_own(sample_weight)
        elif sample_weight is not neighbor_weight:
            if neighbor_weight is None:
                neighbor_weight = torch.ones_like(y, dtype=torch.float32)
            among["neighbor_weight"] = neighbor_weight
        losses = []
        for i, temperature in enumerate(self._temperatures(epoch)):
            if part is not None:
                among = part.among(everyone[i], neighbor_weight)
            elif training is not None:
                training_outputs, training_y, training_weight = training
                among = {
                    "neighbors": self._seen(training_outputs[self.layers[i]]),
                    "neighbor_labels": training_y,
                    "neighbor_weight": self._weight_of_labeled(training_y, training_weight),
                }
            loss = soft_nearest_neighbor_loss(
                seen[i],
                y,
                temperature,
                q=q,
                metric=self.metric,
                sample_weight=sample_weight,
                **among,
            )
            losses.append(loss if part is None else part.share(loss, counted))
        return functools.reduce(torch.add, losses)

    def _seen(self, output: Tensor) -> Tensor:
        """The units of a layer on which the loss is computed."""
        return output if self.code_units is None else output[:, : self.code_units]

    def _weight_of_labeled(self, y: Tensor, weight: Tensor | None) -> Tensor | None:
        """The weights of labeled samples; samples without a label are excluded by weight 0."""
        if not self.partly_labeled:
            return weight
        return (y >= 0).to(torch.float32) if weight is None else weight * (y >= 0)

    def _in_mean(self, y: Tensor, weight: Tensor | None) -> Tensor | None:
        """The weights of the samples in the mean, with those of their classes during training."""
        if self._class_weight is None or not self.training:
            return weight
        of_class = self._class_weight.index_select(0, y.clamp_min(0))
        return of_class if weight is None else of_class * weight

    def _temperatures(self, epoch: int | Tensor) -> Sequence[float | Tensor]:
        if self.log_temperatures is not None:
            return list(bounded_exp(self.log_temperatures).unbind())
        if len(set(self.temperatures)) == 1:
            return self.temperatures[:1] * len(self.layers)
        if isinstance(epoch, Tensor):
            return [self._plan[0].index_select(0, epoch).squeeze(0)] * len(self.layers)
        return [self.temperatures[epoch]] * len(self.layers)

    def _q(self, epoch: int | Tensor) -> float | Tensor:
        # Decided by the given q, not by the adapted one: a recorded step does not change, and one
        # that is recorded later, when a training is resumed, must be the same.
        if len(set(self._given_q)) == 1:
            return self.q[0]
        if isinstance(epoch, Tensor):
            return self._plan[1].index_select(0, epoch).squeeze(0)
        return self.q[epoch]

    def continue_from(self, previous: EmbeddingObjective, *, same_classes: bool) -> None:
        if not isinstance(previous, SNNLObjective):
            return
        same_start = self.temperatures[0] == previous.temperatures[0]
        if self.layers == previous.layers and same_start:
            _load_if_alike(self.log_temperatures, previous.log_temperatures)
        fixed = self.primary is not None and self.primary.fixed_classes
        if type(self.primary) is type(previous.primary) and (same_classes or not fixed):
            _load_if_alike(self.primary, previous.primary)

    def settings(self, epoch: int) -> Mapping[str, Any]:
        epoch = min(epoch, len(self.temperatures) - 1)
        if self.log_temperatures is None:
            return {"temperature": self.temperatures[epoch], "q": self.q[epoch]}
        learned = bounded_exp(self.log_temperatures.detach()).tolist()
        return {"temperature": learned if len(learned) > 1 else learned[0], "q": self.q[epoch]}

    def parameter_groups(self) -> list[dict[str, Any]]:
        temperatures = [] if self.log_temperatures is None else [self.log_temperatures]
        chosen = {id(parameter) for parameter in temperatures}
        others = [p for p in self.parameters() if p.requires_grad and id(p) not in chosen]
        # Weight decay would move each temperature toward 1.
        return [{"params": others}, {"params": temperatures, "weight_decay": 0.0}]


def _of_all_processes(
    rows: Batch, seen: Sequence[Tensor]
) -> tuple[Batch, Sequence[Tensor], Part | None]:
    """Labels and weights of all processes that have a part of the batch, their activations (m, k)
    of each layer, and which of them are the own. One process has all of it, and no part.
    """
    if rows.shares is None:
        return rows, seen, None
    given = {"y": rows.y, "weight": rows.weight, "confidence": rows.confidence}
    beside = {name: some for name, some in given.items() if some is not None}
    everyone, *gathered = gather_rows(torch.cat([*seen], 1), rows.shares, [*beside.values()])
    whole = rows._replace(**dict(zip(beside, gathered, strict=True)))
    widths = [some.shape[1] for some in seen]
    return whole, everyone.split(widths, 1), Part(rows.shares, whole.y)


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
