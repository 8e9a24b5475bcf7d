"""
Retrieval of classes that were not trained on
=============================================

Retrieval finds samples that are similar to a query. Often their class had no labels when the
embedding was trained: a new person, a new product. Here the embedding is trained on the digits
0 to 5. Each of the digits 6 to 9 searches for the others of its class. The scores are those of
metric learning: recall@1 is the fraction of the queries whose nearest neighbor is of their
class, and MAP@R measures how early a query finds *all* samples of its class.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from torch import nn

from sknca import SNNLEmbedding, TripletEmbedding
from sknca.metrics import mean_average_precision_at_r, recall_at_k

# %%
# Each digit is shifted by at most one pixel in both directions, because pictures of a camera
# are never exactly centered.
X, y = load_digits(return_X_y=True)
random = np.random.default_rng(0)
shifts = random.integers(3, size=(len(X), 2))
padded = np.pad(X.reshape(-1, 8, 8) / 16, ((0, 0), (1, 1), (1, 1)))  # (n, 10, 10)
X = np.stack(
    [image[i : i + 8, j : j + 8].ravel() for image, (i, j) in zip(padded, shifts, strict=True)]
)
seen = y < 6


# %%
# What is learned must be useful for other digits too. Strokes are, so the encoder is convolutional.
def convolutional(n_features, n_components):
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),  # (n, 1, 8, 8)
        nn.Conv2d(1, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 64, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(2),  # (n, 64, 2, 2)
        nn.Flatten(),
        nn.Linear(256, n_components),
    )


settings = {"encoder": convolutional, "max_iter": 30, "random_state": 0}
codes = {
    "pixels": X,
    "PCA": PCA(32, random_state=0).fit(X[seen]).transform(X),
    "TripletEmbedding": TripletEmbedding(32, **settings).fit(X[seen], y[seen]).transform(X),
    "SNNLEmbedding": SNNLEmbedding(32, **settings).fit(X[seen], y[seen]).transform(X),
}
for name, rows in codes.items():
    recall = recall_at_k(rows[~seen], y[~seen])
    precision = mean_average_precision_at_r(rows[~seen], y[~seen])
    print(f"{name:25} recall@1 {recall:.3f}, MAP@R {precision:.3f}")

# %%
# With pixels, a query usually finds one digit at the same place: recall@1 is high, even the
# highest. All samples of a class are found far earlier with codes, although no digit of that
# class was trained on. The queries are on the left, with their neighbors next to them.
# Neighbors of another class have a red frame.
X_unseen, y_unseen = X[~seen], y[~seen]
queries = [np.flatnonzero(y_unseen == digit)[0] for digit in (6, 7, 8, 9)]
figure, axes = plt.subplots(9, 16, figsize=(9, 5.4), layout="constrained")
for name, lines in {"pixels": axes[:4], "SNNLEmbedding": axes[5:]}.items():
    nearest = NearestNeighbors(n_neighbors=105).fit(codes[name][~seen]).kneighbors()[1]
    for line, query in zip(lines, queries, strict=True):
        for ax, row in zip(line, [query, *nearest[query, ::7]], strict=True):
            ax.imshow(X_unseen[row].reshape(8, 8), cmap="gray_r")
            wrong = y_unseen[row] != y_unseen[query]
            ax.spines[:].set(color="tab:red" if wrong else "0.85", linewidth=3 if wrong else 1)
    lines[0, 0].set_title("query", fontsize="small")
    title = f"its neighbors by {name}: the 1st, 8th, 15th … 99th"
    place = {"transform": lines[0, 1].transAxes, "in_layout": False}
    lines[0, 1].text(0, 1.15, title, fontsize="small", **place)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
for ax in axes[4]:
    ax.axis("off")
plt.show()

# %%
# How many epochs are best? Validation samples may be of classes that are not trained on. Their
# neighbors are then searched among the validation samples, as in retrieval. Here the digits 4
# and 5 are held out for it, and ``fit`` keeps the weights of the best epoch.
trained, held_out = y < 4, (y == 4) | (y == 5)
watched = SNNLEmbedding(32, **settings)
watched.fit(X[trained], y[trained], X_val=X[held_out], y_val=y[held_out])
losses = watched.validation_loss_curve_
print(f"best epoch {np.argmin(losses)} of {len(losses)}")
print(f"MAP@R {mean_average_precision_at_r(watched.transform(X[~seen]), y[~seen]):.3f}")
