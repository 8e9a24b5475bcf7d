"""`fit` against loops written by hand, and against scikit-learn's MLPClassifier.

python examples/benchmarks/training_loop.py [--epochs 3] [mnist]

The plain loop is what one writes first: a DataLoader over a TensorDataset, the loss as the dense
formula through autograd. The bare loop is what one writes when every millisecond counts: one
permutation an epoch, slices of it, the same loss as sknca's. All train the same network (two
hidden layers of 256, no dropout) with the same batches of 256 rows, for as many epochs, by
AdamW. MLPClassifier has the same hidden layers, batches and epochs. digits, or with `mnist`
(the data in the folder SKNCA_DATA) its 60000 training rows.
"""

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path

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
    parser.add_argument("dataset", nargs="?", default="digits", choices=["digits", "mnist"])
    parser.add_argument("--epochs", type=int, help="100 for digits, 2 for MNIST")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # MLPClassifier has not converged
    if arguments.dataset == "digits":
        X, y = load_digits(return_X_y=True)
        X, epochs = (X / 16).astype("float32"), arguments.epochs or 100
    else:
        (X, y, _, _), epochs = load_images("mnist"), arguments.epochs or 2
    print(f"{machine()}; {arguments.dataset}, {len(X)} rows, {epochs} epochs; medians in turn")
    main(X, y, epochs, seconds=60)
