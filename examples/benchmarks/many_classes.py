"""Tables of many classes: training, and the probabilities of soft neighbors.

python examples/benchmarks/many_classes.py [epoch] [probabilities]

`epoch` is the time of `SNNLEmbedding.fit` at its defaults, for each of 3 epochs, on 100000 samples
of 30 features, with 10 and with 10000 classes. `probabilities` is
`SoftNeighborsClassifier.predict_proba` of 10000 samples among 100000 training samples of 32
features and 10000 classes, next to that of scikit-learn's brute-force `KNeighborsClassifier`, and
by how much either raises the peak memory of the process. Each runs alone in a process, on 1000
samples at a time, because the probabilities of all samples need much memory.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
from _measure import in_turn, machine
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding, SoftNeighborsClassifier

N, N_QUERIES, AT_ONCE = 100000, 10000, 1000
CLASSES = (10, 10000)
EPOCHS = 3


def epoch():
    X = np.random.default_rng(0).normal(size=(N, 30)).astype(np.float32)

    def fit(n_classes):
        parameters = {
            "max_iter": EPOCHS,
            "early_stopping": False,
            "random_state": 0,
            "device": "cpu",
        }
        SNNLEmbedding(**parameters).fit(X, np.arange(N) % n_classes)

    seconds = in_turn({n: lambda n=n: fit(n) for n in CLASSES}, seconds=40)
    for n_classes, value in seconds.items():
        ratio = value / seconds[CLASSES[0]]
        shown = f"{value / EPOCHS:8.2f} s {ratio:6.2f} x {CLASSES[0]} classes"
        print(f"epoch, {n_classes:6d} classes {shown}")


def probabilities_of(name):
    rng = np.random.default_rng(0)
    Z, labels = rng.normal(size=(N, 32)).astype(np.float32), np.arange(N) % CLASSES[-1]
    queries = rng.normal(size=(N_QUERIES, 32)).astype(np.float32)
    models = {
        "SoftNeighborsClassifier": SoftNeighborsClassifier(device="cpu"),
        "KNeighborsClassifier": KNeighborsClassifier(algorithm="brute"),
    }
    model = models[name].fit(Z, labels)
    model.predict_proba(queries[:1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    for some in np.split(queries, N_QUERIES // AT_ONCE):
        model.predict_proba(some)
    seconds = time.perf_counter() - start
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"{name:24s}{seconds:8.2f} s, {added:6.0f} MiB more at the peak", flush=True)


def probabilities():
    for name in ("SoftNeighborsClassifier", "KNeighborsClassifier"):
        subprocess.run([sys.executable, __file__, "of", name], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["of"]:
        probabilities_of(sys.argv[2])
        raise SystemExit
    parts = {"epoch": epoch, "probabilities": probabilities}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=list(parts))
    print(machine(), flush=True)
    for what in parser.parse_args().what:
        parts[what]()
