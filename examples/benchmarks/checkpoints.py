"""The cost of a checkpoint after each epoch.

python examples/benchmarks/checkpoints.py [--rows 60000] [--epochs 3]

`fit` at its defaults on random float32 samples, as many and as wide as those of MNIST, without and
with `checkpoint`, in turn in one run. The checksum of the data is computed once, before the first
epoch.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from _measure import machine

from sknca import SNNLEmbedding
from sknca.fitting import _checkpoint, _description


def timed(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60000)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    print(machine())
    rng = np.random.RandomState(0)
    X = rng.rand(arguments.rows, 784).astype(np.float32)
    y = rng.randint(10, size=arguments.rows)
    writes = []
    write = _checkpoint.Checkpoint.write

    def timed_write(self, **options):
        start = time.perf_counter()
        write(self, **options)
        writes.append(time.perf_counter() - start)

    _checkpoint.Checkpoint.write = timed_write
    seconds = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fit.ckpt"
        for _ in range(3):
            for name, times in seconds.items():
                path.unlink(missing_ok=True)
                embedding = SNNLEmbedding(
                    max_iter=arguments.epochs, early_stopping=False, random_state=0
                )
                options = {"checkpoint": path} if name == "with" else {}
                start = time.perf_counter()
                embedding.fit(X, y, **options)
                times.append((time.perf_counter() - start) / arguments.epochs)
        size = os.path.getsize(path)
    epoch, with_checkpoint = (statistics.median(times) for times in seconds.values())
    checksum = timed(_description.checksum, X)
    print(f"epoch without {epoch:.2f} s, with {with_checkpoint:.2f} s")
    print(f"write {statistics.median(writes) * 1e3:.0f} ms ({size / 2**20:.1f} MiB)")
    print(f"  {statistics.median(writes) / epoch:.2%} of an epoch")
    print(f"checksum of X, once {checksum:.2f} s, {checksum / epoch:.2f} epochs")


if __name__ == "__main__":
    main()
