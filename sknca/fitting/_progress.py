"""What `verbose` shows: a bar, or a line for each epoch."""

import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..data import Batch
from ..training import EpochRecord, Losses, TrainingState, TrainingStep

#: What is shown of a record, and under which names: all must fit in a line of 80.
_SHOWN = {"loss": "loss", "validation_loss": "val", "temperature": "T"}

_FORMAT = "{desc}: |{bar}| {n:.0f}/{total_fmt} [{elapsed}<LEFT{postfix}]"


class Progress:
    """Is called at each batch and each epoch of a fit, and shows nothing.

    A fit may consist of two trainings, one after the other: they have one clock, and their epochs
    are counted together.

    Parameters
    ----------
    state : TrainingState
        Of the first training.
    """

    def __init__(self, state: TrainingState) -> None:
        self.state = state
        self.n_rows = 1  # in an epoch; corrected after the first one, which may take fewer
        self.n_rows_seen = 0  # in this epoch
        self.n_rows_learned = 0
        self.start = time.monotonic()
        self._earlier = 0  # epochs of earlier trainings
        self._first_epoch = state.epoch
        # Labels are spread in a few epochs, which may take longer than all other epochs.
        self._spreading_since: float | None = None
        self._spreading = 0.0  # seconds
        self._n_spread = 0

    @property
    def done(self) -> float:
        """Epochs so far, with the part of this one that is done."""
        part = min(self.n_rows_seen / self.n_rows, 1.0)
        return self._earlier + self.state.epoch + part

    @property
    def total(self) -> int:
        """Epochs of the fit, if nothing ends it earlier."""
        return self._earlier + self.state.max_iter

    def begin_training(self, state: TrainingState, n_rows: int) -> None:
        """Begin a training of `n_rows` rows, or continue one with more rows."""
        if state is not self.state:
            self._earlier += self.state.epoch
        self.state, self.n_rows = state, n_rows

    def begin_epoch(self) -> None:
        spreader = self.state.spreader
        if spreader is not None and spreader.is_due(self.state.epoch):
            self._spreading_since = time.monotonic()

    def begin_batch(self) -> None:
        if self._spreading_since is not None:
            self._spreading += time.monotonic() - self._spreading_since
            self._n_spread += 1
            self._spreading_since = None

    def end_batch(self, n_rows: int) -> None:
        self.n_rows_seen += n_rows
        self.n_rows_learned += n_rows

    def end_epoch(self, record: EpochRecord) -> None:
        self.n_rows, self.n_rows_seen = self.n_rows_seen, 0

    def watching(self, step: TrainingStep) -> TrainingStep:
        """The step, which also reports each batch."""

        def watched(batch: Batch, epoch: int) -> Losses:
            self.begin_batch()
            losses = step(batch, epoch)
            self.end_batch(batch.n_samples)
            return losses

        return watched

    def left(self) -> float:
        """Seconds that the rest of the fit will take: its epochs, and the spreading of labels."""
        done = self.done - self._first_epoch
        if done == 0:
            return math.inf
        seconds = time.monotonic() - self.start - self._spreading
        left = seconds / done * (self.total - self.done)
        spreader = self.state.spreader
        if spreader is not None and self._n_spread:
            following = self.state.epoch + (self.n_rows_seen > 0)
            n_left = sum(map(spreader.is_due, range(following, self.state.max_iter)))
            left += self._spreading / self._n_spread * n_left
        return left

    def figures(self, record: EpochRecord) -> dict[str, str]:
        """What is shown of an epoch."""
        shown = {
            short: _in_short(record[key])
            for key, short in _SHOWN.items()
            if record.get(key) is not None
        }
        elapsed = time.monotonic() - self.start
        if elapsed > 0:  # as it is not by a coarse clock
            shown["rows/s"] = _tqdm().format_sizeof(self.n_rows_learned / elapsed)
        return shown


class _Lines(Progress):
    """A line for each epoch, for log files."""

    def __init__(self, name: str, state: TrainingState) -> None:
        super().__init__(state)
        self._name = name

    def end_epoch(self, record: EpochRecord) -> None:
        super().end_epoch(record)
        elapsed = _tqdm().format_interval(time.monotonic() - self.start)
        figures = ", ".join(f"{name}={value}" for name, value in self.figures(record).items())
        print(
            f"{self._name}: epoch {self.done:.0f}/{self.total}, {elapsed} elapsed, "
            f"{_in_time(self.left())} left, {figures}",
            flush=True,
        )


class _Bar(Progress):
    """A bar that also moves within an epoch, so that it soon shows how long the training takes."""

    def __init__(self, bar: Any, state: TrainingState) -> None:
        super().__init__(state)
        self._bar = bar

    def end_batch(self, n_rows: int) -> None:
        super().end_batch(n_rows)
        self._move()

    def end_epoch(self, record: EpochRecord) -> None:
        super().end_epoch(record)
        self._bar.set_postfix(self.figures(record), refresh=False)
        self._move()

    def _move(self) -> None:
        self._bar.total = self.total
        # What tqdm would estimate from the latest steps jumps when labels are spread.
        self._bar.bar_format = _FORMAT.replace("LEFT", _in_time(self.left()))
        self._bar.update(max(self.done - self._bar.n, 0))


@contextmanager
def progress(name: str, state: TrainingState, verbose: int | bool) -> Iterator[Progress]:
    """Shows the batches and epochs of a fit, whose first training has this state."""
    if not _is_shown(verbose):
        yield Progress(state)
        return
    if verbose > 1:
        yield _Lines(name, state)
        return
    start = {"total": state.max_iter, "initial": state.epoch, "desc": name, **_size()}
    with _tqdm()(**start, bar_format=_FORMAT.replace("LEFT", "?")) as bar:
        shown = _Bar(bar, state)
        yield shown
        # A training that stopped early is done too. A notebook would show it in red.
        bar.n = bar.total = round(shown.done)


def _is_shown(verbose: int | bool) -> bool:
    """A program without a console has no stream for a bar. Printed lines are ignored there."""
    return verbose > 1 or (bool(verbose) and sys.stderr is not None)


def _size() -> dict[str, int]:
    """A usual size if the terminal reports none, with which tqdm would show empty lines."""
    try:
        said = os.get_terminal_size(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # it is no terminal
        return {}
    usual = shutil.get_terminal_size()
    return {} if all(said) else {"ncols": usual.columns - 1, "nrows": usual.lines}


def _in_time(seconds: float) -> str:
    return "?" if math.isinf(seconds) else str(_tqdm().format_interval(seconds))


def show_note(name: str, text: str, verbose: int | bool) -> None:
    """Show a line about a fit where its progress is shown, before it begins."""
    if verbose > 1:
        print(f"{name}: {text}", flush=True)
    elif _is_shown(verbose):
        _tqdm().write(f"{name}: {text}", file=sys.stderr)


def _in_short(value: float | list[float]) -> str:
    """The number, or several, separated by slashes."""
    return "/".join(f"{number:.3g}" for number in (value if isinstance(value, list) else [value]))


def _tqdm() -> Any:
    """Imported only when something is shown."""
    from tqdm.auto import tqdm

    return tqdm
