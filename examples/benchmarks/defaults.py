"""What each default of SNNLEmbedding is worth: other values of one parameter at a time.

python examples/benchmarks/defaults.py [--only "plain MLP" "dropout 0.4"] [--first-split 100]
    [--condition noise-20]

It uses the data sets that selected the defaults (those of SELECTING that are available), and of
these only the training samples: the training part of each split of knn_accuracy.py is split 70 to
30, with at most 1000 samples each. 5 nearest neighbors behind the embedding are scored on the
30 %. Small sets get 8 splits, others 3. The seeds of the splits start at --first-split: on splits
that were used to choose a value, this value looks better than it is. All other data sets of
knn_accuracy.py confirm the choice.
"""

import argparse
import time
from functools import partial

import numpy as np
from _measure import machine
from knn_accuracy import ADDED, CONDITIONS, load_all, split, spoil
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from sknca import SNNLEmbedding, TripletEmbedding
from sknca.networks import MLP

SELECTING = (
    "wine",
    "glass",
    "keel_penbased",
    "mnist",
    "satellite",
    "sonar",
    "soybean",
    "tissue_gene_expression",
    "vehicle",
    "vowel",
    *ADDED,
)
MOST_ROWS = 1000
FEW_ROWS, SPLITS_OF_FEW, SPLITS = 300, 8, 3

ADVERSARIAL_RADIUS = 0.7
MLP_OF_THE_SAME_SIZE = partial(MLP, hidden_layer_sizes=(256, 256), activation="relu", dropout=0.2)
CHOICES = {
    "default": SNNLEmbedding,
    # A custom encoder has no adversarial radius unless it is set.
    "plain MLP": partial(
        SNNLEmbedding, encoder=MLP_OF_THE_SAME_SIZE, adversarial_radius=ADVERSARIAL_RADIUS
    ),
    "q 0": partial(SNNLEmbedding, q=0.0),
    "q 0.5": partial(SNNLEmbedding, q=0.5),
    "q 0.7": partial(SNNLEmbedding, q=0.7),
    "q 1": partial(SNNLEmbedding, q=1.0),
    "not watched": partial(SNNLEmbedding, early_stopping=False),
    "q 0, not watched": partial(SNNLEmbedding, q=0.0, early_stopping=False),
    "early stopping": partial(SNNLEmbedding, early_stopping=True),
    "one unit for all features": partial(SNNLEmbedding, scale=False),
    "linear": partial(SNNLEmbedding, hidden_layer_sizes=()),
    "hidden 512": partial(SNNLEmbedding, hidden_layer_sizes=(512,)),
    "hidden 256, 256, 256": partial(SNNLEmbedding, hidden_layer_sizes=(256, 256, 256)),
    "silu": partial(SNNLEmbedding, activation="silu"),
    "dropout 0": partial(SNNLEmbedding, dropout=0.0),
    "dropout 0.2": partial(SNNLEmbedding, dropout=0.2),
    "dropout 0.4": partial(SNNLEmbedding, dropout=0.4),
    "radius 0": partial(SNNLEmbedding, adversarial_radius=0.0),
    "radius 0, 75 epochs": partial(SNNLEmbedding, adversarial_radius=0.0, max_iter=75),
    "radius 0.35": partial(SNNLEmbedding, adversarial_radius=0.35),
    "radius 1.4": partial(SNNLEmbedding, adversarial_radius=1.4),
    "every batch moved": partial(SNNLEmbedding, adversarial_fraction=1.0),
    "temperature 0.3": partial(SNNLEmbedding, temperature=0.3),
    "temperature 3": partial(SNNLEmbedding, temperature=3.0),
    "cosine, temperature 0.1": partial(SNNLEmbedding, metric="cosine", temperature=0.1),
    "30 epochs": partial(SNNLEmbedding, max_iter=30),
    "120 epochs": partial(SNNLEmbedding, max_iter=120),
    "learning rate 0.001": partial(SNNLEmbedding, learning_rate_init=1e-3),
    "learning rate 0.01": partial(SNNLEmbedding, learning_rate_init=1e-2),
    "weight decay 0.1": partial(SNNLEmbedding, weight_decay=0.1),
    "cross-entropy beside it": partial(SNNLEmbedding, primary_loss="classification"),
    "batches of 128": partial(SNNLEmbedding, batch_size=128),
    "batches of 512": partial(SNNLEmbedding, batch_size=512),
    "triplets": TripletEmbedding,
    "triplets, radius 0.7": partial(TripletEmbedding, adversarial_radius=ADVERSARIAL_RADIUS),
}


def tasks(first_split, condition):
    """Name, seed, and the two parts of training rows, standardized, with their labels."""
    for name, X, y, official in load_all():
        if name not in SELECTING:
            continue
        n_splits = SPLITS_OF_FEW if len(X) < FEW_ROWS else SPLITS
        for seed in range(first_split, first_split + n_splits):
            if seed == 0 and official is not None:
                rows = official[0]
            else:
                rows = next(split(y, seed, test_size=0.3))[0]
            counts = np.unique(y[rows], return_counts=True)[1]
            strata = y[rows] if counts.min() > 1 else None
            rows, validation = train_test_split(
                rows, train_size=0.7, stratify=strata, random_state=seed
            )
            rows, validation = rows[:MOST_ROWS], validation[:MOST_ROWS]
            rows_train, y_train = spoil(X[rows], y[rows], condition, seed)
            scaler = StandardScaler().fit(rows_train)
            parts = scaler.transform(rows_train), y_train, scaler.transform(X[validation])
            yield name, seed, *parts, y[validation]


def score(choice, X, y, X_val, y_val, seed):
    embedding = choice(random_state=seed)
    start = time.perf_counter()
    codes = embedding.fit(X, y).transform(X)
    seconds = time.perf_counter() - start
    knn = KNeighborsClassifier(5).fit(codes, y)
    return knn.score(embedding.transform(X_val), y_val), seconds


def main(labels, first_split, condition):
    every = list(tasks(first_split, condition))
    names = list(dict.fromkeys(name for name, *_ in every))
    print(f"{machine()}; {condition}; splits from {first_split}; {', '.join(names)}")
    print(f"{'':26s}accuracy  against default  median fit time")
    default = None
    for label in labels:
        figures = {name: [] for name in names}
        for name, seed, *data in every:
            figures[name].append(score(CHOICES[label], *data, seed))
        accuracy, seconds = np.array([np.mean(f, axis=0) for f in figures.values()]).T
        default = accuracy if default is None else default
        gains = accuracy - default
        print(
            f"{label:26s}{accuracy.mean():8.4f} {gains.mean():+10.4f} ({(gains > 0).sum():2d} up, "
            f"{(gains < 0).sum():2d} down) {np.median(seconds):8.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(CHOICES), choices=list(CHOICES))
    parser.add_argument("--first-split", type=int, default=0)
    parser.add_argument("--condition", default="clean", choices=CONDITIONS)
    arguments = parser.parse_args()
    labels = ["default", *(label for label in arguments.only if label != "default")]
    main(labels, arguments.first_split, arguments.condition)
