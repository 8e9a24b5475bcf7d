"""Accuracy of 5 nearest neighbours behind each embedding at its defaults, over many tables.

python examples/benchmarks/knn_accuracy.py [--only wine vowel] [--methods SNNLEmbedding NCA]

The data sets are scikit-learn's iris, wine, breast_cancer and digits, and whatever lies in the
folder SKNCA_DATA. Of each, 3 splits: the official one first where there is one, else 70 % of
the rows for training, stratified; at most 2000 rows on either side. StandardScaler comes first,
then the embedding, then KNeighborsClassifier(5). PCA and NCA have min(d, 32) components; all
else is at its defaults. Supervised UMAP takes part where it is installed. Below the line, as
ceilings, classifiers at their defaults.
"""

import argparse
import functools
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

from sknca import SNNLEmbedding, TripletEmbedding

MOST_ROWS = 2000
N_SPLITS = 3

#: From the number of features and a seed; None stands for the raw features.
EMBEDDINGS = {
    "raw": lambda d, seed: None,
    "PCA": lambda d, seed: PCA(min(d, 32), random_state=seed),
    "LDA": lambda d, seed: LinearDiscriminantAnalysis(),
    "NCA": lambda d, seed: NeighborhoodComponentsAnalysis(min(d, 32), random_state=seed),
    "SNNLEmbedding": lambda d, seed: SNNLEmbedding(random_state=seed),
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


def measure(method, X, y, train, test, seed):
    """Test accuracy and seconds of the fit."""
    if method in CLASSIFIERS:
        model = make_pipeline(StandardScaler(), CLASSIFIERS[method](seed))
    else:
        embedding = EMBEDDINGS[method](X.shape[1], seed)
        model = make_pipeline(StandardScaler(), embedding, KNeighborsClassifier(5))
    start = time.perf_counter()
    model.fit(X[train], y[train])
    seconds = time.perf_counter() - start
    return model.score(X[test], y[test]), seconds


def report(results, methods):
    """Means over the sets, and mean ranks among all methods (1 is the best)."""
    accuracies = np.array([[r[m][0] for m in methods] for r in results.values()])
    seconds = np.array([[r[m][1] for m in methods] for r in results.values()])
    ranks = np.mean([rankdata(-row.round(6)) for row in accuracies], axis=0)
    print(f"\n{'over ' + str(len(results)) + ' sets':24s}accuracy  mean rank  median fit time")
    for j, method in enumerate(methods):
        print(
            f"{method:24s}{accuracies[:, j].mean():8.4f} {ranks[j]:10.2f} "
            f"{np.median(seconds[:, j]):14.2f} s"
        )


def main(names, methods, output):
    results = json.loads(output.read_text()) if output and output.exists() else {}
    print(f"{machine()}; mean accuracy of {N_SPLITS} splits (seconds of a fit)")
    for name, X, y, official in load_all():
        if names and name not in names:
            continue
        run = functools.partial(measure, X=X, y=y)
        results.setdefault(name, {})
        for method in methods:
            each = [
                run(method, train=train, test=test, seed=s)
                for s, train, test in splits(y, official)
            ]
            results[name][method] = tuple(np.mean(each, axis=0))
        shown = (f"{m} {results[name][m][0]:.4f} ({results[name][m][1]:.2f})" for m in methods)
        print(f"{name:24s}{'  '.join(shown)}", flush=True)
        if output:
            output.write_text(json.dumps(results))
    report(results, list(next(iter(results.values()))))


if __name__ == "__main__":
    every = [*EMBEDDINGS, *CLASSIFIERS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=(), help="data sets")
    parser.add_argument("--methods", nargs="*", default=every, choices=every)
    parser.add_argument(
        "--output", type=Path, help="a JSON file for the figures; those in it are kept"
    )
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # MLPClassifier has not converged, features are collinear
    main(arguments.only, arguments.methods, arguments.output)
