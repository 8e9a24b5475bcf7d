"""How many threads torch uses while the package computes: as many as the work is worth."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from joblib import cpu_count

#: Multiplications in the largest product of a step that a thread is worth. With fewer, threads
#: wait for each other longer than they work, above all if another process has one of their cores.
_PRODUCT_OF_A_THREAD = 2**26

_lock = threading.Lock()
_n_inside = 0  # threads of this process that compute with a number of their own
_setting_outside = 1  # torch's setting when the first of them began
_local = threading.local()  # `setting`: torch's setting outside, in a thread that is inside

#: Whether this process was forked from one in which sknca was imported.
_forked = False


def _forget_other_threads() -> None:
    """A forked process has one thread, whatever others were doing."""
    global _lock, _n_inside, _forked
    _lock, _n_inside, _forked = threading.Lock(), 0, True
    _local.__dict__.clear()


if hasattr(os, "register_at_fork"):  # as it is but on Windows
    os.register_at_fork(after_in_child=_forget_other_threads)


@contextmanager
def threads_for(product: float) -> Iterator[None]:
    """Set the number of threads for work, by the multiplications in its largest matrix product.

    The number of threads follows from `product` alone, so that results are reproducible whatever
    else runs, but it is never more than torch was set to use, nor than the process may use of the
    machine (by its affinity, and by the quota of its container). In a forked process it is one:
    the threads of OpenMP do not exist there, and torch would wait for them forever.

    If nested, the inner number counts. Afterwards torch's setting is restored. Until then, other
    threads of the program that have not used torch before see the smaller number.

    Parameters
    ----------
    product : float
        0 means one thread, infinity as many as there may be.
    """
    setting, is_outermost = _enter()
    before = torch.get_num_threads()
    chosen = min(max(product / _PRODUCT_OF_A_THREAD, 1), 1 if _forked else setting)
    if chosen > 1:
        chosen = min(chosen, cpu_count())
    try:
        _set(int(chosen))
        yield
    finally:
        _set(setting if is_outermost else before)
        if is_outermost:
            _leave()


def _set(n_threads: int) -> None:
    if n_threads != torch.get_num_threads():
        torch.set_num_threads(n_threads)


def _enter() -> tuple[int, bool]:
    """Torch's setting outside, and whether this thread was outside."""
    global _n_inside, _setting_outside
    if hasattr(_local, "setting"):
        return _local.setting, False
    with _lock:
        setting = torch.get_num_threads()
        if _n_inside:
            # A thread that begins to use torch now starts with the number of those inside.
            setting = max(setting, _setting_outside)
        else:
            _setting_outside = setting
        _n_inside += 1
    _local.setting = setting
    return setting, True


def _leave() -> None:
    global _n_inside
    _local.__dict__.clear()
    with _lock:
        _n_inside = max(_n_inside - 1, 0)  # 0 already, if it has been forked meanwhile
