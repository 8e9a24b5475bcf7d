"""The parameters that every embedding has, and which values they may have."""

from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from ..functional._metrics import METRICS, MetricName
from ..networks import ACTIVATIONS
from ._devices import PortableEstimator


class EmbeddingParameters(PortableEstimator):
    """The parameters that every embedding has. A subclass documents them."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "hidden_layer_sizes": ["array-like"],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "dropout": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "encoder": [callable, None],
        "metric": [StrOptions(set(METRICS))],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "adversarial_radius": [Interval(Real, 0, None, closed="left")],
        "adversarial_fraction": [Interval(Real, 0, 1, closed="right")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 4, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
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
    }

    def __init__(
        self,
        *,
        n_components: int | None,
        hidden_layer_sizes: Sequence[int],
        activation: str,
        dropout: float | Literal["auto"],
        encoder: nn.Module | Callable[[int, int], nn.Module] | None,
        metric: MetricName,
        learning_rate_init: float,
        weight_decay: float,
        adversarial_radius: float | Literal["auto"],
        adversarial_fraction: float,
        batch_size: int | Literal["auto"],
        max_iter: int,
        tol: float | None,
        n_iter_no_change: int,
        early_stopping: bool | Literal["auto"],
        validation_fraction: float,
        warm_start: bool,
        device: str | torch.device,
        verbose: int | bool,
        random_state: int | np.random.RandomState | None,
        scale: bool,
        unlabeled: Any,
    ) -> None:
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.encoder = encoder
        self.metric = metric
        self.learning_rate_init = learning_rate_init
        self.weight_decay = weight_decay
        self.adversarial_radius = adversarial_radius
        self.adversarial_fraction = adversarial_fraction
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.device = device
        self.verbose = verbose
        self.random_state = random_state
        self.scale = scale
        self.unlabeled = unlabeled
