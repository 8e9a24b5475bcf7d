"""Digits in portions (`partial_fit`), next to `fit`.

python examples/benchmarks/streaming.py [--portions 20] [--seeds 4]

There are as many passes as `fit` has epochs, each in so many portions. Half of the digits are for
training, the others are classified by 5-NN. Figures are means of several splits.
"""

import argparse

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding, TripletEmbedding


def score(embedding, X_train, X_test, y_train, y_test):
    knn = KNeighborsClassifier().fit(embedding.transform(X_train), y_train)
    return knn.score(embedding.transform(X_test), y_test)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--portions", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    X, y = load_digits(return_X_y=True)
    for cls in (SNNLEmbedding, TripletEmbedding):
        scores = []
        for seed in range(arguments.seeds):
            split = train_test_split(X, y, train_size=0.5, stratify=y, random_state=seed)
            X_train, _, y_train, _ = split
            embedding = cls(random_state=seed)
            fitted = clone(embedding).fit(X_train, y_train)
            shuffles = np.random.RandomState(seed)
            for _ in range(fitted.n_iter_):
                order = shuffles.permutation(len(X_train))
                for portion in np.array_split(order, arguments.portions):
                    embedding.partial_fit(X_train[portion], y_train[portion])
            scores.append([score(one, *split) for one in (fitted, embedding)])
        of_fit, of_stream = np.mean(scores, axis=0)
        print(f"{cls.__name__}: fit {of_fit:.4f}, in portions {of_stream:.4f}", flush=True)


if __name__ == "__main__":
    main()
