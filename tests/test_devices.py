"""What the parameter `device` becomes; a GPU that is there but does not compute."""

import pytest
import torch
from sklearn.datasets import make_blobs

from sknca import SNNLEmbedding
from sknca._devices import ROWS_FOR_A_GPU, resolve_device


def make(n):
    return make_blobs(n, 3, random_state=0)


@pytest.fixture
def broken_cuda(monkeypatch):
    """torch says that there is a GPU, and the first kernel fails."""
    real = torch.ones

    def ones(*size, device=None, **options):
        if device == "cuda":
            raise RuntimeError("CUDA error: no kernel image is available\nand more")
        return real(*size, device=device, **options)

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "ones", ones)


def test_auto_runs_something_first(broken_cuda):
    with pytest.warns(UserWarning, match="does not compute: CUDA error: no kernel image is availa"):
        embedding = SNNLEmbedding(max_iter=1).fit(*make(ROWS_FOR_A_GPU))
    assert embedding.device_ == torch.device("cpu")


def test_auto_starts_no_gpu_for_few_rows(broken_cuda):
    embedding = SNNLEmbedding(max_iter=1).fit(*make(ROWS_FOR_A_GPU - 1))
    assert embedding.device_ == torch.device("cpu")


def test_how_much_a_custom_encoder_computes_is_not_known(broken_cuda):
    with pytest.warns(UserWarning, match="does not compute"):
        SNNLEmbedding(encoder=torch.nn.Linear, max_iter=1).fit(*make(100))


@pytest.mark.cuda
def test_cuda_has_an_index():
    assert resolve_device("cuda") == resolve_device("auto") == torch.device("cuda", 0)
    assert resolve_device("auto", n_rows=10) == torch.device("cpu")
