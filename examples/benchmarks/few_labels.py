"""Accuracy with few labels, beside the methods of scikit-learn and UMAP.

python examples/benchmarks/few_labels.py [--sets digits letter] [--labels 1 3 10 100]
    [--methods SNNLEmbedding LabelSpreading] [--rows 1000] [--draws 5] [--output FILE]

The sets are scikit-learn's digits and, from the folder SKNCA_DATA, optdigits, satellite, letter,
keel_penbased and mnist. Each draw takes so many rows to train on (--rows 0: all but the held-out
ones), of which so many of each class have a label, and at most 2000 held-out rows (of mnist the
official 10000). All features are divided by one number, their standard deviation.

Of an embedding, the classifier is the nearest labeled neighbor. The two accuracies are those of
the training rows without a label, and of held-out rows. The time is that of the fit and of both
predictions. UMAP takes part if it is installed; "UMAP, then 1-NN" does not use labels.
"""

import argparse
import importlib.util
import json
import os
import time
import warnings
from pathlib import Path

import numpy as np
from _measure import machine
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC

from sknca import SNNLEmbedding, TripletEmbedding

SMALL = ("digits", "optdigits", "satellite", "letter", "keel_penbased")
MOST_HELD_OUT = 2000

#: From a seed to an embedding, and whether it is fitted on the rows without a label too.
EMBEDDINGS = {
    "SNNLEmbedding": (lambda s: ours(s), True),
    "TripletEmbedding": (
        lambda s: TripletEmbedding(scale=False, unlabeled=-1, random_state=s),
        True,
    ),
    "labeled rows alone": (lambda s: SNNLEmbedding(scale=False, random_state=s), False),
    "autoencoder": (
        lambda s: ours(s, primary_loss="reconstruction", snnl_weight=0.03, spread_labels=False),
        True,
    ),
    "nearest neighbor": (lambda s: FunctionTransformer(), False),
    "PCA": (lambda s: PCA(0.95, random_state=s), True),
}
CLASSIFIERS = {
    "LabelSpreading": lambda s: LabelSpreading(kernel="knn", n_neighbors=7),
    "SelfTraining": lambda s: SelfTrainingClassifier(SVC(probability=True, random_state=s)),
}
if importlib.util.find_spec("umap"):
    import umap

    EMBEDDINGS["UMAP with labels"] = (lambda s: umap.UMAP(n_components=10, random_state=s), True)
    EMBEDDINGS["UMAP, then 1-NN"] = (lambda s: umap.UMAP(n_components=10, random_state=s), True)
METHODS = [*EMBEDDINGS, *CLASSIFIERS]

#: Nothing can be learned by these from one label of each class.
NEED_TWO_LABELS = ("labeled rows alone", "autoencoder")


def ours(seed, **parameters):
    return SNNLEmbedding(scale=False, unlabeled=-1, random_state=seed, **parameters)


def load(name):
    """X, y and the official training and test rows, if there are any."""
    if name == "digits":
        return *load_digits(return_X_y=True), None
    with np.load(Path(os.environ["SKNCA_DATA"]) / f"{name}.npz") as file:
        official = (file["train"], file["test"]) if name == "mnist" else None
        return file["X"].astype(np.float32), file["y"], official


def draw(name, n_labels, n_rows, seed):
    """Training rows, their labels, those that are given, and held-out rows with theirs."""
    X, y, official = load(name)
    y = np.unique(y, return_inverse=True)[1]
    generator = np.random.default_rng(seed)
    if official is None:
        order = generator.permutation(len(X))
        n_held_out = min(MOST_HELD_OUT, len(X) * 3 // 10)
        train, held_out = order[n_held_out:], order[:n_held_out]
    else:
        train, held_out = generator.permutation(official[0]), official[1]
    train = train[: n_rows or None]
    X = X / X[train].std()
    given = np.full(len(train), -1)
    for label in np.unique(y):
        rows = np.flatnonzero(y[train] == label)[:n_labels]
        given[rows] = label
    return X[train], y[train], given, X[held_out], y[held_out]


def predict(method, X, given, X_held_out, seed):
    """Labels of the training rows, and of held-out ones."""
    labeled = given >= 0
    if method in CLASSIFIERS:
        classifier = CLASSIFIERS[method](seed).fit(X, given)
        found = classifier.transduction_ if method == "LabelSpreading" else classifier.predict(X)
        return found, classifier.predict(X_held_out)
    make, with_all = EMBEDDINGS[method]
    embedding = make(seed)
    if method in ("PCA", "UMAP, then 1-NN"):
        embedding.fit(X)
    elif with_all:
        embedding.fit(X, given)
    else:
        embedding.fit(X[labeled], given[labeled])
    codes, held_out_codes = embedding.transform(X), embedding.transform(X_held_out)
    nearest = KNeighborsClassifier(1).fit(codes[labeled], given[labeled])
    found = getattr(embedding, "transduction_", None)
    return nearest.predict(codes) if found is None else found, nearest.predict(held_out_codes)


def measure(method, name, n_labels, n_rows, seed):
    X, y, given, X_held_out, y_held_out = draw(name, n_labels, n_rows, seed)
    start = time.perf_counter()
    found, found_held_out = predict(method, X, given, X_held_out, seed)
    seconds = time.perf_counter() - start
    without = given < 0
    transductive = float(np.mean(found[without] == y[without])) if without.any() else np.nan
    return transductive, float(np.mean(found_held_out == y_held_out)), seconds


def main(sets, labels, methods, n_rows, n_draws, output):
    every = json.loads(output.read_text()) if output and output.exists() else {}
    print(f"{machine()}; {n_rows or 'all'} rows, mean of {n_draws} draws")
    for n_labels in labels:
        for name in sets:
            for method in methods:
                if n_labels == 1 and method in NEED_TWO_LABELS:
                    continue
                each = [
                    measure(method, name, n_labels, n_rows, seed=seed) for seed in range(n_draws)
                ]
                means = np.mean(each, axis=0)
                every[f"{n_rows} {n_labels} {name} {method}"] = means.tolist()
                print(
                    f"{n_labels:4d} {name:14s} {method:20s} training rows {means[0]:.3f}  "
                    f"held-out {means[1]:.3f}  {means[2]:6.1f} s",
                    flush=True,
                )
                if output:
                    output.write_text(json.dumps(every, indent=0))
    report(every)


def report(every):
    """Means over the sets that all methods were measured on."""
    tables = {}
    for key, figures in every.items():
        n_rows, n_labels, name, method = key.split(" ", 3)
        tables.setdefault((int(n_rows), int(n_labels)), {}).setdefault(method, {})[name] = figures
    for (n_rows, n_labels), table in sorted(tables.items()):
        names = sorted(set.intersection(*(set(of_sets) for of_sets in table.values())))
        print(f"\n{n_rows or 'all'} rows, {n_labels} labels a class: {', '.join(names)}")
        print(f"{'':20s} training rows  held-out  seconds")
        for method, of_sets in table.items():
            means = np.mean([of_sets[name] for name in names], axis=0)
            print(f"{method:20s} {means[0]:13.3f}  {means[1]:8.3f}  {means[2]:7.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="*", default=SMALL, choices=[*SMALL, "mnist"])
    parser.add_argument("--labels", nargs="*", type=int, default=[1, 3, 10])
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    parser.add_argument("--rows", dest="n_rows", type=int, default=1000)
    parser.add_argument("--draws", dest="n_draws", type=int, default=5)
    parser.add_argument(
        "--output", type=Path, help="a JSON file for the figures; those in it are kept"
    )
    warnings.simplefilter("ignore")  # UMAP's single job, labels that were not pinned down
    main(**vars(parser.parse_args()))
