"""Pickles of fitted estimators, from one machine to another."""

import copy
from typing import Any, Self

import torch
from torch import nn

from .._devices import device_of_fit
from ._estimator import Estimator

#: Attributes that may be the user's own modules, which stay on their device.
_AS_GIVEN = ("encoder", "decoder", "_encoder_of_fit")


class PortableEstimator(Estimator):
    """Pickles that open on a machine without the device of the fit: weights go by the CPU."""

    device_: torch.device

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__().copy()
        modules = {name: value for name, value in state.items() if isinstance(value, nn.Module)}
        if any(not t.is_cpu for module in modules.values() for t in module.parameters()):
            # A file written on a machine with a GPU must open on one without. Copied together,
            # because they share parts.
            state |= {name: module.cpu() for name, module in copy.deepcopy(modules).items()}
        return state

    def __copy__(self) -> Self:
        # Not through the state of a pickle, which moves modules that both would share.
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "network_" not in state:
            return
        self.device_ = device_of_fit(self.device_, type(self).__name__)
        for name, value in self.__dict__.items():
            if isinstance(value, nn.Module) and name not in _AS_GIVEN:
                value.to(self.device_)
