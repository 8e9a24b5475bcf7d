"""The mining matrix and the triplet loss, against the notebook's way and pytorch-metric-learning.

python examples/benchmarks/triplet_distances.py [--largest 16384]

Needs pytorch-metric-learning. Codes have 128 dimensions, in 10 classes that overlap. A method is
omitted if its tensors would not fit into `MOST_BYTES`.

The notebook's way lists the difference of every negative and every anchor. The method that is
compared with "random" draws its triplets without checking whether they violate the margin: it does
no mining.
"""

import argparse
import warnings

import torch
from _measure import in_turn, machine, peak_bytes
from pytorch_metric_learning import distances, losses, miners

from sknca.functional import triplet_loss, triplet_margins

D, N_CLASSES, MARGIN = 128, 10, 1.0
SIZES = (256, 512, 1024, 2048, 4096, 8192, 16384)
MOST_BYTES = 8e9

DISTANCE = distances.LpDistance(normalize_embeddings=False, p=2, power=2)
LOSS = losses.TripletMarginLoss(MARGIN, distance=DISTANCE)
LOSS_OF_ONE = losses.TripletMarginLoss(MARGIN, distance=DISTANCE, triplets_per_anchor=1)
MINERS = {
    "semihard": miners.TripletMarginMiner(MARGIN, type_of_triplets="semihard", distance=DISTANCE),
    "hard": miners.BatchHardMiner(distance=DISTANCE),
}


def margins_by_notebook(anchors, positives, negatives):
    shape = len(negatives), len(anchors), D
    repeated_anchors = anchors[None].repeat(len(negatives), 1, 1)
    repeated_negatives = negatives[:, None].repeat(1, len(anchors), 1)
    assert repeated_anchors.shape == repeated_negatives.shape == shape
    difference = repeated_anchors - repeated_negatives
    return (difference * difference).sum(-1) - (anchors - positives).square().sum(-1)


def margins_by_cdist(anchors, positives, negatives):
    return DISTANCE(negatives, anchors) - (anchors - positives).square().sum(-1)


def loss_by_peer(z, y, strategy):
    if strategy == "random":
        return LOSS_OF_ONE(z, y)
    miner = MINERS.get(strategy)
    return LOSS(z, y, miner(z, y) if miner else None)


def peer_bytes(n, strategy):
    """About what pytorch-metric-learning needs: it lists triplets, 60 bytes and more for each."""
    if strategy in ("all", "semihard"):
        return 60 * n**3 * (1 - 1 / N_CLASSES) / N_CLASSES
    return 30 * n**2


def mining_matrix(n):
    anchors, positives, negatives = (torch.randn(n, D) for _ in range(3))
    methods = {"sknca": triplet_margins, "pytorch-metric-learning": margins_by_cdist}
    if 4 * 4 * n * n * D < MOST_BYTES:
        methods["notebook"] = margins_by_notebook
    functions = {
        name: lambda method=method: method(anchors, positives, negatives)
        for name, method in methods.items()
    }
    seconds = in_turn(functions)
    for name, function in functions.items():
        memory = peak_bytes(function) / (4 * n * n)
        print(
            f"{n:6d}  mining matrix  {name:24s}{seconds[name] * 1e3:10.2f} ms "
            f"{seconds[name] / seconds['sknca']:8.2f} x   {memory:7.2f} results",
            flush=True,
        )


def loss(n, strategy):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % N_CLASSES
    centers = 0.1 * torch.randn(N_CLASSES, D, generator=generator)
    z = (centers[y] + 0.3 * torch.randn(n, D, generator=generator)).requires_grad_()
    functions = {"sknca": lambda: triplet_loss(z, y, margin=MARGIN, strategy=strategy).backward()}
    if peer_bytes(n, strategy) < MOST_BYTES:
        functions["pytorch-metric-learning"] = lambda: loss_by_peer(z, y, strategy).backward()
    seconds = in_turn(functions)
    for name, function in functions.items():
        memory = peak_bytes(function) / 2**20
        print(
            f"{n:6d}  {strategy:13s}  {name:24s}{seconds[name] * 1e3:10.2f} ms "
            f"{seconds[name] / seconds['sknca']:8.2f} x   {memory:7.1f} MiB",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="greatest number of rows")
    largest = parser.parse_args().largest
    warnings.filterwarnings("ignore")  # the peer's own
    print(f"{machine()}; d = {D}, float32; median time, of sknca's so many, peak of live tensors")
    for n in filter(lambda n: n <= largest, SIZES):
        mining_matrix(n)
    for strategy in ("all", "semihard", "hard", "random"):
        for n in filter(lambda n: n <= largest, SIZES):
            loss(n, strategy)
