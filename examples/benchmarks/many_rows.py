"""A million rows at the defaults, on one thread: time, memory and accuracy.

python examples/benchmarks/many_rows.py [--rows 1000000]

The synthetic table of epochs.py (30 features, 10 classes, a tenth of the labels wrong), each method
in a process of its own: `SNNLEmbedding()` before a 5-NN classifier among 20000 training samples,
`HistGradientBoostingClassifier()`, and `MLPClassifier` with the same layers and batches for as many
epochs. Memory is the largest resident set during `fit` above that before it, and beside it the
size of X in float32.
"""

import argparse
import os
import subprocess
import sys
import time


def forget_peak():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 2**10


def child(what, n):
    import warnings

    import numpy as np
    from epochs import load
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from sknca import SNNLEmbedding
    from sknca.training import epochs_for

    X, y, X_test, y_test = load(f"synthetic_{n}", 0)
    warnings.simplefilter("ignore")  # the few epochs of MLPClassifier
    epochs = epochs_for(n, 256, 55)
    mlp = MLPClassifier((256, 256), batch_size=256, max_iter=epochs, random_state=0)
    methods = {
        "SNNLEmbedding": SNNLEmbedding(device="cpu", random_state=0),
        "HistGradientBoosting": HistGradientBoostingClassifier(random_state=0),
        "MLPClassifier": make_pipeline(StandardScaler(), mlp),
    }
    method = methods[what]
    if what == "SNNLEmbedding":
        SNNLEmbedding(device="cpu", max_iter=1).fit(X[:1000], y[:1000])  # what is loaded once
    forget_peak()
    before, start = peak(), time.perf_counter()
    method.fit(X, y)
    seconds, memory = time.perf_counter() - start, peak() - before
    if what == "SNNLEmbedding":
        some = np.random.default_rng(0).permutation(n)[:20000]
        knn = KNeighborsClassifier().fit(method.transform(X[some]), y[some])
        score = knn.score(method.transform(X_test), y_test)
    else:
        score = method.score(X_test, y_test)
    print(
        f"{what:22s} {seconds:7.1f} s  {memory:6.0f} MiB ({X.nbytes / 2**20:.0f} MiB of rows)  "
        f"accuracy {score:.4f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    methods = ["SNNLEmbedding", "HistGradientBoosting", "MLPClassifier"]
    parser.add_argument("--only", nargs="+", default=methods)
    arguments = parser.parse_args()
    for what in arguments.only:
        command = [sys.executable, __file__, "--child", what, str(arguments.rows)]
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]))
    else:
        main()
