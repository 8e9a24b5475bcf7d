"""Accuracy behind each embedding at its defaults, on many tables, clean and noisy.

python examples/benchmarks/knn_accuracy.py [--only iris wine] [--methods SNNLEmbedding NCA]
    [--condition clean noise-20 noise-40 sentinels]

The data sets are scikit-learn's iris, wine, breast_cancer and digits, and all data sets in the
folder SKNCA_DATA. Each has 3 splits: the official one first if there is one, otherwise 70 % of the
samples for training, stratified; at most 2000 samples on either side. StandardScaler comes first,
then the embedding, then KNeighborsClassifier(5), KNeighborsClassifier(15) and
SoftNeighborsClassifier, whose log-loss is printed too. PCA and NCA have min(d, 32) components; all
other parameters are at their defaults. Supervised UMAP is included if it is installed. Below the
line, for comparison, are classifiers at their defaults: their accuracy is in the three columns.

The conditions apply to the training samples only: 20 or 40 % of their labels are replaced by the
label of another class, or 0.2 % of their cells by -999.
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
from scipy.stats import rankdata
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.neighbors import KNeighborsClassifier, NeighborhoodComponentsAnalysis
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding

MOST_ROWS = 2000
N_SPLITS = 3
CONDITIONS = ("clean", "noise-20", "noise-40", "sentinels")

#: Tables whose classes overlap, and tables that were added with them.
OVERLAPPING = ("australian", "banana", "bupa", "contraceptive", "german", "mammographic")
OVERLAPPING = tuple(f"keel_{name}" for name in OVERLAPPING)
ADDED = (*OVERLAPPING, *(f"keel_{name}" for name in ("phoneme", "tic-tac-toe", "ring", "chess")))
GROUPS = {
    "all sets": lambda name: True,
    "overlapping classes": OVERLAPPING.__contains__,
    "the other added sets": lambda name: name in ADDED and name not in OVERLAPPING,
    "the former sets": lambda name: name not in ADDED,
}

#: From the number of features and a seed; None stands for the raw features.
EMBEDDINGS = {
    "raw": lambda d, seed: None,
    "PCA": lambda d, seed: PCA(min(d, 32), random_state=seed),
    "LDA": lambda d, seed: LinearDiscriminantAnalysis(),
    "NCA": lambda d, seed: NeighborhoodComponentsAnalysis(min(d, 32), random_state=seed),
    "SNNLEmbedding": lambda d, seed: SNNLEmbedding(random_state=seed),
    "early stopping": lambda d, seed: SNNLEmbedding(early_stopping=True, random_state=seed),
    "TripletEmbedding": lambda d, seed: TripletEmbedding(random_state=seed),
}
CLASSIFIERS = {
    "MLPClassifier": lambda seed: MLPClassifier(random_state=seed),
    "SVC": lambda seed: SVC(),
    "HistGradientBoosting": lambda seed: HistGradientBoostingClassifier(random_state=seed),
}
if importlib.util.find_spec("umap"):
    import umap

    EMBEDDINGS["UMAP"] = lambda d, seed: umap.UMAP(random_state=seed)


def load_all():
    """Name, X, y and the official split (None where there is none) of each data set."""
    for name in ("iris", "wine", "breast_cancer", "digits"):
        yield name, *getattr(datasets, f"load_{name}")(return_X_y=True), None
    for path in sorted(Path(os.environ.get("SKNCA_DATA", os.devnull)).glob("*.npz")):
        with np.load(path) as file:
            official = (file["train"], file["test"]) if "train" in file else None
            yield path.stem, file["X"], file["y"], official


def splits(y, official):
    for seed in range(N_SPLITS):
        if seed == 0 and official is not None:
            train, test = official
        else:
            train, test = next(split(y, seed, test_size=0.3))
        yield seed, limit(train, y, seed), limit(test, y, seed)


def split(y, seed, **size):
    return StratifiedShuffleSplit(1, random_state=seed, **size).split(y, y)


def limit(rows, y, seed):
    if len(rows) <= MOST_ROWS:
        return rows
    return rows[next(split(y[rows], seed, train_size=MOST_ROWS))[0]]


def spoil(X, y, condition, seed):
    """Training rows as the condition has them."""
    generator = np.random.default_rng(seed)
    if condition.startswith("noise"):
        classes, codes = np.unique(y, return_inverse=True)
        wrong = generator.random(len(y)) < int(condition.removeprefix("noise-")) / 100
        others = codes + generator.integers(1, len(classes), len(y))
        y = np.where(wrong, classes[others % len(classes)], y)
    elif condition == "sentinels":
        X = np.where(generator.random(X.shape) < 0.002, -999.0, X)
    return X, y


def measure(method, X, y, train, test, seed, condition):
    """Test accuracy of 5-NN, 15-NN and soft neighbors, log-loss, and seconds of the fit."""
    X_train, y_train = spoil(X[train], y[train], condition, seed)
    if method in CLASSIFIERS:
        model = make_pipeline(StandardScaler(), CLASSIFIERS[method](seed))
        start = time.perf_counter()
        model.fit(X_train, y_train)
        seconds = time.perf_counter() - start
        accuracy = model.score(X[test], y[test])
        probable = getattr(model, "predict_proba", None)
        loss = log_loss_of(model, probable(X[test]), y[test]) if probable else np.nan
        return [accuracy, accuracy, accuracy, loss, seconds]
    model = make_pipeline(StandardScaler(), EMBEDDINGS[method](X.shape[1], seed))
    start = time.perf_counter()
    codes = model.fit(X_train, y_train).transform(X_train)
    seconds = time.perf_counter() - start
    figures = []
    for classifier in (
        KNeighborsClassifier(5),
        KNeighborsClassifier(min(15, len(train))),
        SoftNeighborsClassifier(),
    ):
        classifier.fit(codes, y_train)
        probabilities = classifier.predict_proba(model.transform(X[test]))
        figures.append(np.mean(classifier.classes_[probabilities.argmax(1)] == y[test]))
    return [*figures, log_loss_of(classifier, probabilities, y[test]), seconds]


def log_loss_of(classifier, probabilities, y):
    known = np.isin(y, classifier.classes_)
    columns = np.searchsorted(classifier.classes_, y[known])
    return -np.log(probabilities[known, columns].clip(1e-15)).mean()


def report(results, methods):
    """Means over groups of the sets, and mean ranks among all methods (1 is the best)."""
    for group, belongs in GROUPS.items():
        chosen = [r for name, r in results.items() if belongs(name)]
        if not chosen:
            continue
        figures = np.array([[r[m] for m in methods] for r in chosen])  # (sets, methods, 5)
        ranks = np.mean([rankdata(-row.round(6)) for row in figures[:, :, 0]], axis=0)
        print(f"\n{group + f' ({len(chosen)})':24s}   5-NN  15-NN   soft  log-loss  rank   fit")
        for method, rank, row in zip(methods, ranks, figures.transpose(1, 0, 2), strict=True):
            five, fifteen, soft, loss, _ = row.mean(0)
            print(
                f"{method:24s} {five:.4f} {fifteen:.4f} {soft:.4f} {loss:9.3f} {rank:5.2f} "
                f"{np.median(row[:, 4]):5.2f} s"
            )


def main(names, methods, conditions, output):
    every = json.loads(output.read_text()) if output and output.exists() else {}
    print(f"{machine()}; mean of {N_SPLITS} splits: 5-NN, 15-NN, soft neighbors, log-loss, seconds")
    for condition in conditions:
        results = every.setdefault(condition, {})
        for name, X, y, official in load_all():
            if names and name not in names:
                continue
            for method in methods:
                each = [
                    measure(method, X, y, train, test, seed, condition)
                    for seed, train, test in splits(y, official)
                ]
                results.setdefault(name, {})[method] = np.mean(each, axis=0).tolist()
                shown = " ".join(f"{figure:.4f}" for figure in results[name][method])
                print(f"{condition:10s} {name:24s} {method:22s} {shown}", flush=True)
            if output:
                output.write_text(json.dumps(every))
        print(f"\n{condition}")
        report(results, list(next(iter(results.values()))))


if __name__ == "__main__":
    every = [*EMBEDDINGS, *CLASSIFIERS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=(), help="data sets")
    parser.add_argument("--methods", nargs="*", default=every, choices=every)
    parser.add_argument("--condition", nargs="*", default=["clean"], choices=CONDITIONS)
    parser.add_argument(
        "--output", type=Path, help="a JSON file for the figures; those in it are kept"
    )
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # MLPClassifier has not converged, features are collinear
    main(arguments.only, arguments.methods, arguments.condition, arguments.output)
