"""The random numbers of a fit, without those of the whole process.

torch's global random numbers are one stream for all threads: a fit that seeds them in
the background changes what other threads draw. Therefore the package's own networks draw from a
generator of the fit, which is visible only in its thread.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_GENERATOR: ContextVar[torch.Generator | None] = ContextVar("sknca_generator", default=None)


@contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """In this thread, for a while, it is the generator of the fit; None is torch's own."""
    token = _GENERATOR.set(generator)
    try:
        yield
    finally:
        _GENERATOR.reset(token)


def generator_of_fit() -> torch.Generator | None:
    """What draws in this thread, on the CPU; None is torch's own."""
    return _GENERATOR.get()


class FromGeneratorOfFit(TorchFunctionMode):
    """Lets functions of torch that start a network draw from it, which take no generator."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.randn, nn.init.kaiming_uniform_, nn.init.uniform_):
            kwargs["generator"] = generator_of_fit()
        return func(*args, **kwargs)
