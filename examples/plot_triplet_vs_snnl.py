"""
Triplets against soft neighbours
================================

The same encoder, the same batches, two losses. The triplet loss asks of single triples that a
negative be farther than a positive by a margin, and is content then; the soft nearest neighbour
loss lets each row look at all of its neighbours at once, the nearer the more. Triplets draw
every class together as a whole, for each pair of a class is somebody's anchor and positive; soft
neighbours only ask for company nearby. Each handwritten digit is one cloud of points, which
suits the triplets: they come out ahead here.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding, TripletEmbedding

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.5, stratify=y, random_state=0
)
losses = {
    "triplets, all": TripletEmbedding,
    "triplets, semi-hard": lambda **kwargs: TripletEmbedding(mining="semihard", **kwargs),
    "soft neighbours": SNNLEmbedding,
}

# %%
# Above, held-out digits as a code of two dimensions shows them. Below, the error of a 5-nearest
# neighbour classifier on codes of two and of 32 dimensions: a mean over five seeds, with the
# standard deviation.


def error(embedding):
    knn = KNeighborsClassifier().fit(embedding.transform(X_train), y_train)
    return 1 - knn.score(embedding.transform(X_test), y_test)


figure = plt.figure(figsize=(10.5, 6.2), layout="constrained")
grid = figure.add_gridspec(2, 3, height_ratios=(2, 1))
bars = figure.add_subplot(grid[1, :])
for i, (name, make) in enumerate(losses.items()):
    for j, n_components in enumerate((2, 32)):
        embeddings = [
            make(n_components=n_components, max_iter=60, random_state=seed).fit(X_train, y_train)
            for seed in range(5)
        ]
        errors = [error(embedding) for embedding in embeddings]
        label = f"{n_components} dimensions" if i == 0 else None
        bars.barh(
            i + 0.35 * j, np.mean(errors), 0.32, xerr=np.std(errors), color=f"C{j}", label=label
        )
        print(f"{name}, {n_components} dimensions: {np.mean(errors):.2%} ± {np.std(errors):.2%}")
        if n_components == 2:
            codes = embeddings[0].transform(X_test)
            scatter = figure.add_subplot(grid[0, i])
            scatter.scatter(*codes.T, c=y_test, cmap="tab10", s=6)
            scatter.set(title=f"{name}, 5-NN error {errors[0]:.1%}", xticks=[], yticks=[])
bars.set(yticks=np.arange(3) + 0.175, yticklabels=losses, xlabel="5-NN error of held-out digits")
bars.invert_yaxis()
bars.xaxis.set_major_formatter("{x:.0%}")
bars.legend()
plt.show()
