"""On a device that has no float64 nothing is made of it."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sknca.functional import (
    _every_triplet,
    _mining,
    _problem,
    mine_negatives,
    mine_triplets,
    soft_nearest_neighbor_loss,
    soft_neighbor_probabilities,
    triplet_loss,
)


class WithoutFloat64(TorchDispatchMode):
    """A CPU that refuses float64, as Apple's GPUs do."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float64:
                raise TypeError(f"{function} gives float64, which the device does not have")
        return result


@pytest.fixture(autouse=True)
def device(monkeypatch):
    for file in (_every_triplet, _mining, _problem):
        monkeypatch.setattr(file, "widest_float", lambda *_: torch.float32)
    with WithoutFloat64():
        yield


Z = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 4
WEIGHT = torch.arange(40) % 3 + 1.0


def test_it_refuses():
    with pytest.raises(TypeError, match="gives float64"):
        torch.zeros(1).double()


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cosine"])
@pytest.mark.parametrize("weight", [None, WEIGHT])
class TestNothingIs:
    def test_soft_nearest_neighbor_loss(self, metric, weight):
        z = Z.clone().requires_grad_()
        for t in (0.5, torch.tensor(0.5, requires_grad=True)):
            loss = soft_nearest_neighbor_loss(z, Y, t, metric=metric, sample_weight=weight)
            loss.backward()
        assert soft_neighbor_probabilities(Z, 0.5, metric=metric).dtype == torch.float32

    @pytest.mark.parametrize("strategy", ["all", "semihard", "hard", "random"])
    @pytest.mark.parametrize("margin", [1.0, "soft"])
    def test_triplets(self, metric, weight, strategy, margin):
        if margin == "soft" and strategy == "semihard":
            return
        z = Z.clone().requires_grad_()
        options = {"strategy": strategy, "metric": metric}
        triplet_loss(z, Y, margin=margin, sample_weight=weight, **options).backward()
        if margin != "soft":
            mine_triplets(Z, Y, margin=margin, **options)
            if strategy != "all":
                mine_negatives(Z, Z, Z, strategy=strategy)
