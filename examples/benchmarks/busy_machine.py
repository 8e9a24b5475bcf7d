"""A fit on a quiet machine, beside busy processes, and bound to one processor.

python examples/benchmarks/busy_machine.py [digits] [mnist] [large]

Three numbers of threads: the package's rule, one, and all that torch is set to. Median seconds of
fits at the defaults, 10 epochs, in turn; first alone, then beside as many busy processes as
this one may use processors, then bound to one of these. `digits`; with the data in the folder
SKNCA_DATA, `mnist` is 2000 samples of MNIST, and `large` the same with layers of 1000, 500 and 250,
batches of 1024 and 3 epochs. Run it with OMP_WAIT_POLICY=passive too: threads that have nothing to
do then sleep, where by default they keep a processor busy while they wait.
"""

import argparse
import math
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import torch
from _measure import in_turn
from sklearn.datasets import load_digits

from sknca import SNNLEmbedding, _threads

BUSY = [sys.executable, "-c", "while True: pass"]
LARGE = {"hidden_layer_sizes": (1000, 500, 250), "batch_size": 1024, "max_iter": 3}

#: Fits with each rule in each surrounding, after one that warms up.
FITS = 4

#: Multiplications that a thread is worth.
RULES = {"rule": _threads._PRODUCT_OF_A_THREAD, "one": math.inf, "all": 1e-9}


def table(name):
    """X, y and parameters."""
    if name == "digits":
        return *load_digits(return_X_y=True), {}
    with np.load(Path(os.environ["SKNCA_DATA"]) / "mnist.npz") as file:
        X, y = file["X"][:2000].astype(np.float32), file["y"][:2000]
    return X, y, LARGE if name == "large" else {}


@contextmanager
def beside_busy_processes():
    processes = [subprocess.Popen(BUSY) for _ in range(joblib.cpu_count())]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def on_one_processor():
    every = os.sched_getaffinity(0)
    # Of all threads, for those of OpenMP have been started already.
    tasks = [int(name) for name in os.listdir("/proc/self/task")]
    try:
        for task in tasks:
            os.sched_setaffinity(task, {min(every)})
        yield
    finally:
        for task in tasks:
            os.sched_setaffinity(task, every)


def seconds(X, y, parameters):
    """Of each rule."""

    def fit(rule):
        _threads._PRODUCT_OF_A_THREAD = RULES[rule]
        common = {"max_iter": 10, "early_stopping": False, "device": "cpu", "random_state": 0}
        SNNLEmbedding(**common | parameters).fit(X, y)

    functions = {rule: lambda rule=rule: fit(rule) for rule in RULES}
    return in_turn(functions, seconds=math.inf, most=FITS)


def main(names):
    waiting = os.environ.get("OMP_WAIT_POLICY", "not set")
    threads = torch.get_num_threads()
    print(f"{joblib.cpu_count()} processors, {threads} threads, OMP_WAIT_POLICY {waiting}")
    print(f"\n| | | {' | '.join(RULES)} | rule / quiet best |\n|---|---|" + "---|" * 4)
    for name in names:
        X, y, parameters = table(name)
        quiet = seconds(X, y, parameters)
        rows = {"alone": quiet}
        with beside_busy_processes():
            rows["busy"] = seconds(X, y, parameters)
        if hasattr(os, "sched_setaffinity"):
            with on_one_processor():
                rows["one processor"] = seconds(X, y, parameters)
        best = min(quiet["one"], quiet["all"])
        for where, row in rows.items():
            shown = " | ".join(f"{row[rule]:.2f} s" for rule in RULES)
            print(f"| {name} | {where} | {shown} | {row['rule'] / best:.2f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=["digits", "mnist", "large"], default=["digits"])
    main(parser.parse_args().what)
