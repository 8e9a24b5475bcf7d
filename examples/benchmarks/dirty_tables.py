"""Noisy tables: what each kind of noise costs behind the embedding, and behind other methods.

python examples/benchmarks/dirty_tables.py [--only "one bad sample"] [--methods raw SNNLEmbedding]

Every method is at its defaults; kNN has 15 neighbors. Figures are means over 3 splits or draws:
accuracy, except for rare classes, where it is the average precision of held-out samples. Wrong
labels and sentinels on 28 data sets are in knn_accuracy.py.
"""

import argparse
import functools
import importlib
import inspect
import warnings

import numpy as np
from _measure import machine
from sklearn import datasets
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknca import SNNLEmbedding, SoftNeighborsClassifier
from sknca.metrics import entanglement_score

N_DRAWS = 3

#: Docstrings are the texts, and these packages their classes.
PACKAGES = (
    ("scipy", ["cluster.hierarchy", "fft", "integrate", "interpolate", "linalg", "ndimage"]),
    ("scipy", ["optimize", "signal", "sparse", "spatial", "special", "stats"]),
    ("sklearn", ["cluster", "decomposition", "ensemble", "linear_model", "metrics"]),
    ("sklearn", ["model_selection", "preprocessing"]),
    ("numpy", ["linalg", "ma", "polynomial", "random"]),
    ("torch", ["nn.functional", "optim", "distributions", "utils.data"]),
)


def scaled(estimator):
    return make_pipeline(StandardScaler(), estimator)


#: From a seed to a classifier.
METHODS = {
    "raw, kNN": lambda seed: scaled(KNeighborsClassifier(15)),
    "SNNLEmbedding, kNN": lambda seed: make_pipeline(
        SNNLEmbedding(random_state=seed), KNeighborsClassifier(15)
    ),
    "SNNLEmbedding, soft": lambda seed: make_pipeline(
        SNNLEmbedding(random_state=seed), SoftNeighborsClassifier()
    ),
    "q=0, full training, kNN": lambda seed: make_pipeline(
        SNNLEmbedding(q=0, early_stopping=False, random_state=seed), KNeighborsClassifier(15)
    ),
    "MLPClassifier": lambda seed: scaled(MLPClassifier(random_state=seed)),
    "LogisticRegression": lambda seed: scaled(LogisticRegression(max_iter=1000)),
}


def halves(X, y, draw):
    """Training and test samples: a stratified half each."""
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=draw)
    return X, y, X_test, y_test


def one_bad_sample(draw):
    """wine, one training sample times 10000."""
    X, y, *test = halves(*datasets.load_wine(return_X_y=True), draw)
    X[0] *= 1e4
    return X, y, *test


def sentinels(draw):
    """digits, 0.2 % of the training cells are -999."""
    X, y, *test = halves(*datasets.load_digits(return_X_y=True), draw)
    return np.where(np.random.default_rng(draw).random(X.shape) < 0.002, -999.0, X), y, *test


def wrong_labels(load, part, draw):
    X, y, *test = halves(*load(return_X_y=True), draw)
    generator = np.random.default_rng(draw)
    n_classes = y.max() + 1
    others = (y + generator.integers(1, n_classes, len(y))) % n_classes
    return X, np.where(generator.random(len(y)) < part, others, y), *test


def near_constant(draw):
    """iris, with 40 columns of a million and its rounding, moved by a billionth at test."""
    X, y, X_test, y_test = halves(*datasets.load_iris(return_X_y=True), draw)
    rounding = np.random.default_rng(draw).integers(0, 2, (len(X), 40)) * 2.2e-16
    X = np.hstack([X, 1e6 * (1 + rounding)])
    return X, y, np.hstack([X_test, np.full((len(X_test), 40), 1e6 * (1 + 1e-9))]), y_test


def rare(n_samples, part, draw):
    """Gaussian clusters, some of the samples of the rare class."""
    X, y = datasets.make_classification(
        n_samples,
        30,
        n_informative=8,
        n_clusters_per_class=4,
        weights=[1 - part],
        flip_y=0,
        class_sep=1.0,
        random_state=draw,
    )
    return halves(X, y, draw)


@functools.cache
def docstrings():
    """Texts and their classes."""
    names = [f"{library}.{part}" for library, parts in PACKAGES for part in parts]
    labels = {}
    for label, name in enumerate(names):
        for member in vars(importlib.import_module(name)).values():
            documented = inspect.isroutine(member) or inspect.isclass(member)
            text = (documented and inspect.getdoc(member)) or ""
            inside = (getattr(member, "__module__", None) or "").startswith(name)
            if inside and len(text) > 200:
                labels.setdefault(text, label)
    return list(labels), np.array(list(labels.values()))


def text(kind, draw):
    """Words of docstrings that stand in ten of them or more."""
    texts, y = docstrings()
    counts = CountVectorizer(min_df=10, token_pattern="[a-z]{3,}").fit_transform(texts)
    X = np.sqrt(counts) if kind == "counts" else TfidfTransformer().fit_transform(counts)
    return halves(X.toarray(), y, draw)


TABLES = {
    "wine": functools.partial(wrong_labels, datasets.load_wine, 0.0),
    "wine, one bad sample": one_bad_sample,
    "digits": functools.partial(wrong_labels, datasets.load_digits, 0.0),
    "digits, sentinels": sentinels,
    "digits, 40 % wrong labels": functools.partial(wrong_labels, datasets.load_digits, 0.4),
    "breast cancer": functools.partial(wrong_labels, datasets.load_breast_cancer, 0.0),
    **{
        f"breast cancer, {percent} % wrong": functools.partial(
            wrong_labels, datasets.load_breast_cancer, percent / 100
        )
        for percent in (20, 40)
    },
    "iris, 40 constant columns": near_constant,
    "TF-IDF of docstrings": functools.partial(text, "TF-IDF"),
    "roots of word counts": functools.partial(text, "counts"),
    "rare: 1 in 100 of 10000": functools.partial(rare, 10000, 0.01),
    "rare: 1 in 500 of 30000": functools.partial(rare, 30000, 0.002),
}


def measure(method, name, draw):
    X, y, X_test, y_test = TABLES[name](draw)
    model = METHODS[method](draw).fit(X, y)
    if name.startswith("rare"):
        return average_precision_score(y_test, model.predict_proba(X_test)[:, 1])
    return model.score(X_test, y_test)


def leak(name):
    """Entanglement of training and of held-out codes, with the defaults and without their care."""
    figures = []
    for care in ({}, {"q": 0, "early_stopping": False}):
        each = []
        for draw in range(N_DRAWS):
            X, y, X_test, y_test = TABLES[name](draw)
            embedding = SNNLEmbedding(random_state=draw, **care).fit(X, y)
            each.append(
                [
                    entanglement_score(embedding.transform(some), labels, metric=embedding.metric)
                    for some, labels in ((X, y), (X_test, y_test))
                ]
            )
        figures.append("{:.2f} / {:.2f}".format(*np.mean(each, axis=0)))
    return figures


def main(names, methods):
    print(f"{machine()}; mean of {N_DRAWS} draws")
    texts, classes = docstrings()
    print(f"docstrings: {len(texts)} in {len(np.unique(classes))} classes")
    print("\n| |", " | ".join(methods), "|\n|---|" + "---|" * len(methods))
    for name in names:
        figures = [
            np.mean([measure(method, name, draw) for draw in range(N_DRAWS)]) for method in methods
        ]
        print(f"| {name} |", " | ".join(f"{figure:.3f}" for figure in figures), "|", flush=True)
    print("\nentanglement of training / held-out codes:\n")
    print("| | SNNLEmbedding | q=0, full training |\n|---|---|---|")
    for name in names:
        if not name.startswith("rare"):
            print(f"| {name} |", " | ".join(leak(name)), "|", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(TABLES), choices=TABLES)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # MLPClassifier has not converged
    main(arguments.only, arguments.methods)
