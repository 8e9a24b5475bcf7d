"""How a script joins the processes that `torchrun` has started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed as dist

from .._devices import KINDS, accelerators
from ._processes import Alone
from ._ranks import Ranks, joined


@contextmanager
def together(timeout: float | None = None) -> Iterator[None]:
    """Within it, the processes that `torchrun` has started fit embeddings together.

    Each process calls `fit` of :class:`~sknca.SNNLEmbedding` or :class:`~sknca.TripletEmbedding`
    with the same parameters and its own part of the samples. The mini-batch of a step consists of
    a batch of each process, and its loss compares each sample with all of them, so `batch_size` is
    that of one process. At the end all processes have the same network, bit for bit.

    If the process group of `torch.distributed` has been initialized, it is used. Otherwise it is
    initialized from the environment of `torchrun`, and ended with the context. In a single
    process the context does nothing, so the same script also runs alone.

    Parameters
    ----------
    timeout : float, default=None
        After how many seconds a process that does not answer is given up. None is torch's default,
        30 minutes. For a group that this context initializes.

    Raises
    ------
    ValueError
        If `timeout` is not positive, or is given for a group that was initialized before.
    RuntimeError
        Within it, if another process fails or ends. The message names the process.

    See Also
    --------
    part_of : Which rows of an array that all processes can read belong to this process.

    Notes
    -----
    `partial_fit`, and fits in other threads or in the processes of joblib, are not joined:
    `partial_fit` refuses, the others train alone.

    Examples
    --------
    A script, `train.py`, for `torchrun --nproc-per-node=4 train.py`:

    >>> from sklearn.datasets import load_iris
    >>> from sknca import SNNLEmbedding
    >>> from sknca.distributed import part_of, together
    >>> X, y = load_iris(return_X_y=True)
    >>> with together():
    ...     mine = part_of(len(X))
    ...     embedding = SNNLEmbedding(max_iter=5, random_state=0).fit(X[mine], y[mine])
    >>> embedding.transform(X).shape
    (150, 4)
    """
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be positive, got {timeout!r}.")
    begun = dist.is_available() and dist.is_initialized()
    if begun and timeout is not None:
        raise ValueError("timeout cannot be changed: the process group is initialized already.")
    starts = not begun and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if starts:
        backends = {name: KINDS[name].backend for name in ("cpu", *accelerators())}
        place = int(os.environ.get("LOCAL_RANK", "0"))
        for name in accelerators():
            module = torch.get_device_module(name)
            if backends[name] is not None:
                module.set_device(place % module.device_count())
        backend = ",".join(f"{name}:{value}" for name, value in backends.items() if value)
        limit = None if timeout is None else timedelta(seconds=timeout)
        store, rank, size = next(iter(dist.rendezvous("env://")))  # type: ignore[attr-defined]
        # After a restart, the store of torchrun still has the addresses of the processes before.
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        store = dist.PrefixStore(f"sknca/{attempt}", store)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=limit)
    ranks = Ranks() if begun or starts else None
    try:
        with joined(Alone() if ranks is None or ranks.size == 1 else ranks):
            yield
    finally:
        if starts:
            dist.destroy_process_group()


def part_of(n_samples: int) -> slice:
    """The part of so many samples that belongs to this process, as a slice.

    The parts are contiguous, in the order of the processes, and differ by one sample at most. Use
    it if all processes can read the same arrays, for example a `numpy.memmap`, of which each then
    reads its own part only. Samples that are sorted by class should be shuffled before.

    Parameters
    ----------
    n_samples : int
        Number of samples of all processes.

    Returns
    -------
    part : slice
        All samples if there is one process.

    Examples
    --------
    >>> from sknca.distributed import part_of
    >>> part_of(1000)
    slice(0, 1000, None)
    """
    rank, size = 0, 1
    if dist.is_available() and dist.is_initialized():
        rank, size = dist.get_rank(), dist.get_world_size()
    return slice(n_samples * rank // size, n_samples * (rank + 1) // size)
