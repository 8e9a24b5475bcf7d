"""The losses of several networks side by side."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from .._sparse_rows import Rows
from ..data import Batch
from ..distributed import Shares
from ..networks import Members, joined, parted
from ._base import EmbeddingObjective, Loss


class MembersObjective(EmbeddingObjective):
    """The mean of the losses of several networks, each on its own codes.

    Members share the batches, but each may leave a part of the samples out. Each has its own
    temperatures, q, decoder and linear layer.

    Parameters
    ----------
    members : sequence of EmbeddingObjective
        Each with its own network.

    leaves_out : bool, default=False
        Whether members leave out samples in training.
    """

    def __init__(self, members: Sequence[EmbeddingObjective], *, leaves_out: bool = False) -> None:
        nn.Module.__init__(self)
        self._leaves_out = leaves_out
        self.members = nn.ModuleList(members)
        self.adapts = self.objectives[0].adapts
        # Not a submodule, so that each tensor has one name in files: the members own the networks.
        self.__dict__["network"] = Members([member.network for member in self.objectives])

    @property
    def objectives(self) -> list[EmbeddingObjective]:
        """Those of the members."""
        members: Any = self.members
        return [*members]

    @property
    def has_fixed_steps(self) -> bool:
        # The number of samples that a member leaves out differs from batch to batch.
        fixed = all(member.has_fixed_steps for member in self.objectives)
        return fixed and not self._leaves_out

    @property
    def parts(self) -> tuple[str, ...]:
        return self.objectives[0].parts

    @property
    def decoder(self) -> nn.Module | None:
        decoders = [member.decoder for member in self.objectives]
        found = [decoder for decoder in decoders if decoder is not None]
        return MeanDecoder(found).train(self.training) if found else None

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.network.training = mode
        return self

    def codes(self, x: Rows) -> Tensor:
        return joined([member.codes(x) for member in self.objectives])

    def forward(self, batch: Batch, epoch: int | Tensor) -> Loss:
        own: list[Batch | None]
        if batch.seen is None:  # copies, because a network may work in place
            own = [batch._replace(x=batch.x.clone()) for _ in self.objectives]
        else:
            own = _learned_from(batch)
        learning = zip(self.objectives, own, strict=True)
        losses = [member(some, epoch) for member, some in learning if some is not None]
        if not losses:
            return self._nothing(batch.x)
        parts = {name: _mean([some[name] for _, some in losses]) for name in losses[0][1]}
        return _mean([total for total, _ in losses]), parts

    def _nothing(self, x: Rows) -> Loss:
        """The loss of a batch of which no member sees two samples: zero, and so is its gradient."""
        values = x if isinstance(x, Tensor) else x.values
        tensors = [values, *(p for p in self.parameters() if p.requires_grad)]
        zero = torch.stack([(0 * some).sum() for some in tensors]).sum()
        return zero, dict.fromkeys(self.parts, zero)

    def held_out(self, rows: Batch, training_rows: Batch | None) -> Tensor:
        own = self._of_members(training_rows)
        return _mean([m.held_out(rows, some) for m, some in zip(self.objectives, own, strict=True)])

    def adapt_to(self, training_rows: Batch | None) -> None:
        for member, own in zip(self.objectives, self._of_members(training_rows), strict=True):
            member.adapt_to(own)

    def overfitting(self, rows: Batch, training_rows: Batch) -> tuple[Tensor, Tensor]:
        found = [
            member.overfitting(rows, training_rows.of_member(i))
            for i, member in enumerate(self.objectives)
        ]
        losses, disagreements = zip(*found, strict=True)
        return _mean(losses), _mean(disagreements)

    def _of_members(self, batch: Batch | None) -> list[Batch | None]:
        n = len(self.objectives)
        return [None if batch is None else batch.of_member(i) for i in range(n)]

    def training_state(self) -> dict[str, Any]:
        return {"members": [member.training_state() for member in self.objectives]}

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        for member, some in zip(self.objectives, state["members"], strict=True):
            member.load_training_state(some)

    def continue_from(self, previous: EmbeddingObjective, *, same_classes: bool) -> None:
        if isinstance(previous, MembersObjective):
            for member, before in zip(self.objectives, previous.objectives, strict=True):
                member.continue_from(before, same_classes=same_classes)

    def settings(self, epoch: int) -> Mapping[str, Any]:
        """The mean of each number, if members differ in it."""
        settings = [member.settings(epoch) for member in self.objectives]
        return {name: _common([some[name] for some in settings]) for name in settings[0]}

    def parameter_groups(self) -> list[dict[str, Any]]:
        groups = zip(*(member.parameter_groups() for member in self.objectives), strict=True)
        return [{**some[0], "params": [p for g in some for p in g["params"]]} for some in groups]


class MeanDecoder(nn.Module):
    """The mean of the reconstructions of several decoders, each from its part of a code.

    Parameters
    ----------
    decoders : sequence of nn.Module
        One for each member.
    """

    def __init__(self, decoders: Sequence[nn.Module]) -> None:
        super().__init__()
        self.decoders = nn.ModuleList(decoders)

    def forward(self, code: Tensor) -> Tensor:
        parts = zip(self.decoders, parted(code, len(self.decoders)), strict=True)
        return _mean([decoder(part) for decoder, part in parts])


def _learned_from(batch: Batch) -> list[Batch | None]:
    """The samples that each member learns from; None if there are none. Several processes tell each
    other how many these are.
    """
    if batch.shares is None and batch.seen is not None:
        # A single one twice: it has no neighbor then either, and batch norm needs two.
        seen = (places.repeat(2) if len(places) == 1 else places for places in batch.seen)
        batch = batch._replace(seen=tuple(seen))
    assert batch.seen is not None
    own = [batch.of_member(i) for i in range(len(batch.seen))]
    if batch.shares is not None:
        ranks = batch.shares.ranks
        sizes = torch.tensor([len(some.x) for some in own], device=batch.y.device)
        everyones = ranks.gather(sizes, [len(own)] * ranks.size).view(ranks.size, -1).T.tolist()
        own = [
            some._replace(shares=Shares(ranks, tuple(of_member)))
            for some, of_member in zip(own, everyones, strict=True)
        ]
    return [some if some.n_samples > 0 else None for some in own]


def _common(values: Sequence[Any]) -> Any:
    """The value that all members have, or the mean."""
    if all(value == values[0] for value in values):
        return values[0]
    return torch.tensor(values, dtype=torch.float64, device="cpu").mean(0).tolist()


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack([*values]).mean(0)
