"""Data that the examples fetch: from a folder, or from openml.org."""

import os
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_openml

#: Their names at openml.org, and how many of the rows there, the first, are for training.
OPENML = {
    "mnist": ("mnist_784", 60_000),
    "fashion_mnist": ("Fashion-MNIST", 60_000),
    "emnist_balanced": ("EMNIST_Balanced", 112_800),
}


def load_images(name):
    """Training and test part of a data set of images, pixels from 0 to 1 in float32.

    Read from NAME.npz in the folder that the environment variable SKNCA_DATA names (arrays
    X, y, train, test) where there is one, else fetched from openml.org.
    """
    folder = os.environ.get("SKNCA_DATA")
    if folder and (Path(folder) / f"{name}.npz").exists():
        with np.load(Path(folder) / f"{name}.npz") as file:
            X, y, train, test = (file[key] for key in ("X", "y", "train", "test"))
    else:
        openml_name, n_train = OPENML[name]
        X, y = fetch_openml(openml_name, version=1, as_frame=False, return_X_y=True)
        train, test = np.arange(n_train), np.arange(n_train, len(X))
    X = X.astype(np.float32) / 255
    y = y.astype(np.int64)
    return X[train], y[train], X[test], y[test]
