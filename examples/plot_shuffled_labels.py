"""
Shuffled labels: what overfitting looks like
============================================

A network with enough weights parts any training rows, also by labels that mean nothing. Then
the training loss falls, the training rows stand in tidy clouds, and nothing has been
learned. Held-out rows tell: their loss, and where they stand.
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
# Each network is trained twice: with validation rows for the curves, and without them for the
# pictures, for with validation rows ``fit`` keeps the weights of the best epoch, and
# does not let us see the worst. Without dropout it learns by heart the sooner.
settings = {"n_components": 2, "dropout": 0.0, "max_iter": 80, "random_state": 0}
figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
for (name, y_shown), (left, middle, right) in zip(labels.items(), axes, strict=True):
    watched = SNNLEmbedding(**settings).fit(X_train, y_shown, X_val=X_test, y_val=y_test)
    curves = LossCurveDisplay.from_estimator(watched, ax=left)
    left.axhline(np.log(5), color="0.5", linestyle=":")
    left.text(80, np.log(5), "chance", ha="right", va="bottom", color="0.4")
    left.set(title=name, ylim=(0, 6))

    embedding = SNNLEmbedding(**settings).fit(X_train, y_shown)
    knn = KNeighborsClassifier().fit(embedding.transform(X_train), y_shown)
    parts = {"training rows": (X_train, y_shown), "held-out rows": (X_test, y_test)}
    for ax, (part, (rows, classes)) in zip((middle, right), parts.items(), strict=True):
        EmbeddingDisplay.from_estimator(embedding, rows, classes, ax=ax, legend=ax is right)
        accuracy = knn.score(embedding.transform(rows), classes)
        ax.set_title(f"{part}: 5-NN is right on {accuracy:.1%}")
        print(f"{name}, {part}: accuracy {accuracy:.1%}")
    print(
        f"{name}: training loss at the end {watched.loss_:.2f}, lowest validation loss "
        f"{min(watched.validation_loss_curve_):.2f}, in epoch {curves.best_epoch_}"
    )
plt.show()

# %%
# The training loss ends near zero both times, and the training rows stand apart both times.
# With shuffled labels the validation loss starts at chance, the logarithm of the number of
# classes, never falls below it, and rises as the rows are learned by heart: the best epoch is an
# early one, and it is its weights that ``fit`` keeps where it is given validation rows, or
# ``early_stopping=True``.
