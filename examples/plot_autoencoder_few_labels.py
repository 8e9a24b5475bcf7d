"""
An autoencoder that knows a few labels
======================================

An autoencoder is trained without labels, and its code need not part the classes. Beside the
reconstruction, the soft nearest neighbour loss of a few labelled rows is enough to pull them
apart, and rows that never had a label follow. Here 200 of 1200 training rows of digits are
labelled; the autoencoder is the x-500-500-2000-2-2000-500-500-x of Agarap and Azcarraga (2020),
and the loss is taken, as theirs, in every layer of the encoder.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding

X, y = load_digits(return_X_y=True)
X = X / 16
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=1200, stratify=y, random_state=0
)
few = y_train.copy()
few[200:] = -1  # the rows come in random order

# %%
# The same autoencoder twice: with a weight of 0 the soft nearest neighbour loss is out, and
# no label is used.
settings = {
    "layers": "all",
    "temperature": 0.1,
    "hidden_layer_sizes": (500, 500, 2000),
    "dropout": 0.0,
    "primary_loss": "reconstruction",
    "unlabeled": -1,
    "learning_rate_init": 1e-3,
    "max_iter": 40,
    "random_state": 0,
}
embeddings = {
    "reconstruction alone": SNNLEmbedding(2, snnl_weight=0, **settings),
    "with SNNL of 200 labelled rows": SNNLEmbedding(2, snnl_weight=0.1, **settings),
}

# %%
# Codes of training rows (dots) and of test rows (crosses), with the error of a classifier
# that looks for the 5 nearest of the 200 labelled training rows. Below them test rows, and
# what the decoder makes of their two numbers.
figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), height_ratios=(5, 2), layout="constrained")
for (title, embedding), (above, below) in zip(embeddings.items(), axes.T, strict=True):
    train, test = embedding.fit(X_train, few).transform(X_train), embedding.transform(X_test)
    error = 1 - KNeighborsClassifier().fit(train[:200], few[:200]).score(test, y_test)
    above.scatter(*train.T, c=y_train, cmap="tab10", s=6, alpha=0.4)
    points = above.scatter(*test.T, c=y_test, cmap="tab10", s=14, marker="x", linewidths=0.8)
    above.set(title=f"{title}\n5-NN error of test rows {error:.1%}", xticks=[], yticks=[])
    print(f"{title}: 5-NN error of test rows {error:.1%}")

    rows = X_test[:12]
    back = embedding.inverse_transform(embedding.transform(rows))
    pictures = [np.hstack(list(images.reshape(-1, 8, 8))) for images in (rows, back)]
    below.imshow(np.vstack(pictures), cmap="gray_r", vmin=0, vmax=1)
    below.set(title="test rows, and what comes back", xticks=[], yticks=[])
figure.legend(*points.legend_elements(), loc="outside right center", title="digit")
plt.show()
