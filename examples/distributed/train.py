"""Train one embedding with several processes.

On one machine with two processes:

    torchrun --nproc-per-node=2 examples/distributed/train.py --checkpoint run.sknca

On four machines with eight GPUs each, the same command on each, with the name of one of them:

    torchrun --nnodes=4 --nproc-per-node=8 --rdzv-backend=c10d --rdzv-endpoint=host0:29500 \
        --max-restarts=3 examples/distributed/train.py --checkpoint /shared/run.sknca

Only the line `with together():` makes it a script for several processes. It also runs alone, with
`python`. If a process fails, torchrun starts all of them again, and the fit goes on from the
checkpoint.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding
from sknca.distributed import part_of, together


def mapped_digits(folder):
    """Shuffled samples in a file, as a table that does not fit into memory would be."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    path = Path(folder) / "digits.npy"
    np.save(path, X[order].astype(np.float32))
    return np.load(path, mmap_mode="r"), y[order]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint")
    parser.add_argument("--max-iter", type=int, default=10)
    parser.add_argument("--codes", help="a file to which the codes of all samples are written")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, together():
        X, y = mapped_digits(folder)
        n_train = 1500
        mine = part_of(n_train)  # of the samples to train on, those of this process
        embedding = SNNLEmbedding(8, max_iter=arguments.max_iter, verbose=2, random_state=0)
        embedding.fit(X[mine], y[mine], checkpoint=arguments.checkpoint)
        if mine.start == 0:  # the first process
            codes = embedding.transform(X)
            knn = KNeighborsClassifier().fit(codes[:n_train], y[:n_train])
            print(f"accuracy {knn.score(codes[n_train:], y[n_train:]):.3f}")
            if arguments.codes:
                np.save(arguments.codes, codes)


if __name__ == "__main__":
    main()
