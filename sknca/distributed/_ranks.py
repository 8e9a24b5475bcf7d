"""The processes that train together: what they tell each other, and which of them has failed."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from .._torch_compat import all_gather, reduce_scatter, store_of_processes
from ._processes import Alone, Processes, T

#: So long others are waited for, in seconds, to say that they are still there.
_ROLL_CALL = 3.0

#: On a GPU, every so many steps the processes look whether one was interrupted, because it waits.
_STEPS_TO_A_LOOK = 64


class PeerError(RuntimeError):
    """Another process has failed, or does not answer."""


@dataclass(frozen=True)
class _Failure:
    """What a process sends instead of a value if it failed before."""

    text: str


class Ranks(Processes):
    """The processes of torch's group, of which this is one.

    A process that fails says so, so that the others do not wait for it: in the next exchange
    between steps, or, within a step, in torch's store of the group.

    Attributes
    ----------
    rank, size : int
        Which process this is, from 0, and how many there are.

    is_interrupted : bool
        Whether the user interrupted this process. `average` tells the others.
    """

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.is_interrupted = False
        self._n_fits = 0
        self._in_step = False
        self._n_steps = 0

    # Between steps: any value.

    def exchange(self, value: T) -> list[T]:
        """The values of all processes, in their order."""
        self._in_step = False
        received: list[Any] = [None] * self.size
        self._run(lambda: dist.all_gather_object(received, value))
        for rank, other in enumerate(received):
            if isinstance(other, _Failure) and rank != self.rank:
                raise PeerError(f"Process {rank} of {self.size} failed: {other.text}")
        return received

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite the tensors with those of process 0."""
        for tensor in tensors:
            same = tensor.detach().contiguous()
            self._run(partial(dist.broadcast, same, 0))
            tensor.detach().copy_(same)

    def begin_steps(self) -> None:
        """From here to the next exchange, only tensors are sent."""
        self._in_step = True

    # Within a step: tensors on the device.

    def gather(self, rows: Tensor, sizes: Sequence[int]) -> Tensor:
        """The rows (n, d) of all processes (sum of sizes, d), of which each has so many."""
        most = max(sizes)
        padded = rows.contiguous()
        if len(rows) < most:
            padded = rows.new_zeros(most, *rows.shape[1:])
            padded[: len(rows)] = rows
        everyone = rows.new_empty(self.size * most, *rows.shape[1:])
        self._run(lambda: all_gather(everyone, padded))
        if min(sizes) == most:
            return everyone
        return torch.cat([part[:n] for part, n in zip(everyone.split(most), sizes, strict=True)])

    def sum_to_owners(self, rows: Tensor, sizes: Sequence[int]) -> Tensor:
        """Of rows (sum of sizes, d), the sum over all processes of the part (n, d) of this one."""
        most = max(sizes)
        padded = rows.contiguous()
        if min(sizes) < most:
            padded = rows.new_zeros(self.size * most, *rows.shape[1:])
            for place, part in zip(padded.split(most), rows.split(list(sizes)), strict=True):
                place[: len(part)] = part
        own = rows.new_empty(most, *rows.shape[1:])
        self._run(lambda: reduce_scatter(own, padded))
        return own[: sizes[self.rank]]

    def largest(self, value: Tensor) -> Tensor:
        """The largest () of the numbers () of all processes."""
        largest = value.clone()
        self._run(lambda: dist.all_reduce(largest, dist.ReduceOp.MAX))
        return largest

    def average(self, parameters: Sequence[Tensor]) -> None:
        """Average the gradients over the processes, in one message.

        Raises
        ------
        KeyboardInterrupt
            In all processes, if one of them was interrupted.
        """
        has_gradient = [parameter.grad is not None for parameter in parameters]
        device = parameters[0].device
        told = torch.tensor([*has_gradient, self.is_interrupted], dtype=torch.float32).to(device)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        message = torch.cat([told, *(gradient.flatten() for gradient in gradients)])
        self._run(lambda: dist.all_reduce(message))
        self._n_steps += 1
        told, averaged = message[: len(told)], message[len(told) :] / self.size
        sizes = [gradient.numel() for gradient in gradients]
        parts = zip(parameters, gradients, averaged.split(sizes), strict=True)
        for had, (parameter, gradient, part) in zip(has_gradient, parts, strict=True):
            if had:
                parameter.grad = part.view_as(gradient)
        if (message.is_cpu or self._n_steps % _STEPS_TO_A_LOOK == 0) and told[-1] > 0:
            self.is_interrupted = False
            raise KeyboardInterrupt

    # Failures.

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """A fit of all processes together: if it fails here, the others are told."""
        self._n_fits += 1
        self._in_step = False
        self.is_interrupted = False
        try:
            yield
        except PeerError:
            raise
        except BaseException as error:
            # An interrupted process does not wait. If all were interrupted, they need not be told.
            interrupted = isinstance(error, KeyboardInterrupt)
            self._tell(f"{type(error).__name__}: {error}", wait=not interrupted)
            raise

    def _tell(self, text: str, *, wait: bool) -> None:
        try:
            self._store().set(self._key(f"failed/{self.rank}"), text)
        except Exception:  # of any kind: the store is gone with the process that had it
            return
        if wait and not self._in_step:
            try:
                dist.all_gather_object([None] * self.size, _Failure(text))
            except RuntimeError:
                return

    def _run(self, communicate: Callable[[], Any]) -> None:
        try:
            communicate()
        except RuntimeError as error:
            raise PeerError(f"{self._who_failed()} ({_first_line(error)})") from error

    def _who_failed(self) -> str:
        """Whether others said that they failed, or say nothing at all."""
        try:
            store = self._store()
            store.set(self._key(f"here/{self.rank}"), "")
            others = [rank for rank in range(self.size) if rank != self.rank]
            silent, end = others, time.monotonic() + _ROLL_CALL
            while True:
                for rank in others:
                    if store.check([self._key(f"failed/{rank}")]):
                        text = store.get(self._key(f"failed/{rank}")).decode()
                        return f"Process {rank} of {self.size} failed: {text}"
                silent = [rank for rank in others if not store.check([self._key(f"here/{rank}")])]
                if not silent or time.monotonic() > end:
                    break
                time.sleep(0.05)
        except Exception:  # of any kind: the store is gone with the process that had it
            return f"The process of {self.size} that holds torch's store, usually 0, has ended"
        if not silent:
            return f"The {self.size} processes lost each other"
        named = " and ".join(map(str, silent))
        return f"Process {named} of {self.size} has ended or does not answer"

    def _store(self) -> Any:
        return store_of_processes()

    def _key(self, what: str) -> str:
        return f"sknca/{self._n_fits}/{what}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


_PROCESSES: ContextVar[Processes] = ContextVar("sknca_processes")


def processes_of_fit() -> Processes:
    """The processes that fit together with this one, which may be alone."""
    return _PROCESSES.get(Alone())


@contextmanager
def joined(processes: Processes) -> Iterator[None]:
    token = _PROCESSES.set(processes)
    try:
        yield
    finally:
        _PROCESSES.reset(token)
