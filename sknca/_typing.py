"""Types where scikit-learn has none."""

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def with_types(decorator: Any) -> Callable[[Function], Function]:
    """A decorator of scikit-learn, of which type checkers are told that it keeps the types."""
    typed: Callable[[Function], Function] = decorator
    return typed
