"""The costs besides training: transform, grid search, memory, import.

python examples/benchmarks/pipeline_costs.py [transform] [serving] [grid] [memory] [import]

- `transform`: against the forward pass of the network alone, on samples of the shape of MNIST.
- `serving`: one sample and 100000 samples of 64 features through a fitted pipeline, next to
  MLPClassifier, the forward pass of the network alone, and the ONNX file of the pipeline in
  onnxruntime.
- `grid`: a search over 8 temperatures and 5 folds of digits, with 1 and with 2 jobs.
- `memory`: by how much fitting 60000 samples of 784 float32 features raises the peak memory of the
  process, in units of the data.
- `import`: `import sknca`, against importing torch and scikit-learn.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from _measure import in_turn, machine
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sknca import SNNLEmbedding, export_onnx


def transform():
    X = np.random.RandomState(0).rand(60000, 784).astype(np.float32)
    y = np.arange(60000) % 10
    embedding = SNNLEmbedding(max_iter=1, random_state=0).fit(X[:2000], y[:2000])
    network, x = embedding.network_.eval(), torch.from_numpy(X)

    def bare():
        with torch.no_grad():
            return network(x)

    seconds = in_turn({"transform": lambda: embedding.transform(X), "forward": bare}, seconds=20)
    ratio = seconds["transform"] / seconds["forward"]
    print(
        f"transform {seconds['transform']:.3f} s, forward {seconds['forward']:.3f} s: {ratio:.2f}"
    )


def serving():
    rng = np.random.default_rng(0)
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    embedding = SNNLEmbedding(max_iter=2, random_state=0)
    fitted = make_pipeline(StandardScaler(), embedding).fit(X, y)
    mlp = MLPClassifier((256, 256), max_iter=2, random_state=0).fit(X, y)
    network = embedding.network_.eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.onnx"
        export_onnx(fitted, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(path, options)
    name = session.get_inputs()[0].name
    for n, repeats in [(1, 200), (100000, 1)]:
        rows = X[rng.integers(len(X), size=n)]
        x = torch.from_numpy(rows)

        def bare(x=x):
            with torch.no_grad():
                return network(x)

        functions = {
            "pipeline.transform": lambda rows=rows: fitted.transform(rows),
            "embedding.transform": lambda rows=rows: embedding.transform(rows),
            "forward pass": bare,
            "MLPClassifier.predict": lambda rows=rows: mlp.predict(rows),
            "onnxruntime": lambda rows=rows: session.run(None, {name: rows}),
        }
        repeated = {
            key: lambda function=function, repeats=repeats: [function() for _ in range(repeats)]
            for key, function in functions.items()
        }
        seconds = {key: t / repeats for key, t in in_turn(repeated, seconds=15).items()}
        of_mlp, of_forward = seconds["MLPClassifier.predict"], seconds["forward pass"]
        for key, value in seconds.items():
            print(
                f"{n:6d} rows {key:22s}{value * 1e3:10.3f} ms {value / of_mlp:6.2f} x MLPClassifier"
                f" {value / of_forward:6.2f} x forward"
            )


def grid():
    X, y = load_digits(return_X_y=True)
    pipeline = Pipeline(
        [("emb", SNNLEmbedding(max_iter=30, random_state=0)), ("knn", KNeighborsClassifier())]
    )
    temperatures = np.logspace(-1.5, 1.5, 8)
    times = {1: [], 2: []}
    for _ in range(3):
        for n_jobs, of_jobs in times.items():
            start = time.perf_counter()
            GridSearchCV(pipeline, {"emb__temperature": temperatures}, n_jobs=n_jobs).fit(X / 16, y)
            of_jobs.append(time.perf_counter() - start)
    one, two = (statistics.median(of_jobs) for of_jobs in times.values())
    print(f"grid search: 1 job {one:.1f} s, 2 jobs {two:.1f} s: {one / two:.2f} times faster")


def memory():
    rng = np.random.default_rng(0)
    X, y = rng.random((60000, 784), dtype=np.float32), np.arange(60000) % 10
    SNNLEmbedding(max_iter=1, random_state=0).fit(X[:500], y[:500])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    SNNLEmbedding(max_iter=1, random_state=0).fit(X, y)
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(f"memory: fit adds {added / X.nbytes:.2f} times the data to the peak")


def imports():
    def seconds(what):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", what], check=True)
        return time.perf_counter() - start

    peers = "import torch, sklearn.neighbors"
    times = {peers: [], peers + ", sknca": []}
    for _ in range(9):
        for what, of_what in times.items():
            of_what.append(seconds(what))
    without, with_it = (statistics.median(of_what) for of_what in times.values())
    print(f"import: {without:.2f} s without, {with_it:.2f} s with sknca: {with_it / without:.3f}")


if __name__ == "__main__":
    parts = {
        **{"memory": memory, "transform": transform, "serving": serving},
        **{"grid": grid, "import": imports},
    }
    warnings.simplefilter("ignore")  # MLPClassifier has not converged
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=list(parts))
    print(machine())
    for what in parser.parse_args().what:
        parts[what]()
