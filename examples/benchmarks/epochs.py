"""How many epochs a table needs, by its number of samples: the evidence for `max_iter="auto"`.

python examples/benchmarks/epochs.py [--names letter ...] [--epochs 4 8 16] [--seeds 3] [-o FILE]

Prints the accuracy of 5-NN on the codes of held-out samples after so many epochs, the mean of
several seeds. There are at most 10000 held-out samples, and at most 20000 training samples are
their neighbors. The tables are letter and keel_penbased (one half for training) and MNIST (its own
split), in the folder SKNCA_DATA, and synthetic tables of 30 features in 10 classes of 4 clusters
each, with a wrong label for a tenth of the training samples: "synthetic_N" has N of them. Results
are stored in FILE, and not computed again.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding

NAMES = ["keel_penbased", "letter", "mnist", "synthetic_100000", "synthetic_1000000"]


def synthetic(n, seed):
    """Clusters of ten classes that overlap somewhat, turned into each other by a nonlinear map."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(40, 12)) * 1.6
    mixing = np.random.default_rng(1).normal(size=(12, 30)) / 12**0.5
    cluster = rng.integers(40, size=n)
    hidden = centers[cluster] + rng.normal(size=(n, 12))
    X = np.tanh(hidden @ mixing) + 0.1 * rng.normal(size=(n, 30))
    return X.astype(np.float32), cluster % 10


def load(name, seed):
    """Training and test part."""
    if name.startswith("synthetic"):
        n = int(name.split("_")[1])
        X, y = synthetic(n + 10000, seed)
        rng = np.random.default_rng(seed)
        wrong = rng.random(n) < 0.1
        y_train = np.where(wrong, rng.integers(10, size=n), y[:n])
        return X[:n], y_train, X[n:], y[n:]
    with np.load(Path(os.environ["SKNCA_DATA"]) / f"{name}.npz") as file:
        X, y = file["X"].astype(np.float32), file["y"]
        if name == "mnist":
            X = X / 255
            train, test = file["train"], file["test"]
            return X[train], y[train], X[test], y[test]
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, train_size=0.5, stratify=y, random_state=seed
    )
    return X_train, y_train, X_test, y_test


def measure(name, epochs, seed):
    X, y, X_test, y_test = load(name, seed)
    start = time.perf_counter()
    embedding = SNNLEmbedding(max_iter=epochs, device="cpu", random_state=seed).fit(X, y)
    seconds = time.perf_counter() - start
    some = np.random.default_rng(seed).permutation(len(X))[:20000]
    knn = KNeighborsClassifier().fit(embedding.transform(X[some]), y[some])
    return knn.score(embedding.transform(X_test[:10000]), y_test[:10000]), seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--epochs", nargs="+", type=int, default=[7, 14, 28, 55, 110])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    found = {}
    if arguments.output and arguments.output.exists():
        found = json.loads(arguments.output.read_text())
    for name in arguments.names:
        for epochs in arguments.epochs:
            for seed in arguments.seeds:
                key = f"{name} {epochs} {seed}"
                if key not in found:
                    found[key] = measure(name, epochs, seed)
                    if arguments.output:
                        arguments.output.write_text(json.dumps(found))
            accuracy, seconds = np.mean([found[f"{name} {epochs} {s}"] for s in arguments.seeds], 0)
            print(f"{name:20s} {epochs:4d} epochs {accuracy:.4f} {seconds:7.1f} s", flush=True)


if __name__ == "__main__":
    main()
