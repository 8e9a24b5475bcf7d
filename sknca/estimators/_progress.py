"""The progress bar behind `verbose`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..training import EpochRecord, TrainingState

#: What the bar shows of a record, and under which names: all must fit in a line of 80.
_SHOWN = {"loss": "loss", "validation_loss": "val", "temperature": "T"}

_FORMAT = "{desc}: |{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"


@contextmanager
def progress_bar(
    name: str, state: TrainingState, n_rows: int, verbose: int | bool
) -> Iterator[Callable[[EpochRecord], None]]:
    """What to call with the record of each further epoch of `n_rows` rows."""
    if not verbose:
        yield lambda record: None
        return
    from tqdm.auto import tqdm

    done = state.epoch
    with tqdm(total=state.max_iter, initial=done, desc=name, bar_format=_FORMAT) as bar:

        def show(record: EpochRecord) -> None:
            shown = {
                short: _in_short(record[key])
                for key, short in _SHOWN.items()
                if record.get(key) is not None
            }
            elapsed = bar.format_dict["elapsed"]
            if elapsed > 0:  # as it is not by a coarse clock, or where tqdm is switched off
                shown["rows/s"] = tqdm.format_sizeof(n_rows * (bar.n + 1 - done) / elapsed)
            bar.set_postfix(shown, refresh=False)
            bar.update()

        yield show
        # A training that stopped early is done too. A notebook would show it in red.
        bar.total = bar.n


def _in_short(value: float | list[float]) -> str:
    """The number, or several with strokes between them."""
    return "/".join(f"{number:.3g}" for number in (value if isinstance(value, list) else [value]))
