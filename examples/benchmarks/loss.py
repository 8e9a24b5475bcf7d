"""The loss, forward and backward, against other implementations and against a lower bound.

python examples/benchmarks/loss.py [256 1024 4096 16384 60000]

float32, d = 32. The others are: the same formula in log space on the whole matrix of distances,
differentiated by autograd; the formula of the article, with its epsilon; and NCALoss of
pytorch-metric-learning (squared Euclidean distance only). The lower bound ("floor") computes, in
blocks of the same size, only one product for the distances, one exponential and two products for
the gradient. An implementation is omitted if its matrices would not fit into `MOST_BYTES`.
"""

import argparse

import torch
from _dense import DISTANCES, dense
from _measure import in_turn, machine, peak_bytes
from pytorch_metric_learning import distances, losses

from sknca.functional import soft_nearest_neighbor_loss
from sknca.functional._snnl import default_block_size

D = 32
SIZES = (256, 1024, 4096, 16384, 60000)
MOST_BYTES = 12e9


def article(z, y, metric):
    similarities = torch.exp(-DISTANCES[metric](z, z)) - torch.eye(len(z))
    probabilities = similarities / (1e-5 + similarities.sum(1, keepdim=True))
    picked = (probabilities * (y[:, None] == y)).sum(1)
    return -torch.log(1e-5 + picked).mean()


NCA_LOSS = losses.NCALoss(
    softmax_scale=1, distance=distances.LpDistance(normalize_embeddings=False, p=2, power=2)
)


def floor(z):
    block_size = min(default_block_size(len(z), z.device), len(z))
    room = torch.zeros(block_size, len(z))
    of_rows, of_columns = torch.zeros_like(z), torch.zeros(D, len(z))
    for start in range(0, len(z), block_size):
        rows = z[start : start + block_size]
        terms = torch.mm(rows, z.T, out=room[: len(rows)]).exp_()
        torch.mm(terms, z, out=of_rows[start : start + block_size])
        of_columns.addmm_(rows.T, terms)


def measure(n, n_classes, metric):
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, n_classes, (n,), generator=generator)
    centers = 0.3 * torch.randn(n_classes, D, generator=generator)
    z = (centers[y] + 0.3 * torch.randn(n, D, generator=generator)).requires_grad_()
    small = 0.05 * torch.randn(n, D, generator=generator)
    functions = {
        "sknca": lambda: soft_nearest_neighbor_loss(z, y, metric=metric).backward(),
        "floor": lambda: floor(small),
    }
    if 4 * 8 * n * n < MOST_BYTES:
        functions["dense"] = lambda: dense(z, y, metric).backward()
        functions["article"] = lambda: article(z, y, metric).backward()
        if metric == "sqeuclidean":
            functions["pytorch-metric-learning"] = lambda: NCA_LOSS(z, y).backward()
    seconds = in_turn(functions, seconds=2)
    for name, function in functions.items():
        memory = peak_bytes(function) / 2**20
        print(
            f"{n:6d} {n_classes:5d} {metric:12s} {name:24s}{seconds[name] * 1e3:11.2f} ms "
            f"{seconds[name] / seconds['sknca']:7.2f} x sknca "
            f"{seconds[name] / seconds['floor']:7.2f} x floor {memory:9.1f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=int, default=SIZES, help="numbers of rows")
    sizes = parser.parse_args().sizes
    print(f"{machine()}; d = {D}, float32; median time, peak of live tensors")
    for n in sizes:
        for n_classes in (10, 1000):
            for metric in DISTANCES:
                measure(n, n_classes, metric)
