"""
Searching for classes that were not trained on
==============================================

Retrieval looks for what is like a query, and often of a class that nobody had a label for when
the embedding was trained: a new person, a new product. Here the embedding is trained on the
digits 0 to 5. The digits 6 to 9 are searched: each for the others of its class. The scores are
those of metric learning, recall@k and MAP@R.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import FunctionTransformer
from torch import nn

from sknca import SNNLEmbedding, TripletEmbedding
from sknca.metrics import mean_average_precision_at_r, recall_at_k

X, y = load_digits(return_X_y=True)
X = X / 16
seen = y < 6


# %%
# What is learned has to hold for other digits too. Strokes do, so the encoder is a convolutional
# one. Validation rows may be of classes that are not trained on: they look for their neighbors
# among themselves, as a search does. Here these are the fives, held out for it, and ``fit`` keeps
# the epoch that finds them best among the validation rows.
def convolutional(n_features, n_components):
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),  # (n, 1, 8, 8)
        nn.Conv2d(1, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(2),  # (n, 64, 2, 2)
        nn.Flatten(),
        nn.Linear(256, n_components),
    )


trained, held_out = y < 4, (y >= 4) & seen
validation = {"X_val": X[held_out], "y_val": y[held_out]}
settings = {"encoder": convolutional, "max_iter": 30, "random_state": 0}
embeddings = {
    "pixels": FunctionTransformer().fit(X[seen]),
    "PCA, 32 components": PCA(32, random_state=0).fit(X[seen]),
    "TripletEmbedding": TripletEmbedding(32, **settings).fit(X[seen], y[seen]),
    "SNNLEmbedding": SNNLEmbedding(32, **settings).fit(X[seen], y[seen]),
    "SNNLEmbedding, best epoch on 4 and 5": SNNLEmbedding(32, **settings).fit(
        X[trained], y[trained], **validation
    ),
}
unseen = {name: embedding.transform(X[~seen]) for name, embedding in embeddings.items()}
y_unseen = y[~seen]
for name, codes in unseen.items():
    scores = [recall_at_k(codes, y_unseen, k=k) for k in (1, 2, 4)]
    scores.append(mean_average_precision_at_r(codes, y_unseen))
    print(f"{name:40}", "recall@1 {:.3f}, @2 {:.3f}, @4 {:.3f}, MAP@R {:.3f}".format(*scores))

# %%
# Queries, on the left, on which pixels and codes disagree, and what is nearest to them. Neighbors
# of another class are framed in red.
rows = np.flatnonzero(
    [
        y_unseen[NearestNeighbors(n_neighbors=1).fit(unseen["pixels"]).kneighbors()[1][:, 0]]
        != y_unseen
    ][0]
)[:3]
figure, axes = plt.subplots(6, 9, figsize=(8, 6), layout="constrained")
for half, name in enumerate(["pixels", "SNNLEmbedding"]):
    nearest = NearestNeighbors(n_neighbors=8).fit(unseen[name]).kneighbors()[1]
    for line, query in zip(axes[half::2], rows, strict=True):
        line[0].set_ylabel(name, rotation=0, ha="right", fontsize="small")
        for ax, row in zip(line, [query, *nearest[query]], strict=True):
            ax.imshow(X[~seen][row].reshape(8, 8), cmap="gray_r")
            ax.set(xticks=[], yticks=[])
            wrong = y_unseen[row] != y_unseen[query]
            ax.spines[:].set(color="tab:red" if wrong else "0.8", linewidth=3 if wrong else 1)
axes[0, 0].set_title("query", fontsize="small")
axes[0, 4].set_title("its nearest, from left to right", fontsize="small")
plt.show()
