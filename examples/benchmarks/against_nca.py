"""Fit time against scikit-learn's NCA, and the accuracy of 5-NN on held-out samples.

python examples/benchmarks/against_nca.py [digits] [letter] [mnist] [scaling] [--limit 1800]

letter (16000 training samples) and MNIST (10000 training samples) are read from the folder
SKNCA_DATA. NCA has 32 components, the default maximum of the embedding. It is stopped after
`--limit` seconds, and the map that it has then is scored. `scaling` fits 1000 to 64000 samples of
32 features, NCA only as far as the limit allows. Each fit runs in its own process, whose peak
memory is printed too.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, NeighborhoodComponentsAnalysis
from sklearn.preprocessing import StandardScaler

from sknca import SNNLEmbedding


class TimeIsUpError(Exception):
    pass


class StoppedNCA:
    """NCA that keeps its best map when the time is up."""

    def __init__(self, n_components, limit):
        self.nca = NeighborhoodComponentsAnalysis(
            n_components, init="pca", random_state=0, callback=self._watch
        )
        self.limit = limit

    def _watch(self, transformation, n_iter):
        self.map, self.n_iter = transformation.copy(), n_iter
        if time.perf_counter() - self.start > self.limit:
            raise TimeIsUpError

    def fit(self, X, y):
        self.start = time.perf_counter()
        self.map = None
        try:
            self.nca.fit(X, y)
            self.map = self.nca.components_.ravel()
        except TimeIsUpError:
            pass
        return self

    def transform(self, X):
        return X @ self.map.reshape(-1, X.shape[1]).T


def load(name):
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        return train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)
    with np.load(Path(os.environ["SKNCA_DATA"]) / f"{name}.npz") as file:
        X, y = file["X"].astype(np.float64), file["y"]
        train, test = (
            (file["train"][:10000], file["test"])
            if name == "mnist"
            else (np.arange(16000), np.arange(16000, len(X)))
        )
    return X[train], X[test], y[train], y[test]


def compare(name, limit):
    X_train, X_test, y_train, y_test = load(name)
    if name == "mnist":
        X_train, X_test = X_train / 255, X_test / 255
    else:
        scaler = StandardScaler().fit(X_train)
        X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
    methods = {
        "SNNLEmbedding(max_iter=30)": SNNLEmbedding(max_iter=30, random_state=0),
        "SNNLEmbedding()": SNNLEmbedding(random_state=0),
        "NCA": StoppedNCA(min(32, X_train.shape[1]), limit),
    }
    for method, transformer in methods.items():
        repeats = 3 if name == "digits" else 1
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            transformer.fit(X_train, y_train)
            times.append(time.perf_counter() - start)
        knn = KNeighborsClassifier().fit(transformer.transform(X_train), y_train)
        error = 1 - knn.score(transformer.transform(X_test), y_test)
        seconds = np.median(times)
        note = "  (stopped)" if method == "NCA" and seconds > limit else ""
        print(f"{name:8s}{method:28s} error {error:7.2%}   {seconds:9.1f} s{note}", flush=True)


def fit_one(method, n):
    """In a process of its own: seconds, and MiB that the fit added to the process's peak."""
    X, y = make_classification(n, 32, n_informative=16, n_classes=10, random_state=0)
    model = (
        SNNLEmbedding(max_iter=10, random_state=0)
        if method == "SNNLEmbedding"
        else NeighborhoodComponentsAnalysis(32, init="pca", max_iter=10, random_state=0)
    )
    model.fit(X[:500], y[:500])  # what is loaded and warmed up once is not counted
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - start
    added = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(seconds, added / 1024)


def scaling(limit):
    print("seconds for 10 epochs (iterations), seconds a row in units of the smallest, memory")
    for method in ("SNNLEmbedding", "NCA"):
        first = None
        for n in (1000, 2000, 4000, 8000, 16000, 32000, 64000):
            command = [sys.executable, __file__, "--one", method, str(n)]
            try:
                answer = subprocess.run(
                    command, capture_output=True, text=True, check=True, timeout=limit
                )
            except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
                print(f"{method:14s}{n:7d}   {type(error).__name__}", flush=True)
                break
            seconds, added = map(float, answer.stdout.split())
            first = first or (seconds, n)
            exponent = np.log(seconds / first[0]) / np.log(n / first[1]) if n > first[1] else 1
            print(
                f"{method:14s}{n:7d}{seconds:9.2f} s   n ** {exponent:4.2f}   {added:9.0f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=["digits", "letter", "mnist", "scaling"])
    parser.add_argument("--limit", type=float, default=1800, help="seconds that NCA may take")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.one:
        fit_one(arguments.one[0], int(arguments.one[1]))
    else:
        for what in arguments.what:
            scaling(arguments.limit) if what == "scaling" else compare(what, arguments.limit)
