"""Test error on MNIST with 10 labels a class and 59900 samples without one, pixels in any order.

    python examples/benchmarks/mnist_few_labels.py [--labels 10] [--seeds 0 1 2] [--epochs 15]
        [--rows 10000]

The network is that of mnist.py, 784-1000-500-250-30 with batch normalization and Gaussian noise on
the input and in every hidden layer. Labels spread to the samples without one. All batches are
learned from a second time as adversarial examples, but in the first eighth of the epochs.

Each seed draws the labeled samples and trains a network. Its line has three errors in percent:
that of `transduction_` for the samples without a label, that of 5-NN for the official test rows,
with `transduction_` as the labels of its neighbors, and that of 1-NN among the labeled samples.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from _measure import machine
from mnist import N_COMPONENTS, WIDTHS, Encoder
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding

sys.path.insert(0, str(Path(__file__).parents[1]))
from _datasets import load_images

#: Test errors in percent with 100 labels, pixels in any order, as these articles give them.
PUBLISHED = {
    "ladder network (Rasmus et al. 2015)": 1.06,
    "virtual adversarial training (Miyato et al. 2018)": 1.36,
    "generative models (Kingma et al. 2014)": 3.33,
    "pseudo-labels (Lee 2013)": 10.49,
}


def errors(X, y, X_test, y_test, n_labels, epochs, seed):
    generator = np.random.default_rng(seed)
    few = np.full(len(y), -1)
    for label in range(10):
        few[generator.permutation(np.flatnonzero(y == label))[:n_labels]] = label
    start = time.perf_counter()
    embedding = SNNLEmbedding(
        N_COMPONENTS + sum(WIDTHS),
        encoder=Encoder,
        code_units=N_COMPONENTS,
        unlabeled=-1,
        q=0.0,
        early_stopping=False,
        temperature=0.2,  # that of 0.1 with the cosine, for the codes have length one
        batch_size=512,
        max_iter=epochs,
        learning_rate_init=3e-3,
        weight_decay=1e-2,
        adversarial_radius=1.25,
        adversarial_fraction=1.0,
        device="cpu",
        verbose=1,
        random_state=seed,
    ).fit(X, few)
    seconds = time.perf_counter() - start
    codes, codes_test = (embedding.transform(rows)[:, :N_COMPONENTS].copy() for rows in (X, X_test))
    found, is_labeled = embedding.transduction_, few >= 0
    shares = (
        np.mean(found[~is_labeled] == y[~is_labeled]),
        KNeighborsClassifier(5).fit(codes, found).score(codes_test, y_test),
        KNeighborsClassifier(1).fit(codes[is_labeled], few[is_labeled]).score(codes_test, y_test),
    )
    return *(100 - 100 * share for share in shares), seconds


def main(n_labels, seeds, epochs, n_rows):
    X, y, X_test, y_test = load_images("mnist")
    X, y = X[:n_rows], y[:n_rows]
    print(f"{machine()}; {len(X)} rows, {n_labels} labels a class, {epochs} epochs")
    print(f"{'':12s}{'transduction':>14s}{'5-NN':>8s}{'labeled 1-NN':>14s}")
    results = []
    for seed in seeds:
        results.append(errors(X, y, X_test, y_test, n_labels, epochs, seed))
        show(f"seed {seed}", results[-1])
    show("mean", np.mean(results, axis=0))
    show("deviation", np.std(results, axis=0))
    print("published: " + "; ".join(f"{name} {error} %" for name, error in PUBLISHED.items()))


def show(name, figures):
    of_training, of_5nn, of_1nn, seconds = figures
    print(f"{name:12s}{of_training:14.2f}{of_5nn:8.2f}{of_1nn:14.2f}{seconds:8.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", dest="n_labels", type=int, default=10)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--rows", dest="n_rows", type=int)
    main(**vars(parser.parse_args()))
