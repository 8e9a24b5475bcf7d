"""What a fit asks of the processes that it runs in. One process is the case of one part."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

T = TypeVar("T")


class Processes(ABC):
    """The processes that fit one embedding together, of which this is one.

    Attributes
    ----------
    rank, size : int
        Which process this is, from 0, and how many there are.

    is_interrupted : bool
        Whether the user interrupted this process and the others do not know it yet.
    """

    rank: int
    size: int
    is_interrupted: bool

    @abstractmethod
    def exchange(self, value: T) -> list[T]:
        """The values of all processes, in their order."""

    @abstractmethod
    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Overwrite the tensors with those of process 0."""

    @abstractmethod
    def average(self, parameters: Sequence[Tensor]) -> None:
        """Average the gradients over the processes."""

    @abstractmethod
    def largest(self, value: Tensor) -> Tensor:
        """The largest () of the numbers () of all processes."""

    @contextmanager
    def fitting(self) -> Iterator[None]:
        """A fit of all processes together: if it fails here, the other processes are told."""
        yield

    @property
    def is_joint(self) -> bool:
        """Whether there are several."""
        return self.size > 1

    @property
    def is_first(self) -> bool:
        """Whether this process shows and writes what all have together."""
        return self.rank == 0

    def of_first(self, value: T) -> T:
        """The value of process 0."""
        return self.exchange(value if self.is_first else None)[0]  # type: ignore[return-value]

    def total(self, value: Any) -> Any:
        """The sum of a number or an array over all processes."""
        return sum(self.exchange(value))

    def any_of(self, value: bool) -> bool:
        """Whether it is true in a process."""
        return any(self.exchange(value))

    def concatenated(self, array: NDArray[Any]) -> NDArray[Any]:
        """The rows of all processes, in their order."""
        return np.concatenate(self.exchange(array))

    def counts_of(self, labels: NDArray[np.int64], least: int = 0) -> NDArray[np.int64]:
        """How many samples (n_classes,) of all processes each class has, of labels (n,) from 0."""
        everyone = self.exchange(np.bincount(labels, minlength=least))
        n_classes = max(map(len, everyone))
        padded = [np.pad(some, (0, n_classes - len(some))) for some in everyone]
        summed: NDArray[np.int64] = np.sum(padded, axis=0)
        return summed


class Alone(Processes):
    """A single process."""

    rank, size, is_interrupted = 0, 1, False

    def exchange(self, value: T) -> list[T]:
        return [value]

    def broadcast(self, tensors: Sequence[Tensor]) -> None:
        """Nothing is sent."""

    def average(self, parameters: Sequence[Tensor]) -> None:
        """The gradients are the averages."""

    def largest(self, value: Tensor) -> Tensor:
        return value

    def total(self, value: Any) -> Any:
        return value

    def concatenated(self, array: NDArray[Any]) -> NDArray[Any]:
        return array
