"""Whether a training learns what held-out rows share, or memorizes labels."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

#: Held-out rows that are looked at, and as many training rows.
ROWS_TO_LOOK_AT = 512

#: The part of the epochs in which held-out rows are watched.
WATCHED_PART = 0.5

#: A training that would memorize is shortened to this multiple of the epochs after which the
#: held-out loss was lowest, within these parts of all epochs. (At that epoch the learning rate was
#: still high.)
_TIMES_BEST = 1.5
_LEAST_PART, _LARGEST_PART = 0.15, 0.27

#: At least this many rows are held out, because fewer show too little, but no more than this part.
_LEAST_HELD_OUT, _LARGEST_FRACTION = 100, 0.25

#: The first look, and the epochs from each to the next, as parts of all epochs: thirteen in the
#: watched part, or as many as it has epochs.
_FIRST_PART, _PART_TO_A_LOOK = 3 / 55, 2 / 55

#: Looks in which a training learns what many rows share, and the later ones that are compared.
_EARLY_LOOKS, _LATE_LOOKS = 5, 3

#: In a training with fewer looks, the same share of them is late. With fewer than these, nothing is
#: found.
_LEAST_LOOKS = 4

#: With fewer epochs than the first, there is a look after each. With fewer than the second, there
#: are fewer than the least looks.
EPOCHS_TO_SKIP, LEAST_EPOCHS_TO_WATCH = 20, 2 * _LEAST_LOOKS - 1

#: The held-out loss has fallen if its mean in the late looks is less than this multiple of the
#: lowest early one.
_FALLEN = 0.98

#: With groups, it has fallen if it is less than this multiple of the first one.
_HALF = 0.5

#: Training rows that disagreed with their neighbors less than this when the early held-out loss was
#: lowest had been learned by then: nothing was left to memorize.
_DISAGREEMENT = 0.2
_LEARNED = 0.1

#: Nothing was memorized either, unless their disagreement has fallen to this part of what it was
#: then: the training may not have found the classes yet.
_MEMORIZED = 0.92


#: More held-out rows than these would not show more.
MOST_HELD_OUT = 10000


def fraction_to_watch(fraction: float, n: int, n_groups: int | None = None) -> float:
    """Which part of `n` rows is held out, if `fraction` was asked for. If they are in groups, so
    many groups at least, because rows of a group may be copies.
    """
    least = _LEAST_HELD_OUT / (n if n_groups is None else n_groups)
    return min(max(fraction, min(least, _LARGEST_FRACTION)), MOST_HELD_OUT / n)


class OverfittingWatch:
    """Watches a training on a part of the rows, by those that are held out.

    A training on clean labels goes on to gain when the training rows are learned already. One on
    wrong labels, or on classes that overlap, first learns what many rows share, and then memorizes
    each label, while the loss of held-out rows no longer falls.

    Parameters
    ----------
    look : callable
        The loss of the held-out rows, and the share of training rows, weighted by probability,
        that pick a neighbor of another class.

    max_iter : int
        How many epochs the training would have.

    of_groups : bool, default=False
        Whether whole groups of rows are held out. Copies in a group may be memorized in the first
        epochs, so there is a look after each, as with few epochs, and what training rows disagreed
        at first counts.

    Attributes
    ----------
    losses : list of float
        The loss of the held-out rows at each look.
    """

    def __init__(
        self,
        look: Callable[[], tuple[Tensor, Tensor]],
        max_iter: int,
        *,
        of_groups: bool = False,
    ) -> None:
        self._look = look
        self._max_iter = max_iter
        self._of_groups = of_groups
        every_epoch = of_groups or max_iter < EPOCHS_TO_SKIP
        self._first = 0 if every_epoch else round(_FIRST_PART * max_iter)
        self._step = 1 if every_epoch else max(round(_PART_TO_A_LOOK * max_iter), 1)
        n_looks = len(range(self._first, math.ceil(WATCHED_PART * max_iter), self._step))
        n_most = _EARLY_LOOKS + _LATE_LOOKS
        n_late = _LATE_LOOKS if n_looks >= n_most else round(_LATE_LOOKS / n_most * n_looks)
        self._n_late = max(n_late, 1)
        self._n_early = min(max(n_looks, _LEAST_LOOKS) - self._n_late, _EARLY_LOOKS)
        self.losses: list[float] = []
        self._disagreements: list[float] = []

    @property
    def short_training(self) -> int:
        """The number of epochs of a training that must end before it memorizes."""
        best_epoch = self._first + 1 + self._step * self._best
        parts = 0 if self._of_groups else _LEAST_PART, _LARGEST_PART
        least, largest = (math.ceil(part * self._max_iter) for part in parts)
        return min(max(math.ceil(_TIMES_BEST * best_epoch), least), largest)

    def end_epoch(self, epoch: int) -> bool:
        """Look, if a look is due. Returns whether it did."""
        if epoch < self._first or (epoch - self._first) % self._step:
            return False
        loss, disagreement = torch.stack(self._look()).tolist()  # one wait for the device
        self.losses.append(loss)
        self._disagreements.append(disagreement)
        return True

    def state_dict(self) -> dict[str, list[float]]:
        """What was seen so far."""
        return {"losses": list(self.losses), "disagreements": list(self._disagreements)}

    def load_state_dict(self, state: Mapping[str, list[float]]) -> None:
        self.losses, self._disagreements = list(state["losses"]), list(state["disagreements"])

    @property
    def overfits(self) -> bool:
        """Whether more epochs would only memorize, as far as was seen."""
        if len(self.losses) < self._n_early + self._n_late:
            return False
        late = sum(self.losses[-self._n_late :]) / self._n_late
        then = self._disagreements[0 if self._of_groups else self._best]
        now = self._disagreements[-1]
        return not self._has_fallen(late) and then > _DISAGREEMENT and now < _MEMORIZED * then

    @property
    def is_over(self) -> bool:
        """Whether the training rows have been learned, and the held-out loss has fallen with it."""
        if not self.losses or self._disagreements[-1] > _LEARNED:
            return False
        if self._of_groups:
            return self.losses[-1] < _HALF * self.losses[0]
        if len(self.losses) <= self._n_early:
            return _FALLEN * self.losses[-1] <= self.losses[self._best]
        return self._has_fallen(self.losses[-1])

    def _has_fallen(self, loss: float) -> bool:
        return loss < _FALLEN * self.losses[self._best]

    @property
    def _best(self) -> int:
        """The index of the early look with the lowest loss."""
        early = self.losses[: self._n_early]
        return min(range(len(early)), key=early.__getitem__, default=-1)
