"""Threads and processes side by side give what one alone gives."""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline

from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding

X, y = load_digits(return_X_y=True)
X, y = X[:600], y[:600]
SETTINGS = {"max_iter": 3, "hidden_layer_sizes": (32,)}


def codes(embedding):
    return embedding.fit(X, y).transform(X)


def answers(estimator, rows):
    return (getattr(estimator, "transform", None) or estimator.predict_proba)(rows)


@pytest.mark.parametrize(
    "estimator",
    [
        SNNLEmbedding(**SETTINGS, random_state=0),
        TripletEmbedding(**SETTINGS, random_state=0, metric="cosine"),
        SoftNeighborsClassifier(),
        SNNLEmbedding(max_iter=1, random_state=0, encoder=torch.nn.Linear),
    ],
)
def test_eight_threads_on_one_estimator(estimator):
    estimator.fit(X, y)
    expected = answers(estimator, X)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: answers(estimator, X), range(40)):
            np.testing.assert_array_equal(found, expected)


def test_clones_that_fit_in_threads():
    estimators = [
        kind(**SETTINGS, random_state=seed, **more)
        for seed in range(2)
        for kind, more in [
            (SNNLEmbedding, {}),
            (SNNLEmbedding, {"encoder": torch.nn.Linear, "n_components": 8}),
            (TripletEmbedding, {"mining": "random"}),
        ]
    ]
    expected = [codes(clone(estimator)) for estimator in estimators]
    with ThreadPoolExecutor(4) as pool:
        for found, one in zip(pool.map(codes, map(clone, estimators)), expected, strict=True):
            np.testing.assert_array_equal(found, one)


@pytest.mark.parametrize("start", ["spawn", "loky"])
def test_processes(start):
    embedding = SNNLEmbedding(**SETTINGS, random_state=0)
    # Large enough for several threads of torch, which a fork does not have.
    torch.mm(torch.rand(2000, 2000), torch.rand(2000, 2000))
    expected = codes(clone(embedding))
    embeddings = [clone(embedding) for _ in range(2)]
    if start == "loky":
        found = Parallel(n_jobs=2, backend="loky")(delayed(codes)(one) for one in embeddings)
    else:
        with ProcessPoolExecutor(2, multiprocessing.get_context(start)) as pool:
            found = list(pool.map(codes, embeddings, timeout=240))
    for one in found:
        np.testing.assert_array_equal(one, expected)


#: In a process of its own, which can be ended if it waits forever: a fork has none of the threads
#: that torch has started before.
FORK = """
import multiprocessing
import numpy as np, torch
from concurrent.futures import ProcessPoolExecutor
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sknca import SNNLEmbedding, SoftNeighborsClassifier

X, y = load_digits(return_X_y=True)
torch.set_num_threads(4)
torch.mm(torch.rand(1000, 1000), torch.rand(1000, 1000)).exp().sum()  # starts threads

def codes(embedding):
    return embedding.fit(X, y).transform(X)

def classify(rows):
    return SoftNeighborsClassifier().fit(rows, y).predict_proba(rows)

def spread(embedding):
    return embedding.fit(X, np.where(np.arange(len(X)) < 400, y, -1)).transduction_

def left_out(embedding):
    return embedding.fit(X, y).oob_decision_function_

small = SNNLEmbedding(max_iter=2, hidden_layer_sizes=(32,), random_state=0)
large = SNNLEmbedding(max_iter=1, hidden_layer_sizes=(1500, 700), random_state=0).fit(X, y)
S = sparse.csr_array(X)
of_sparse = SNNLEmbedding(max_iter=1, random_state=0).fit(S, y)
classifier = SoftNeighborsClassifier().fit(small.fit(X, y).transform(X), y)
calls = [
    (codes, clone(small), 0),
    (large.transform, X, 1e-3),
    (large.transform, X[:1], 1e-3),
    (small.fit(X, y).transform, X.astype(np.float32), 0),
    (classifier.predict_proba, small.transform(X), 1e-5),
    (of_sparse.transform, S, 1e-5),
    (SoftNeighborsClassifier().fit(S, y).predict_proba, S, 1e-5),
    (classify, X, 1e-5),
    (codes, SNNLEmbedding(max_iter=1, encoder=torch.nn.Linear, random_state=0), 1e-5),
    (codes, SNNLEmbedding(max_iter=1, hidden_layer_sizes=(1500, 700), random_state=0), 1e-2),
    (spread, clone(small).set_params(unlabeled=-1), 0),
    (left_out, clone(small).set_params(n_members=2), 1e-3),
]
for call, argument, tolerance in calls:
    expected = call(argument)
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        found = pool.submit(call, argument).result()
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    print("same", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.skipif(
    torch.cuda.is_available(), reason="with CUDA, torch refuses a backward pass in a forked process"
)
def test_a_fork_after_torch_has_started_its_threads():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("same") == 12


def test_a_search_in_two_processes_equals_one_in_one():
    pipeline = Pipeline(
        [("embedding", SNNLEmbedding(**SETTINGS, random_state=0)), ("knn", KNeighborsClassifier())]
    )
    grid = {"embedding__temperature": [0.5, 1.0], "embedding__q": [0.0, "auto"]}
    one, two = (GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs).fit(X, y) for n_jobs in (1, 2))
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(one.cv_results_[name], two.cv_results_[name])
    first, second = (search.best_estimator_[:-1].transform(X) for search in (one, two))
    np.testing.assert_array_equal(first, second)
