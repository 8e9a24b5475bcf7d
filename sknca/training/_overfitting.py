"""Whether a training learns what held-out rows share, or memorizes labels."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

#: So many rows on either side tell.
ROWS_TO_LOOK_AT = 512

#: Which part of the epochs held-out rows are watched for.
WATCHED_PART = 0.5

#: A training that must not go on to memorize has so many times as many epochs as had the lowest
#: held-out loss, but within these parts of all. (At that epoch the learning rate was still high.)
_TIMES_BEST = 1.5
_LEAST_PART, _LARGEST_PART = 0.15, 0.27

#: So many rows at least are held out, but no more than a part, because fewer tell too little.
_LEAST_HELD_OUT, _LARGEST_FRACTION = 100, 0.25

#: The first look, and the epochs from each to the next, as parts of all epochs: thirteen in the
#: watched part, or as many as it has epochs.
_FIRST_PART, _PART_TO_A_LOOK = 3 / 55, 2 / 55

#: Looks in which a training learns what many rows share, and the later ones that are compared.
_EARLY_LOOKS, _LATE_LOOKS = 5, 3

#: The held-out loss has fallen if its mean in the late looks is less than so many times the lowest
#: of the early ones.
_FALLEN = 0.98

#: Training rows that disagreed with their neighbors less than this when the early held-out loss was
#: lowest had been learned by then: nothing was left to memorize.
_DISAGREEMENT = 0.2
_LEARNED = 0.1

#: Nor was anything memorized unless their disagreement has fallen to so much of what it was then:
#: a training that has not yet found the classes is given its time.
_MEMORIZED = 0.92


#: More held-out rows than these would not tell more, whatever part of the rows they are.
MOST_HELD_OUT = 10000


def fraction_to_watch(fraction: float, n: int) -> float:
    """Which part of `n` rows is held out, if `fraction` was asked for."""
    return min(max(fraction, min(_LEAST_HELD_OUT / n, _LARGEST_FRACTION)), MOST_HELD_OUT / n)


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

    Attributes
    ----------
    losses : list of float
        The loss of the held-out rows at each look.
    """

    def __init__(self, look: Callable[[], tuple[Tensor, Tensor]], max_iter: int) -> None:
        self._look = look
        self._max_iter = max_iter
        self._first = round(_FIRST_PART * max_iter)
        self._step = max(round(_PART_TO_A_LOOK * max_iter), 1)
        self.losses: list[float] = []
        self._disagreements: list[float] = []

    @property
    def short_training(self) -> int:
        """How many epochs a training has that is to end before it memorizes, instead of all."""
        best_epoch = self._first + 1 + self._step * self._best
        least, largest = (math.ceil(part * self._max_iter) for part in (_LEAST_PART, _LARGEST_PART))
        return min(max(math.ceil(_TIMES_BEST * best_epoch), least), largest)

    def end_epoch(self, epoch: int) -> bool:
        """Look, if it is time to. Returns whether it did."""
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
        if len(self.losses) < _EARLY_LOOKS + _LATE_LOOKS:
            return False
        late = sum(self.losses[-_LATE_LOOKS:]) / _LATE_LOOKS
        then, now = self._disagreements[self._best], self._disagreements[-1]
        return not self._has_fallen(late) and then > _DISAGREEMENT and now < _MEMORIZED * then

    @property
    def is_over(self) -> bool:
        """Whether the training rows have been learned, and the held-out loss has fallen with it."""
        if not self.losses or self._disagreements[-1] > _LEARNED:
            return False
        if len(self.losses) <= _EARLY_LOOKS:
            return _FALLEN * self.losses[-1] <= self.losses[self._best]
        return self._has_fallen(self.losses[-1])

    def _has_fallen(self, loss: float) -> bool:
        return loss < _FALLEN * self.losses[self._best]

    @property
    def _best(self) -> int:
        """Of the early looks."""
        early = self.losses[:_EARLY_LOOKS]
        return min(range(len(early)), key=early.__getitem__, default=-1)
