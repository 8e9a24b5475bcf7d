"""Fits that several processes do together, and one process must repeat exactly."""

from itertools import pairwise

import numpy as np
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from sknca import PrimaryLoss, SNNLEmbedding, TripletEmbedding


class Margins(PrimaryLoss):
    """A loss that the package does not have: hinges of a linear layer on the codes."""

    name = "margins"
    fixed_classes = True

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    @classmethod
    def build(cls, task):
        return cls(nn.Linear(task.n_components, task.n_classes))

    def of_rows(self, code, x, y):
        return functional.multi_margin_loss(self.layer(code), y.clamp_min(0), reduction="none")


COMMON = {"max_iter": 3, "dropout": 0, "hidden_layer_sizes": (32,), "n_components": 4}
COMMON |= {"random_state": 0, "device": "cpu", "batch_size": 32}


def data(name):
    """Rows, labels and other arguments of `fit`."""
    X, y = load_digits(return_X_y=True)
    X, y, more = X[:300], y[:300], {}
    if name == "one_class_apart":  # in the first process alone
        order = np.argsort(y != 3, kind="stable")
        X, y = X[order], y[order]
    if name in ("weights", "triplets_weights", "no_rows_but_in_the_last"):
        more["sample_weight"] = np.linspace(0.1, 3, 300)
        more["sample_weight"][7] = 0
    if name in ("unlabeled", "unlabeled_classification", "own_classification"):
        y = np.where(np.arange(300) % 3 == 0, -1, y)
    if name in ("no_labels_in_the_last", "missing_labels_in_the_last"):
        marker = -1 if name == "no_labels_in_the_last" else np.nan
        y = np.where(np.arange(300) < 150, y, marker)
    return X, y, more


def parts(name, size):
    """Which rows each of so many processes has."""
    cuts = [300 * i // size for i in range(size + 1)]
    if name == "uneven":
        cuts = [0, 200, 300] if size == 2 else [0, 180, 250, 300]
    if name == "smaller_than_a_batch":
        cuts = [0, 290, 300] if size == 2 else [0, 200, 290, 300]
    if name == "fewer_rows_than_batches":
        cuts = [0, 296, 300] if size == 2 else [0, 280, 296, 300]
    if name == "no_rows_in_the_last":
        cuts = [300 * i // (size - 1) for i in range(size)] + [300]
    if name == "no_rows_but_in_the_last":
        cuts = [0] * size + [300]
    return [slice(*cut) for cut in pairwise(cuts)]


def make(name):
    snnl = {
        "default": {"dropout": 0, "hidden_layer_sizes": (256, 256), "batch_size": "auto"},
        "cosine": {"metric": "cosine", "temperature": 0.2},
        "euclidean": {"metric": "euclidean"},
        "learned": {"temperature_schedule": "learned", "layers": "all"},
        "all_layers": {"layers": "all", "metric": "cosine"},
        "reconstruction": {"primary_loss": "reconstruction"},
        "classification": {"primary_loss": "classification", "class_weight": "balanced"},
        "unlabeled": {
            "primary_loss": "reconstruction",
            "unlabeled": -1,
            "spread_labels": False,
        },
        "own_classification": {
            "primary_loss": Margins,
            "class_weight": "balanced",
            "unlabeled": -1,
            "spread_labels": False,
        },
        "unlabeled_classification": {
            "primary_loss": "classification",
            "unlabeled": -1,
            "spread_labels": False,
        },
        "no_labels_in_the_last": {"unlabeled": -1, "spread_labels": False},
        "missing_labels_in_the_last": {"unlabeled": np.nan, "spread_labels": False},
        "balanced": {"class_weight": "balanced", "q": 0.5},
        "adversarial": {"adversarial_radius": 0.5, "adversarial_fraction": 1.0},
        "early_stopping": {"early_stopping": True},
        "members": {"n_members": 2, "layers": "all", "primary_loss": "classification"},
    }
    triplet = {
        "triplets": {"margin": "soft"},
        "triplets_cosine": {"metric": "cosine", "margin": 0.2},
        "triplets_euclidean": {"metric": "euclidean", "margin": "soft"},
        "triplets_weights": {"mining": "semihard", "metric": "cosine", "margin": 0.2},
        "triplets_members": {"n_members": 2, "metric": "cosine", "margin": 0.2},
        "triplets_hard": {"mining": "hard", "adversarial_radius": 0.5},
    }
    if name in triplet:
        return TripletEmbedding(**COMMON | triplet[name])
    return SNNLEmbedding(**COMMON | snnl.get(name, {}))


ALL = (
    *("default", "cosine", "euclidean", "learned", "all_layers"),
    *("reconstruction", "classification"),
    *("unlabeled", "unlabeled_classification", "own_classification"),
    *("balanced", "adversarial", "weights"),
    *("uneven", "one_class_apart", "smaller_than_a_batch", "fewer_rows_than_batches"),
    *("no_rows_in_the_last", "no_rows_but_in_the_last", "no_labels_in_the_last"),
    "missing_labels_in_the_last",
    *("triplets", "triplets_cosine", "triplets_euclidean", "triplets_weights", "triplets_hard"),
    *("members", "triplets_members"),
)

#: What three processes do.
OF_THREE = (
    *("default", "learned", "weights", "fewer_rows_than_batches", "triplets"),
    *("no_rows_in_the_last", "no_rows_but_in_the_last"),
)
