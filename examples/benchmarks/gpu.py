"""What a GPU gains, and how close a step and the loss are to the time of their matrix products.

python examples/benchmarks/gpu.py [--device cuda] [--mnist]

- A training step of 784 features, two hidden layers of 256 and 32 components, without and with
  perturbations: as written (one operator launched after the other) and replayed (as `fit` does it
  on CUDA), next to the thirteen matrix products that it contains.
- The loss and its gradient for many samples, next to its three products.
- `fit` and `transform` with all defaults, on the GPU and on the CPU: digits, and with --mnist also
  MNIST (which scikit-learn loads from OpenML).

Times are of many runs without a synchronization between them.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _measure import machine
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding
from sknca.data import Batch
from sknca.functional import soft_nearest_neighbor_loss
from sknca.networks import SkipMLP
from sknca.objectives import SNNLObjective, TripletObjective
from sknca.training import AdamW, AdversarialGradient, Step
from sknca.training._step import GraphRecorder, ReplayedStep

sys.path.insert(0, str(Path(__file__).parents[1]))
from _datasets import load_images

D, HIDDEN, N_COMPONENTS, N_CLASSES = 784, 256, 32, 10


def milliseconds(function, device, n=30, rounds=5):
    """Of a call: the median of rounds."""

    def synchronize():
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    n, rounds = (n, rounds) if device.type == "cuda" else (3, 2)
    times = []
    for _ in range(rounds + 1):  # the first warms up
        synchronize()
        start = time.perf_counter()
        for _ in range(n):
            function()
        synchronize()
        times.append((time.perf_counter() - start) / n * 1e3)
    return statistics.median(times[1:])


def products(shapes, device):
    """A function that does nothing but matrix products (n, k) @ (k, m)."""
    factors = [
        [torch.randn(*size, device=device) for size in ((n, k), (k, m), (n, m))]
        for n, k, m in shapes
    ]

    def run():
        for left, right, out in factors:
            torch.mm(left, right, out=out)

    return run


def step_products(b):
    """Of a step: of the layers forward and backward, and three of the loss."""
    layers = [(b, D, HIDDEN), (b, HIDDEN, HIDDEN), (b, HIDDEN, N_COMPONENTS), (b, D, N_COMPONENTS)]
    of_weights = [(m, n, k) for n, k, m in layers]
    of_inputs = [(b, N_COMPONENTS, HIDDEN), (b, HIDDEN, HIDDEN)]
    return layers + of_weights + of_inputs + loss_products(b)


def loss_products(n):
    d = N_COMPONENTS
    return [(n, d + 1, n), (n, n, d), (d + 1, n, n)]


def make_step(b, device, objective_of, radius):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(b, D, generator=generator).to(device)
    y = torch.randint(0, N_CLASSES, (b,), generator=generator).to(device)
    torch.manual_seed(0)
    encoder = SkipMLP(
        D, N_COMPONENTS, hidden_layer_sizes=(HIDDEN, HIDDEN), activation="relu", dropout=0.2
    )
    objective = objective_of(encoder).to(device).train()
    optimizer = AdamW(objective.parameter_groups(), lr=1e-3, weight_decay=1e-2)
    step = Step(objective, optimizer)
    if radius:
        step = replace(step, gradient=AdversarialGradient(radius, encoder.spread))
    return step, optimizer, Batch(x, y)


def replaying(step, optimizer, batch, device):
    replayed = ReplayedStep(step, device, GraphRecorder())

    def run():
        for group in optimizer.param_groups:
            group["lr"] = 1e-3
        replayed(batch, 0)

    return run


def snnl(encoder):
    return SNNLObjective(encoder, metric="sqeuclidean", temperatures=[1.0])


def triplets(mining, encoder):
    return TripletObjective(encoder, metric="sqeuclidean", margin=1.0, mining=mining)


KINDS = {
    "plain": (snnl, 0.0),
    "with perturbations": (snnl, 0.7),
    "triplets, all": (partial(triplets, "all"), 0.0),
    "triplets, hard": (partial(triplets, "hard"), 0.0),
}


def steps(device):
    for b in (256, 1024, 4096):
        floor = milliseconds(products(step_products(b), device), device)
        print(f"step of {b:5d} samples: products {floor:7.3f} ms", flush=True)
        for name, (objective_of, radius) in KINDS.items():
            step, optimizer, batch = make_step(b, device, objective_of, radius)
            line = milliseconds(partial(step, batch, 0), device)
            text = f"    {name:20s} written {line:7.3f} ms ({line / floor:5.1f} x)"
            if device.type == "cuda":
                line = milliseconds(replaying(step, optimizer, batch, device), device)
                text += f", replayed {line:7.3f} ms ({line / floor:5.1f} x)"
            print(text, flush=True)


def loss_and_gradient(z, y):
    z.grad = None
    soft_nearest_neighbor_loss(z, y).backward()


def loss(device):
    for n in (4096, 20000, 60000) if device.type == "cuda" else (4096,):
        z = torch.randn(n, N_COMPONENTS, device=device, requires_grad=True)
        y = torch.randint(0, N_CLASSES, (n,), device=device)
        rows = min(n, 2**30 // n)  # the products too go block by block
        d = N_COMPONENTS
        block = products([(rows, d + 1, n), (rows, n, d), (d + 1, rows, n)], device)
        floor = milliseconds(block, device, n=10) * n / rows
        line = milliseconds(partial(loss_and_gradient, z, y), device, n=3)
        print(
            f"loss of {n:6d} samples: {line:9.3f} ms, products {floor:9.3f} "
            f"({line / floor:5.1f} x)",
            flush=True,
        )


def fits(name, X, y, X_test, y_test, devices):
    for device in devices:
        times = []
        for _ in range(2):  # the second without the start of the device
            start = time.perf_counter()
            embedding = SNNLEmbedding(device=device, random_state=0).fit(X, y)
            times.append(time.perf_counter() - start)
        embedding.transform(X[:10])
        start = time.perf_counter()
        codes = embedding.transform(X)
        rate = len(X) / (time.perf_counter() - start)
        knn = KNeighborsClassifier(1).fit(codes, y)
        error = 100 * (1 - knn.score(embedding.transform(X_test), y_test))
        print(
            f"{name}, {len(X)} x {X.shape[1]}, {embedding.n_iter_} epochs on {device}: fit "
            f"{times[0]:.2f} s, again {times[1]:.2f} s; transform {rate:,.0f} samples a second; "
            f"1-NN test error {error:.2f} %",
            flush=True,
        )


def main(device, mnist):
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    print(f"{machine()}; {card}")
    steps(device)
    loss(device)
    X, y = load_digits(return_X_y=True)
    parts = train_test_split(X.astype(np.float32), y, test_size=0.3, random_state=0, stratify=y)
    fits("digits", parts[0], parts[2], parts[1], parts[3], dict.fromkeys([str(device), "cpu"]))
    if mnist:
        X, y, X_test, y_test = load_images("mnist")
        fits("MNIST", X, y, X_test, y_test, [str(device)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--mnist", action="store_true")
    arguments = parser.parse_args()
    main(**vars(arguments))
