"""Training leaves the torch of the surrounding program as it found it."""

import hashlib
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from .._random import drawing_from
from .._threads import threads_for

#: torch's random numbers belong to the process, so two trainings that draw from them take turns.
_LOCK = threading.RLock()


def _forget_other_threads() -> None:
    """A forked process has one thread, so no other thread would release the lock."""
    global _LOCK
    _LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):  # as it is but on Windows
    os.register_at_fork(after_in_child=_forget_other_threads)


class Isolation:
    """What draws random numbers within `isolated`, and how the user's code runs in between.

    Attributes
    ----------
    device : torch.device
        Where the training runs.

    generator : torch.Generator
        On the CPU, for code that takes a generator: it draws batches and held-out samples.
    """

    def __init__(self, seed: int, device: torch.device, own: torch.Generator | None) -> None:
        self.device = device
        self.generator = torch.Generator("cpu").manual_seed(seed)
        self._own = own  # of the package's networks on a CPU; None: torch's global ones

    def random_state(self) -> dict[str, Tensor]:
        """The state of what draws, except the generator."""
        if self._own is not None:
            return {"fit": self._own.get_state()}
        state = {"cpu": torch.default_generator.get_state()}
        if self.device.type != "cpu":
            state["device"] = torch.get_device_module(self.device).get_rng_state(self.device)
        return state

    def load_random_state(self, state: Mapping[str, Tensor]) -> None:
        """Draw on from a state of `random_state`."""
        if self._own is not None:
            self._own.set_state(state["fit"])
            return
        torch.default_generator.set_state(state["cpu"])
        if self.device.type != "cpu":
            torch.get_device_module(self.device).set_rng_state(state["device"], self.device)

    def reseed(self, seeds: Sequence[int]) -> None:
        """Seed what draws again, except the generator."""
        # As many bits as a seed of torch may have, and unlike those of similar seeds.
        digest = hashlib.blake2b(repr(list(seeds)).encode(), digest_size=7).digest()
        seed = int.from_bytes(digest)
        if self._own is not None:
            self._own.manual_seed(seed)
            return
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(seed)

    @contextmanager
    def outside(self) -> Iterator[None]:
        """For the user's code: what it draws changes nothing here, and it may wait for a training
        in another thread.
        """
        if self._own is not None:  # torch's own and the lock are not touched
            with drawing_from(None):
                yield
            return
        with _kept_random_state(self.device):
            _LOCK.release()
            try:
                yield
            finally:
                _LOCK.acquire()


@contextmanager
def isolated(seed: int, device: torch.device, *, of_others: bool = True) -> Iterator[Isolation]:
    """Gradients on, autocast off, one thread, and random numbers seeded, for a while.

    Parameters
    ----------
    seed : int
        For every random number inside.

    device : torch.device
        Where the training runs.

    of_others : bool, default=True
        Whether the user's code may draw inside. Dropout and the initializers of custom modules take
        no generator, so torch's global generators are then seeded and restored afterwards, and such
        trainings take turns. The package's own modules draw from a generator of the fit.

    Yields
    ------
    isolation : Isolation
        What draws inside.
    """
    own = None
    if not of_others and device.type == "cpu":  # it draws what the global one would
        own = torch.Generator("cpu").manual_seed(seed)
    with (
        _seeded(seed, device) if own is None else drawing_from(own),
        threads_for(0 if device.type == "cpu" else math.inf),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
        torch.autocast("cpu", enabled=False),  # the start of a network is computed there
        _chosen(device),
    ):
        yield Isolation(seed, device, own)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global random numbers seeded; one training at a time."""
    with _LOCK, drawing_from(None), _kept_random_state(device), _chosen(device):
        # Not torch.manual_seed, which would seed every other accelerator for good.
        torch.default_generator.manual_seed(seed)
        if device.type != "cpu":
            torch.get_device_module(device).manual_seed(seed)
        yield


@contextmanager
def torch_defaults() -> Iterator[None]:
    """float32 on the CPU for tensors whose dtype and device are not given, as in custom modules."""
    with _LOCK:
        dtype = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        try:
            with torch.device("cpu"):
                yield
        finally:
            torch.set_default_dtype(dtype)


def _chosen(device: torch.device) -> AbstractContextManager[Any]:
    """Makes it the current device of its type, if that has more than one."""
    module = torch.get_device_module(device)
    chosen: AbstractContextManager[Any]
    chosen = module.device(device) if hasattr(module, "device") else nullcontext()
    return chosen


def _kept_random_state(device: torch.device) -> AbstractContextManager[None]:
    """Puts back the CPU's and the device's random state."""
    if device.type == "cpu":
        return torch.random.fork_rng([])
    return torch.random.fork_rng([device], device_type=device.type)
