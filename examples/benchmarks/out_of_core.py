"""Rows that do not fit into memory: an epoch of a mapped file, its time and its memory.

python examples/benchmarks/out_of_core.py [--rows 2000000] [--folder FOLDER]

Writes a file of so many rows of 784 features in float32 (6 GB for 2 million), and in processes of
their own: `SNNLEmbedding(max_iter=1)` on the mapped file, from a cold and from a warm cache; what
one would otherwise do, `MLPClassifier.partial_fit` on portions of it; and `transform` of all rows.
Memory is the largest resident set above that after the imports and a fit of 1000 rows.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

D, N_CLASSES, PORTION = 784, 10, 20000


def write(path, n):
    rng = np.random.default_rng(0)
    centers = rng.random((N_CLASSES, D), dtype=np.float32)
    X = open_memmap(path, mode="w+", dtype=np.float32, shape=(n, D))
    for start in range(0, n, PORTION):
        stop = min(start + PORTION, n)
        labels = np.arange(start, stop) % N_CLASSES
        X[start:stop] = centers[labels] + rng.normal(size=(stop - start, D))
    X.flush()


def forget(path):
    """Of the system's cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def peak():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 2**20


def child(what, path):
    from sklearn.neural_network import MLPClassifier

    from sknca import SNNLEmbedding

    X = np.load(path, mmap_mode="r")
    y = np.arange(len(X)) % N_CLASSES
    embedding = SNNLEmbedding(max_iter=1, device="cpu", random_state=0).fit(X[:1000], y[:1000])
    mlp = MLPClassifier((256, 256), batch_size=256, random_state=0)
    mlp.partial_fit(np.array(X[:1000]), y[:1000], classes=np.arange(N_CLASSES))
    before, start = peak(), time.perf_counter()
    if what == "MLPClassifier":
        for first in range(0, len(X), PORTION):
            mlp.partial_fit(np.array(X[first : first + PORTION]), y[first : first + PORTION])
    elif what == "transform":
        embedding.transform(X)
    else:
        embedding.fit(X, y)
    print(
        f"{what:16s} {time.perf_counter() - start:7.1f} s  {peak() - before:6.2f} GiB", flush=True
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--folder")
    parser.add_argument("--only", nargs="+", default=["warm", "cold", "MLPClassifier", "transform"])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "rows.npy"
        write(path, arguments.rows)
        print(f"{arguments.rows} x {D}, {path.stat().st_size / 2**30:.2f} GiB", flush=True)
        for what in arguments.only:
            if what == "cold":
                forget(path)
            subprocess.run([sys.executable, __file__, "--child", what, path], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
