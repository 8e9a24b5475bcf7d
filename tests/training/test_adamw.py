"""AdamW is torch's, bit for bit, and does not bring the compiler."""

import subprocess
import sys
from functools import partial

import pytest
import torch

from sknca.training import AdamW


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)], ids=["cpu", "cuda"]
)
def test_steps_are_those_of_torch(device):
    generator = torch.Generator().manual_seed(0)
    shapes = [(7, 5), (5,), (), (3, 2, 2)]
    start = [torch.randn(shape, generator=generator) for shape in shapes]
    ours, theirs = ([t.to(device).requires_grad_() for t in map(torch.clone, start)] for _ in "ab")
    optimizers = [
        kind([{"params": p[:2]}, {"params": p[2:], "weight_decay": 0.0}], lr=0.1, weight_decay=0.3)
        for kind, p in ((AdamW, ours), (partial(torch.optim.AdamW, fused=True), theirs))
    ]
    for step in range(5):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            gradient = torch.randn(a.shape, generator=generator).to(device)
            a.grad = b.grad = None if i == step else gradient  # now and then there is none
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
            optimizer.step()
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b)


def test_a_fit_does_not_import_the_compiler():
    fit = "import sknca; sknca.SNNLEmbedding(max_iter=1).fit([[0], [1]] * 2, [0, 1] * 2)"
    check = "import sys; assert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", f"{fit}; {check}"], check=True)
