"""The parameters that every embedding has, and which values they may have."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from sklearn.utils import check_random_state
from torch import nn

from .._compat import Interval, StrOptions
from ..functional import METRICS, Metric, MetricName
from ..networks import ACTIVATIONS
from ..training import AdamW, MakeOptimizer
from ._portable import PortableEstimator

#: What `batch_size="auto"` means.
_AUTO_BATCH_SIZE = 256


class EmbeddingParameters(PortableEstimator):
    """The parameters that every embedding has. A subclass documents them."""

    n_components: int | None
    hidden_layer_sizes: Sequence[int]
    activation: str
    dropout: float | Literal["auto"]
    encoder: nn.Module | Callable[[int, int], nn.Module] | None
    n_members: int
    metric: MetricName | Metric
    learning_rate_init: float
    weight_decay: float
    adversarial_radius: float | Literal["auto"]
    adversarial_fraction: float
    batch_size: int | Literal["auto"]
    max_iter: int | Literal["auto"]
    tol: float | None
    n_iter_no_change: int
    early_stopping: bool | Literal["auto"]
    validation_fraction: float
    warm_start: bool
    device: str | torch.device
    verbose: int | bool
    random_state: int | np.random.RandomState | None
    scale: bool
    unlabeled: Any
    spread_labels: bool

    #: Epochs that `max_iter="auto"` means for tables that are not large.
    _most_epochs: ClassVar[int]

    #: Makes the optimizer of each training.
    _make_optimizer: ClassVar[MakeOptimizer] = AdamW

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "hidden_layer_sizes": ["array-like"],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "dropout": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "encoder": [callable, None],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions(METRICS.keys()), Metric],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "adversarial_radius": [Interval(Real, 0, None, closed="left")],
        "adversarial_fraction": [Interval(Real, 0, 1, closed="right")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 4, None, closed="left")],
        "max_iter": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left"), None],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "warm_start": ["boolean"],
        "device": [str, torch.device],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
        "scale": ["boolean"],
        "unlabeled": "no_validation",
        "spread_labels": ["boolean"],
    }

    @property
    def _stops_early(self) -> bool:
        """Whether samples are held out to stop by; not with "auto"."""
        return bool(self.early_stopping) and self.early_stopping != "auto"

    def _largest_batch(self) -> int:
        """Samples in a batch, if there are as many."""
        return _AUTO_BATCH_SIZE if self.batch_size == "auto" else self.batch_size

    @property
    def _sizes(self) -> tuple[Any, ...]:
        """The sizes of the hidden layers; those of an array as numbers of Python."""
        return tuple(np.asarray(self.hidden_layer_sizes, dtype=object).tolist())

    def _draw_seed(self) -> int:
        """The seed of a fit. If `random_state` is None, a new one, without NumPy's global state; a
        RandomState advances.
        """
        if self.random_state is None:
            return int(np.random.default_rng().integers(2**31))
        generator: np.random.RandomState = check_random_state(self.random_state)
        return int(generator.randint(2**31 - 1))

    def _set_parameters(self, given: Mapping[str, Any]) -> None:
        """Set what a constructor was given, whose local names these are."""
        for name, value in given.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)
