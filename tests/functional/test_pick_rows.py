import pytest
import torch

from sknca.functional import _pick_rows


@pytest.mark.parametrize("entries", [1, 7, 2**24])
@pytest.mark.parametrize("index", [[], [0], [3, 3, 1, 0, 3], [4, 2]])
def test_the_gradient_of_a_gpu_is_that_of_index_select(index, entries, monkeypatch):
    monkeypatch.setattr(_pick_rows, "_BLOCK_ENTRIES", entries)
    index = torch.tensor(index, dtype=torch.long)
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    factor = torch.randn(len(index), 3, generator=torch.Generator().manual_seed(1))
    expected = z.index_select(0, index)
    (gradient,) = torch.autograd.grad((expected * factor).sum(), z)
    picked = _pick_rows._PickRows.apply(z, index)
    assert torch.equal(picked, expected)
    torch.testing.assert_close(torch.autograd.grad((picked * factor).sum(), z)[0], gradient)
    assert torch.equal(_pick_rows.pick_rows(z, index), expected)
