"""What `verbose` shows: a bar, or a line for each epoch."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..data import Batch
from ..training import EpochRecord, Losses, TrainingState, TrainingStep

#: What is shown of a record, and under which names: all must fit in a line of 80.
_SHOWN = {"loss": "loss", "validation_loss": "val", "temperature": "T"}

_FORMAT = "{desc}: |{bar}| {n:.0f}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


class Progress:
    """Is told of each batch and each epoch, and shows nothing.

    Parameters
    ----------
    state : TrainingState
        Of the training.

    n_rows : int
        Rows in an epoch; corrected after the first one, which may take fewer.
    """

    def __init__(self, state: TrainingState, n_rows: int) -> None:
        self.state = state
        self.n_rows = n_rows
        self.n_rows_seen = 0  # in this epoch
        self.first_epoch = state.epoch
        self.start = time.monotonic()

    def end_batch(self, n_rows: int) -> None:
        self.n_rows_seen += n_rows

    def end_epoch(self, record: EpochRecord) -> None:
        self.n_rows, self.n_rows_seen = self.n_rows_seen, 0

    def watching(self, step: TrainingStep) -> TrainingStep:
        """The step, which also tells of each batch."""

        def watched(batch: Batch, epoch: int) -> Losses:
            losses = step(batch, epoch)
            self.end_batch(batch.n_samples)
            return losses

        return watched

    def figures(self, record: EpochRecord) -> dict[str, str]:
        """What is shown of an epoch."""
        shown = {
            short: _in_short(record[key])
            for key, short in _SHOWN.items()
            if record.get(key) is not None
        }
        elapsed = time.monotonic() - self.start
        if elapsed > 0:  # as it is not by a coarse clock
            rate = self.n_rows * (self.state.epoch - self.first_epoch) / elapsed
            shown["rows/s"] = _tqdm().format_sizeof(rate)
        return shown


class _Lines(Progress):
    """A line for each epoch, for log files."""

    def __init__(self, name: str, state: TrainingState, n_rows: int) -> None:
        super().__init__(state, n_rows)
        self._name = name
        self._duration = _tqdm().format_interval

    def end_epoch(self, record: EpochRecord) -> None:
        super().end_epoch(record)
        elapsed = time.monotonic() - self.start
        done, total = self.state.epoch, self.state.max_iter
        left = elapsed / (done - self.first_epoch) * (total - done)
        figures = ", ".join(f"{name}={value}" for name, value in self.figures(record).items())
        print(
            f"{self._name}: epoch {done}/{total}, {self._duration(elapsed)} elapsed, "
            f"{self._duration(left)} left, {figures}",
            flush=True,
        )


class _Bar(Progress):
    """A bar that also moves within an epoch, so that it tells early how long the training takes."""

    def __init__(self, bar: Any, state: TrainingState, n_rows: int) -> None:
        super().__init__(state, n_rows)
        self._bar = bar

    def end_batch(self, n_rows: int) -> None:
        super().end_batch(n_rows)
        part = min(self.n_rows_seen / self.n_rows, 1.0)
        self._bar.update(max(self.state.epoch + part - self._bar.n, 0))

    def end_epoch(self, record: EpochRecord) -> None:
        super().end_epoch(record)
        self._bar.set_postfix(self.figures(record), refresh=False)
        self._bar.update(self.state.epoch - self._bar.n)


@contextmanager
def progress(
    name: str, state: TrainingState, n_rows: int, verbose: int | bool
) -> Iterator[Progress]:
    """What to tell of the batches and epochs of a training of `n_rows` rows."""
    if not verbose:
        yield Progress(state, n_rows)
        return
    if verbose > 1:
        yield _Lines(name, state, n_rows)
        return
    with _tqdm()(total=state.max_iter, initial=state.epoch, desc=name, bar_format=_FORMAT) as bar:
        yield _Bar(bar, state, n_rows)
        # A training that stopped early is done too. A notebook would show it in red.
        bar.n = bar.total = state.epoch


def _in_short(value: float | list[float]) -> str:
    """The number, or several with strokes between them."""
    return "/".join(f"{number:.3g}" for number in (value if isinstance(value, list) else [value]))


def _tqdm() -> Any:
    """Imported only when something is shown."""
    from tqdm.auto import tqdm

    return tqdm
