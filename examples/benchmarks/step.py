"""A training step next to its lower bound ("floor"), on a GPU if there is one.

python examples/benchmarks/step.py [--device cuda] [--batch-size 256 1024]
python examples/benchmarks/step.py parts [--batch-size 256]

A step takes a batch of samples that are on the device, runs the network (784 features, two hidden
layers of 256, 32 components) forward and backward with the soft nearest neighbor loss, and AdamW.
The floor does the same except for the loss: instead, it computes one product for the distances, an
exponential, and through autograd the two products of their gradient. (It keeps the whole matrix in
memory, so it is not a lower bound for batches of some thousand samples.) "streamed" reads its
samples from the memory of the host. Times are of many steps without a synchronization between them.

`parts` is a step of `SNNLEmbedding` at its defaults (64 features, two hidden layers of 256, 32
components, dropout) in one thread of the CPU, part by part. Its floor is the matrix products of the
step alone, forward and backward, and one exponential of each pair.
"""

import argparse

import torch
from _measure import in_turn, machine

from sknca._random import drawing_from
from sknca.data import Batch, RowsInMemory, TrainingData
from sknca.functional import soft_nearest_neighbor_loss
from sknca.networks import MLP, SkipMLP
from sknca.objectives import SNNLObjective
from sknca.training import AdamW, AdversarialGradient, Step

N, D, N_CLASSES = 60000, 784, 10
STEPS = 50


def floor(network, x):
    z = network(x)
    return (z @ z.T).mul(1e-3).exp().sum()


def measure(device, batch_size):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(N, D, generator=generator)
    y = torch.randint(0, N_CLASSES, (N,), generator=generator).to(device)
    rows = torch.arange(N)
    torch.manual_seed(0)
    network = MLP(D, 32, hidden_layer_sizes=(256, 256), activation="relu", dropout=0.0).to(device)
    objective = SNNLObjective(network, metric="sqeuclidean", temperatures=[1.0])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, fused=True)
    places = [torch.randint(0, N, (batch_size,), generator=generator) for _ in range(STEPS)]

    def run(data, loss):
        for batch in data.batches(places):
            optimizer.zero_grad()
            loss(batch).backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    resident = TrainingData(RowsInMemory(x.to(device), device), y, None, rows)
    functions = {
        "sknca": lambda: run(resident, lambda batch: objective(batch, 0)[0]),
        "floor": lambda: run(resident, lambda batch: floor(network, batch.x)),
    }
    if device.type == "cuda":
        host = TrainingData(RowsInMemory(x, device), y, None, rows)
        functions["streamed"] = lambda: run(host, lambda batch: objective(batch, 0)[0])
    seconds = in_turn(functions, seconds=10)
    for name, value in seconds.items():
        print(
            f"{batch_size:6d} {name:10s}{value / STEPS * 1e3:9.3f} ms a step "
            f"{value / seconds['floor']:6.2f} x floor",
            flush=True,
        )


def parts(n, n_features=64, width=256, n_components=32):
    """Median milliseconds of each part of a step on n rows, in turn."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = torch.randn(n, n_features), torch.randint(0, N_CLASSES, (n,))
    network = SkipMLP(
        n_features, n_components, hidden_layer_sizes=(width, width), activation="relu", dropout=0.2
    )
    network.start_from(x, torch.ones(n_features))
    objective = SNNLObjective(network, metric="sqeuclidean", temperatures=[1.0]).train()
    groups = [group for group in objective.parameter_groups() if group["params"]]
    optimizer = AdamW(groups, lr=1e-4, weight_decay=1e-4)
    plain = Step(objective, optimizer)
    adversarial = Step(objective, optimizer, AdversarialGradient(0.7, network.spread))
    gradient, codes = torch.randn(n, n_components) / n, torch.randn(n, n_components)
    hidden, to_hidden = torch.randn(n, width), torch.randn(width, width)
    first, last = torch.randn(n_features, width), torch.randn(width, n_components)
    skip = torch.randn(n_features, n_components)

    def products():
        for left, right in [(x, first), (hidden, to_hidden), (hidden, last), (x, skip)]:
            left @ right
        for left, right in [(hidden, gradient), (hidden, hidden), (x, hidden), (x, gradient)]:
            left.T @ right  # the weights' gradients
        for left, right in [(gradient, last), (hidden, to_hidden)]:
            left @ right.T  # the activations' gradients

    def products_of_loss():
        pairs = (codes @ codes.T).mul_(1e-3).exp_()
        pairs @ codes
        codes.T @ pairs

    def loss():
        z = codes.clone().requires_grad_()
        soft_nearest_neighbor_loss(z, y).backward()

    seconds = in_turn(
        {
            "products, network": products,
            "products, loss": products_of_loss,
            "network": lambda: network(x).backward(gradient),
            "loss": loss,
            "optimizer": optimizer.step,
            "step": lambda: plain(Batch(x, y), 0),
            "adversarial step": lambda: adversarial(Batch(x, y), 0),
        },
        seconds=10,
        most=500,
    )
    floor = seconds["products, network"] + seconds["products, loss"]
    for name, value in seconds.items():
        print(f"{n:6d} {name:18s}{value * 1e3:8.3f} ms {value / floor:6.2f} x floor")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["steps", "parts"], default="steps")
    parser.add_argument("--device", type=torch.device, help="CUDA where there is one")
    parser.add_argument("--batch-size", nargs="*", type=int, default=[256, 1024])
    arguments = parser.parse_args()
    if arguments.what == "parts":
        for batch_size in arguments.batch_size:
            with drawing_from(torch.Generator().manual_seed(0)):
                parts(batch_size)
        raise SystemExit
    device = arguments.device
    if device is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    print(f"{machine()}; {name}; {N} x {D} rows; medians in turn")
    for batch_size in arguments.batch_size:
        measure(device, batch_size)
