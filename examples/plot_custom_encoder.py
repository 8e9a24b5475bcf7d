"""
A custom convolutional encoder
==============================

``encoder`` accepts any torch network. Here it is a small convolutional network for digits of 8 by 8
pixels. For the default encoder each pixel is a separate feature, so a digit that is shifted by one
pixel has quite different features. Convolutions detect the same strokes at every place, and the
maximum over all places says that a stroke is present, wherever it is.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from sknca import SNNLEmbedding
from sknca.plotting import EmbeddingDisplay


# %%
# A callable receives the numbers of features and of components. The network that it returns gets
# samples unchanged, as arrays of shape (n, 64), so its first layer makes images of them.
def convolutional(n_features, n_components):
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),  # (n, 1, 8, 8)
        nn.Conv2d(1, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.AdaptiveMaxPool2d(1),  # (n, 64, 1, 1)
        nn.Flatten(),
        nn.Linear(64, n_components),
    )


def shifted(X):
    """The digits one pixel further to the right."""
    images = np.pad(X.reshape(-1, 8, 8), ((0, 0), (0, 0), (1, 0)))
    return images[:, :, :8].reshape(-1, 64)


# %%
# Half of the digits are for training. The other half is tested unchanged, and shifted one pixel to
# the right, where no training digit was. Errors are means over three splits.
X, y = load_digits(return_X_y=True)
X = X / 16
figure, axes = plt.subplots(
    2, 2, figsize=(8.5, 7.5), sharex="row", sharey="row", layout="constrained"
)
for (name, encoder), row in zip(
    {"default encoder": None, "convolutional encoder": convolutional}.items(), axes, strict=True
):
    errors = []
    for split in range(3):
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=0.5, stratify=y, random_state=split
        )
        embedding = SNNLEmbedding(2, encoder=encoder, max_iter=30, random_state=0)
        knn = KNeighborsClassifier().fit(
            embedding.fit(X_train, y_train).transform(X_train), y_train
        )
        views = {"as they are": X_test, "one pixel to the right": shifted(X_test)}
        errors.append([1 - knn.score(embedding.transform(rows), y_test) for rows in views.values()])
    for ax, (view, rows), error in zip(row, views.items(), np.mean(errors, axis=0), strict=True):
        EmbeddingDisplay.from_estimator(embedding, rows, y_test, ax=ax, legend=ax is axes[0, 1])
        ax.set_title(f"{name}, digits {view}\n5-NN error of held-out digits {error:.1%}")
        print(f"{name}, digits {view}: error {error:.1%}")
plt.show()

# %%
# On unchanged digits, the default encoder is a little better. On shifted digits it fails, while the
# convolutional encoder still recognizes most of them.
