"""`fit` against hand-written loops, and against scikit-learn's MLPClassifier.

python examples/benchmarks/training_loop.py [--epochs 3] [mnist | table]

The plain loop is the usual one: a DataLoader over a TensorDataset, and the loss as the dense
formula through autograd. The bare loop is written for speed: one permutation per epoch, slices of
it, and the same loss as sknca's. All train the same network (two hidden layers of 256, no dropout)
with the same batches of 256 samples, for the same number of epochs, with AdamW. MLPClassifier has
the same hidden layers, batches and epochs. The data are digits, or with `mnist` (in the folder
SKNCA_DATA) its 60000 training samples.

`table` is 60000 samples of 30 random features in 10 classes: `SNNLEmbedding` at its defaults, with
and without adversarial steps, next to MLPClassifier with the same hidden layers and batches.
"""

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
from _dense import dense
from _measure import in_turn, machine
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from torch.utils.data import DataLoader, TensorDataset

from sknca import SNNLEmbedding
from sknca.functional import soft_nearest_neighbor_loss
from sknca.networks import MLP

sys.path.insert(0, str(Path(__file__).parents[1]))
from _datasets import load_images

BATCH_SIZE = 256


NETWORK = partial(MLP, hidden_layer_sizes=(256, 256), activation="relu", dropout=0.0)


def network(x):
    torch.manual_seed(0)
    return NETWORK(x.shape[1], min(x.shape[1], 32))


def plain_loop(x, y, epochs):
    net = network(x)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    batches = DataLoader(TensorDataset(x, y), batch_size=BATCH_SIZE, shuffle=True)
    for _ in range(epochs):
        for x_batch, y_batch in batches:
            loss = dense(net(x_batch), y_batch, "sqeuclidean")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def bare_loop(x, y, epochs):
    net = network(x)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(BATCH_SIZE):
            loss = soft_nearest_neighbor_loss(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def table(epochs, seconds):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60000, 30)).astype("float32"), np.arange(60000) % 10
    # Of so few epochs each has adversarial steps; of a usual training the first eighth has none.
    common = {"early_stopping": False, "max_iter": epochs, "random_state": 0, "device": "cpu"}
    functions = {
        "defaults": lambda: SNNLEmbedding(**common).fit(X, y),
        "no adversarial steps": lambda: SNNLEmbedding(adversarial_radius=0, **common).fit(X, y),
        "MLPClassifier": lambda: MLPClassifier(
            (256, 256),
            batch_size=BATCH_SIZE,
            max_iter=epochs,
            n_iter_no_change=epochs,
            random_state=0,
        ).fit(X, y),
    }
    times = in_turn(functions, seconds=seconds)
    for name, time in times.items():
        ratio = time / times["MLPClassifier"]
        print(f"{name:22s}{time / epochs:8.2f} s an epoch {ratio:6.2f} x MLPClassifier", flush=True)


def main(X, y, epochs, seconds):
    x, labels = torch.from_numpy(X), torch.from_numpy(y).long()
    common = {"batch_size": BATCH_SIZE, "max_iter": epochs, "random_state": 0}
    functions = {
        "SNNLEmbedding.fit": lambda: SNNLEmbedding(encoder=NETWORK, **common).fit(X, y),
        "plain loop": lambda: plain_loop(x, labels, epochs),
        "bare loop": lambda: bare_loop(x, labels, epochs),
        "MLPClassifier.fit": lambda: MLPClassifier(
            (256, 256), n_iter_no_change=epochs, **common
        ).fit(X, y),
    }
    times = in_turn(functions, seconds=seconds)
    steps = epochs * -(-len(X) // BATCH_SIZE)
    for name, time in times.items():
        print(
            f"{name:20s}{time:8.2f} s {time / steps * 1e3:8.2f} ms a step "
            f"{time / times['SNNLEmbedding.fit']:6.2f} x fit",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "dataset", nargs="?", default="digits", choices=["digits", "mnist", "table"]
    )
    parser.add_argument("--epochs", type=int, help="100 for digits, 2 otherwise")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # MLPClassifier has not converged
    if arguments.dataset == "table":
        print(machine())
        table(arguments.epochs or 2, seconds=60)
        raise SystemExit
    if arguments.dataset == "digits":
        X, y = load_digits(return_X_y=True)
        X, epochs = (X / 16).astype("float32"), arguments.epochs or 100
    else:
        (X, y, _, _), epochs = load_images("mnist"), arguments.epochs or 2
    print(f"{machine()}; {arguments.dataset}, {len(X)} rows, {epochs} epochs; medians in turn")
    main(X, y, epochs, seconds=60)
