"""Sparse samples: accuracy on text, and what an epoch of a large matrix costs.

python examples/benchmarks/sparse.py [text] [large]

`text`: TF-IDF of docstrings, of which package they are (see dirty_tables.py). Mean accuracy of
5-NN, or of the classifier, and the time of a fit, over 3 splits, beside what a user would otherwise
do.

`large`: 100000 x 50000 with 50 entries a row, drawn as words are (a few often, most rarely), from
20 topics. Each method in a process of its own, one thread: seconds of an epoch (of 2, less 1), the
largest resident set during `fit` above that after the imports, the data among it, and the accuracy
after 2 epochs. Beside it 500 dense features of the same rows, by a random projection.
"""

import argparse
import os
import subprocess
import sys
import time
import warnings

import numpy as np
from many_rows import forget_peak, peak
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.random_projection import SparseRandomProjection

from sknca import SNNLEmbedding

N, D, ENTRIES, TOPICS = 100_000, 50_000, 50, 20


def text():
    from dirty_tables import docstrings

    texts, y = docstrings()
    X = TfidfVectorizer(sublinear_tf=True).fit_transform(texts).astype(np.float32)
    print(f"{X.shape[0]} x {X.shape[1]}, {X.nnz / X.shape[0]:.0f} entries a row")

    def knn(*steps):
        return make_pipeline(*steps, KNeighborsClassifier())

    def methods(seed):
        svd = TruncatedSVD(100, random_state=seed)
        embedding = SNNLEmbedding(random_state=seed)
        return {
            "SNNLEmbedding": knn(embedding),
            "SNNLEmbedding(scale=False)": knn(SNNLEmbedding(scale=False, random_state=seed)),
            "TruncatedSVD(100), SNNLEmbedding": knn(svd, embedding),
            "TruncatedSVD(100)": knn(svd),
            "no embedding, cosine": KNeighborsClassifier(metric="cosine"),
            "MLPClassifier": MLPClassifier(random_state=seed),
            "LogisticRegression": LogisticRegression(C=100),
        }

    for name in methods(0):
        scores, seconds = [], []
        for seed in range(3):
            split = train_test_split(X, y, test_size=0.3, stratify=y, random_state=seed)
            X_train, X_test, y_train, y_test = split
            start = time.perf_counter()
            model = methods(seed)[name].fit(X_train, y_train)
            seconds.append(time.perf_counter() - start)
            scores.append(model.score(X_test, y_test))
        print(f"{name:34s} {np.mean(scores):.4f} {np.median(seconds):6.1f} s", flush=True)


def topics(seed):
    """The samples (n, d), and the topic of each."""
    rng = np.random.default_rng(seed)
    y = rng.integers(TOPICS, size=N)
    # Half of the words of a row are of its topic: the same frequencies, of words in another order.
    frequency = 1 / np.arange(10, D + 10)
    words = rng.choice(D, size=(N, ENTRIES), p=frequency / frequency.sum())
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(D), (TOPICS, 1)), axis=1)
    of_topic = rng.random((N, ENTRIES)) < 0.5
    words = np.where(of_topic, orders[y[:, None], words], words)
    values = (1 + rng.random(N * ENTRIES)).astype(np.float32)
    starts = np.arange(0, N * ENTRIES + 1, ENTRIES)
    X = sparse.csr_array((values, words.ravel(), starts), shape=(N, D))
    X.sum_duplicates()
    return X, y


def child(what):
    warnings.simplefilter("ignore")  # two epochs are few
    SNNLEmbedding(max_iter=1).fit(np.eye(4), [0, 0, 1, 1])  # what is loaded once
    forget_peak()
    before = peak()
    X, y = topics(1)
    X_test, y_test = topics(2)
    X_test, y_test = X_test[:2000], y_test[:2000]
    if what == "500 dense features":
        projection = SparseRandomProjection(500, dense_output=True, random_state=0).fit(X)
        X, X_test = (projection.transform(some).astype(np.float32) for some in (X, X_test))
    forget_peak()

    def model(epochs):
        if what.startswith("MLP"):
            return MLPClassifier((256, 256), batch_size=256, max_iter=epochs, random_state=0)
        return SNNLEmbedding(max_iter=epochs, early_stopping=False, random_state=0)

    seconds = []
    for epochs in (1, 2):
        start = time.perf_counter()
        fitted = model(epochs).fit(X, y)
        seconds.append(time.perf_counter() - start)
    memory = peak() - before
    if hasattr(fitted, "transform"):
        knn = KNeighborsClassifier().fit(fitted.transform(X[:10000]), y[:10000])
        score = knn.score(fitted.transform(X_test), y_test)
    else:
        score = fitted.score(X_test, y_test)
    print(
        f"{what:20s} fit of one epoch {seconds[0]:6.1f} s, "
        f"an epoch {seconds[1] - seconds[0]:6.1f} s, {memory:6.0f} MiB, accuracy {score:.4f}",
        flush=True,
    )


def large():
    for what in ("SNNLEmbedding", "500 dense features", "MLPClassifier"):
        command = [sys.executable, __file__, "--child", what]
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    else:
        parts = {"text": text, "large": large}
        parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
        parser.add_argument("what", nargs="*", default=list(parts))
        for name in parser.parse_args().what:
            parts[name]()
