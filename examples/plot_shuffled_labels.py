"""
Shuffled labels: what overfitting looks like
============================================

A network with enough weights separates any training samples, even by labels that mean nothing.
The training loss falls and the training samples form clear clusters, but nothing useful was
learned. This is overfitting. Held-out samples reveal it: by their loss, and by their place in
the picture.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding
from sknca.plotting import EmbeddingDisplay, LossCurveDisplay

X, y = load_digits(n_class=5, return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
labels = {
    "true labels": y_train,
    "shuffled labels": np.random.default_rng(0).permutation(y_train),
}

# %%
# Each network is trained twice: with validation samples for the curves, and without them for
# the pictures. With validation samples, ``fit`` keeps the weights of the best epoch, so the
# picture would not show the overfitting. Without dropout it overfits sooner. By default,
# ``early_stopping="auto"`` and ``q="auto"`` resist wrong labels, so both are switched off here.
settings = {
    "n_components": 2,
    "dropout": 0.0,
    "q": 0.0,
    "early_stopping": False,
    "max_iter": 80,
    "random_state": 0,
}
figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
for (name, y_shown), (left, middle, right) in zip(labels.items(), axes, strict=True):
    watched = SNNLEmbedding(**settings).fit(X_train, y_shown, X_val=X_test, y_val=y_test)
    curves = LossCurveDisplay.from_estimator(watched, ax=left)
    left.axhline(np.log(5), color="0.5", linestyle=":")
    left.text(80, np.log(5), "chance", ha="right", va="bottom", color="0.4")
    left.set(title=name, ylim=(0, 6))

    embedding = SNNLEmbedding(**settings).fit(X_train, y_shown)
    knn = KNeighborsClassifier().fit(embedding.transform(X_train), y_shown)
    parts = {"training samples": (X_train, y_shown), "held-out samples": (X_test, y_test)}
    for ax, (part, (rows, classes)) in zip((middle, right), parts.items(), strict=True):
        EmbeddingDisplay.from_estimator(embedding, rows, classes, ax=ax, legend=ax is right)
        accuracy = knn.score(embedding.transform(rows), classes)
        ax.set_title(f"{part}: 5-NN accuracy {accuracy:.1%}")
        print(f"{name}, {part}: accuracy {accuracy:.1%}")
    print(
        f"{name}: training loss at the end {watched.loss_:.2f}, lowest validation loss "
        f"{min(watched.validation_loss_curve_):.2f}, in epoch {curves.best_epoch_}"
    )
plt.show()

# %%
# In both cases the training loss ends near zero and the training samples are separated. With
# shuffled labels, the validation loss starts at chance level (the logarithm of the number of
# classes), never falls below it, and rises as the network overfits. The best epoch is an early
# one. ``fit`` keeps its weights if it gets validation samples, or with ``early_stopping=True``.
