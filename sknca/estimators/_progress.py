"""The progress bar behind `verbose`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..training import EpochRecord


@contextmanager
def progress_bar(
    name: str, max_iter: int, verbose: int | bool
) -> Iterator[Callable[[EpochRecord], None] | None]:
    """What to call with the record of each epoch; None where nothing is to be shown."""
    if not verbose:
        yield None
        return
    from tqdm.auto import tqdm

    with tqdm(total=max_iter, desc=name, unit="epoch") as bar:

        def show(record: EpochRecord) -> None:
            shown = {key: f"{value:.4g}" for key, value in record.items() if _is_shown(key, value)}
            bar.set_postfix(shown, refresh=False)
            bar.update()

        yield show


def _is_shown(key: str, value: object) -> bool:
    return key != "epoch" and isinstance(value, float)
