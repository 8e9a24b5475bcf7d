"""Raw features, PCA, NCA and the embeddings before the same nearest-neighbor classifier.

python examples/quickstart.py           digits, five shuffled folds; a minute
python examples/quickstart.py --mnist   all of MNIST, the official split; some minutes
"""

import argparse
import time

import numpy as np
from _datasets import load_images
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, NeighborhoodComponentsAnalysis
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tqdm import tqdm

from sknca import SNNLEmbedding, TripletEmbedding

#: NCA holds all pairs of its rows in float64, so on MNIST it learns its map from some of them.
NCA_ROWS_OF_MNIST = 3000


def evaluate(transformer, X_train, y_train, X_test, y_test, fit_rows=None):
    """Test error of 5-NN on the codes, and the seconds that the transformer took to fit."""
    start = time.perf_counter()
    transformer.fit(X_train[:fit_rows], y_train[:fit_rows])
    seconds = time.perf_counter() - start
    knn = KNeighborsClassifier(n_neighbors=5).fit(transformer.transform(X_train), y_train)
    return 1 - knn.score(transformer.transform(X_test), y_test), seconds


def digits():
    X, y = load_digits(return_X_y=True)
    methods = {
        "raw": FunctionTransformer(),
        "PCA, 32 components": PCA(32, random_state=0),
        "NCA, 32 components": NeighborhoodComponentsAnalysis(32, random_state=0),
        "TripletEmbedding()": TripletEmbedding(random_state=0),
        "SNNLEmbedding()": SNNLEmbedding(random_state=0),
    }
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
    results = {name: [] for name in methods}
    with tqdm(total=len(methods) * len(folds), unit="fit") as bar:
        for name, transformer in methods.items():
            bar.set_description(name)
            for train, test in folds:
                scaler = StandardScaler().fit(X[train])
                X_train, X_test = scaler.transform(X[train]), scaler.transform(X[test])
                result = evaluate(transformer, X_train, y[train], X_test, y[test])
                results[name].append(result)
                bar.update()
    print("digits, standardized; means over five shuffled folds")
    print_table({name: np.mean(result, axis=0) for name, result in results.items()})


def mnist():
    X_train, y_train, X_test, y_test = load_images("mnist")
    nca = NeighborhoodComponentsAnalysis(32, init="pca", random_state=0, verbose=1)
    methods = {
        "raw": (FunctionTransformer(), None),
        "PCA, 32 components": (PCA(32, random_state=0), None),
        f"NCA, 32 components, fit on {NCA_ROWS_OF_MNIST} rows": (nca, NCA_ROWS_OF_MNIST),
        "TripletEmbedding()": (TripletEmbedding(random_state=0, verbose=1), None),
        "SNNLEmbedding()": (SNNLEmbedding(random_state=0, verbose=1), None),
    }
    results = {}
    for name, (transformer, fit_rows) in methods.items():
        print(f"{name} ...", flush=True)
        results[name] = evaluate(transformer, X_train, y_train, X_test, y_test, fit_rows)
    print("MNIST, pixels divided by 255, 60000 training rows; the official test set")
    print_table(results)


def print_table(results):
    print(f"{'before 5-NN':40s}{'test error':>12s}{'fit time':>12s}")
    for name, (error, seconds) in results.items():
        print(f"{name:40s}{error:12.2%}{seconds:10.1f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", action="store_true", help="MNIST instead of digits")
    (mnist if parser.parse_args().mnist else digits)()
