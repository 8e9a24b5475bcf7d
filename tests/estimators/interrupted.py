"""Fits in children that are killed, again and again: see test_checkpoint.py.

python interrupted.py PATH SIGNAL EVERY N_TIMES
"""

import os
import random
import signal
import sys
import time
import warnings

import numpy as np
from sklearn.datasets import load_wine

from sknca import SNNLEmbedding
from sknca._file import check_is_whole

X, y = load_wine(return_X_y=True)
draws = np.random.RandomState(0)
#: So many wrong labels that the training starts anew: two networks, one after the other.
WRONG = np.where(draws.rand(len(y)) < 0.3, draws.randint(3, size=len(y)), y)


def fit(path=None, every=1):
    embedding = SNNLEmbedding(
        hidden_layer_sizes=(64,), dropout=0, learning_rate_init=0.01, random_state=0
    )
    return embedding.fit(X, WRONG, checkpoint=path, checkpoint_every=every)


def child(path, every):
    """Fit in a process of its own, in which a write takes about as long as an epoch."""
    pid = os.fork()
    if pid:
        return pid
    fsync = os.fsync

    def slow(file):
        time.sleep(0.004)
        fsync(file)

    os.fsync = slow
    try:
        fit(path, every)
    except KeyboardInterrupt:
        os._exit(2)
    os._exit(0)


def main(path, how, every, n_times):
    warnings.simplefilter("ignore")
    expected = fit()
    moments = random.Random(0)
    n_killed = n_partial = 0
    while n_killed < n_times:
        pid = child(path, every)
        time.sleep(moments.uniform(0.02, 0.12))
        os.kill(pid, how)
        _, status = os.waitpid(pid, 0)
        n_killed += status != 0
        if os.path.exists(path):
            with open(path, "rb") as file:
                check_is_whole(file.read())
            if status == 0:  # the fit was over: another one
                os.remove(path)
        n_partial += any(name.endswith(".partial") for name in os.listdir(os.path.dirname(path)))
    got = fit(path, every)
    assert got.history_ == expected.history_
    assert got.overfits_ is expected.overfits_ is True
    assert (got.transform(X) == expected.transform(X)).all()
    print(n_killed, "killed,", n_partial, "with a write left behind")


if __name__ == "__main__":
    path, how, every, n_times = sys.argv[1:]
    main(path, getattr(signal, how), int(every), int(n_times))
