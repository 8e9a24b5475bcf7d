"""Raw features, PCA, NCA and the embeddings before the same nearest-neighbor classifier.

python examples/quickstart.py           digits, five shuffled folds, five seeds; some minutes
python examples/quickstart.py --mnist   all of MNIST, the official split; some minutes

With --json PATH, the figures of the digits are written to a file, for the table in README.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from _datasets import load_images
from _figures import write_figures
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, NeighborhoodComponentsAnalysis
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from tqdm import tqdm

from sknca import SNNLEmbedding, TripletEmbedding

SEEDS = 5
FOLDS = 5

#: NCA holds all pairs of its rows in float64, so on MNIST it learns its map from some of them.
NCA_ROWS_OF_MNIST = 3000


def evaluate(transformer, X_train, y_train, X_test, y_test, fit_rows=None):
    """Test error of 5-NN on the codes, and the seconds that the transformer took to fit."""
    start = time.perf_counter()
    transformer.fit(X_train[:fit_rows], y_train[:fit_rows])
    seconds = time.perf_counter() - start
    knn = KNeighborsClassifier(n_neighbors=5).fit(transformer.transform(X_train), y_train)
    return 1 - knn.score(transformer.transform(X_test), y_test), seconds


def digits(path=None):
    X, y = load_digits(return_X_y=True)
    methods = {
        "raw": FunctionTransformer(),
        "PCA, 32 components": PCA(32),
        "NCA, 32 components": NeighborhoodComponentsAnalysis(32),
        "`TripletEmbedding()`": TripletEmbedding(),
        "`SNNLEmbedding()`": SNNLEmbedding(),
    }
    results = {name: np.empty((SEEDS, FOLDS, 2)) for name in methods}  # errors and seconds
    with tqdm(total=len(methods) * SEEDS * FOLDS, unit="fit") as bar:
        for seed in range(SEEDS):
            folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
            for fold, (train, test) in enumerate(folds.split(X, y)):
                scaler = StandardScaler().fit(X[train])
                X_train, X_test = scaler.transform(X[train]), scaler.transform(X[test])
                for name, transformer in methods.items():
                    bar.set_description(name)
                    if "random_state" in transformer.get_params():
                        transformer.set_params(random_state=seed)
                    results[name][seed, fold] = evaluate(
                        transformer, X_train, y[train], X_test, y[test]
                    )
                    bar.update()
    rows = [
        {
            "method": name,
            "error": 100 * result[..., 0].mean(),
            "spread": 100 * result[..., 0].mean(axis=1).std(ddof=1),
            "seconds": np.median(result[..., 1]),
        }
        for name, result in results.items()
    ]
    print(f"digits, standardized; {FOLDS} shuffled folds, {SEEDS} seeds: mean error, its standard")
    print("deviation over the seeds, and median time")
    print_table(rows)
    if path is not None:
        columns = {
            "": "{method}",
            "test error": "{error:.2f} ± {spread:.2f} %",
            "fit time": "{seconds:.1f} s",
        }
        write_figures(path, columns, rows)


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
    rows = []
    for name, (transformer, fit_rows) in methods.items():
        print(f"{name} ...", flush=True)
        error, seconds = evaluate(transformer, X_train, y_train, X_test, y_test, fit_rows)
        rows.append({"method": name, "error": 100 * error, "seconds": seconds})
    print("MNIST, pixels divided by 255, 60000 training rows; the official test set")
    print_table(rows)


def print_table(rows):
    print(f"{'before 5-NN':40s}{'test error':>16s}{'fit time':>12s}")
    for row in rows:
        error = f"{row['error']:.2f}" + (f" ± {row['spread']:.2f}" if "spread" in row else "")
        print(f"{row['method']:40s}{error:>14s} %{row['seconds']:10.1f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", action="store_true", help="MNIST instead of digits")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures to a file")
    arguments = parser.parse_args()
    mnist() if arguments.mnist else digits(arguments.json)
