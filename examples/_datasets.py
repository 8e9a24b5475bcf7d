"""Data that the examples fetch: from a folder, or from openml.org."""

import os
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_openml


def load_mnist():
    """Training and test part of MNIST, pixels from 0 to 1 in float32.

    Read from mnist.npz in the folder that the environment variable SKNCA_DATA names (arrays
    X, y, train, test), else fetched from openml.org, whose first 60000 rows are the training
    part.
    """
    folder = os.environ.get("SKNCA_DATA")
    if folder:
        with np.load(Path(folder) / "mnist.npz") as file:
            X, y, train, test = (file[name] for name in ("X", "y", "train", "test"))
    else:
        X, y = fetch_openml("mnist_784", version=1, as_frame=False, return_X_y=True)
        train, test = np.arange(60000), np.arange(60000, 70000)
    X = X.astype(np.float32) / 255
    y = y.astype(np.int64)
    return X[train], y[train], X[test], y[test]
