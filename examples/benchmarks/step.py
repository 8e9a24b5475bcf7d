"""A training step beside its floor, on a GPU where there is one.

python examples/benchmarks/step.py [--device cuda] [--batch-size 256 1024]

A step takes a batch of rows that lie on the device, runs the network (784 features, two hidden
layers of 256, 32 components) forward and backward under the soft nearest neighbour loss, and
AdamW. The floor does the same but for the loss: one product for the distances, an exponential,
and through autograd the two products of their gradient (with the whole matrix at hand, so for
batches of some thousand rows it is no floor). "streamed" takes its rows from the
host's memory. Times are of many steps without a synchronisation between them.
"""

import argparse

import torch
from _measure import in_turn, machine

from sknca.networks import MLP
from sknca.objectives import SNNLObjective
from sknca.training import TrainingData

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
        for x_batch, y_batch, _ in data.batches(places):
            optimizer.zero_grad()
            loss(x_batch, y_batch).backward()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    resident = TrainingData(x.to(device), y, None, rows)
    functions = {
        "sknca": lambda: run(resident, lambda x, y: objective(x, y, None, 0)[0]),
        "floor": lambda: run(resident, lambda x, _: floor(network, x)),
    }
    if device.type == "cuda":
        host = TrainingData(x, y, None, rows)
        functions["streamed"] = lambda: run(host, lambda x, y: objective(x, y, None, 0)[0])
    seconds = in_turn(functions, seconds=10)
    for name, value in seconds.items():
        print(
            f"{batch_size:6d} {name:10s}{value / STEPS * 1e3:9.3f} ms a step "
            f"{value / seconds['floor']:6.2f} x floor",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", type=torch.device, help="CUDA where there is one")
    parser.add_argument("--batch-size", nargs="*", type=int, default=[256, 1024])
    arguments = parser.parse_args()
    device = arguments.device
    if device is None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"
    print(f"{machine()}; {name}; {N} x {D} rows; medians in turn")
    for batch_size in arguments.batch_size:
        measure(device, batch_size)
