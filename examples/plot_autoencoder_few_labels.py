"""
An autoencoder that knows a few labels
======================================

Labels are dear, rows are cheap. Of 1200 handwritten digits here 50 have a label, five of each
digit. A classifier on the labelled pixels has little to go by; an embedding trained on the
labelled rows alone learns fifty rows by heart; an autoencoder learns from all rows what digits
look like, but not what tells them apart. The soft nearest neighbour loss of the few beside the
reconstruction of all does both.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer

from sknca import SNNLEmbedding
from sknca.plotting import EmbeddingDisplay

X, y = load_digits(return_X_y=True)
X = X / 16

# %%
# ``unlabeled`` names what stands for "no label" in ``y``. The autoencoder and the embedding with
# few labels are alike but for ``snnl_weight``: with a weight of 0 no label is used.
network = {"n_components": 10, "hidden_layer_sizes": (256,), "random_state": 0}
autoencoder = {**network, "primary_loss": "reconstruction", "unlabeled": -1, "max_iter": 40}
embeddings = {
    "the pixels": FunctionTransformer(),
    "SNNL of 50 rows": SNNLEmbedding(**network),
    "autoencoder": SNNLEmbedding(snnl_weight=0, **autoencoder),
    "autoencoder\nand SNNL of 50 rows": SNNLEmbedding(snnl_weight=0.03, **autoencoder),
}

# %%
# A classifier looks for the 3 nearest of the 50 labelled rows. Its errors on 597 held-out
# digits, means and standard deviations over five splits.
errors = {name: [] for name in embeddings}
for split in range(5):
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, train_size=1200, stratify=y, random_state=split
    )
    labelled, _ = train_test_split(
        np.arange(1200), train_size=50, stratify=y_train, random_state=split
    )
    few = np.full(1200, -1)
    few[labelled] = y_train[labelled]
    for name, embedding in embeddings.items():
        rows = slice(None) if name.startswith("autoencoder") else labelled
        embedding.fit(X_train[rows], few[rows])
        knn = KNeighborsClassifier(3).fit(embedding.transform(X_train[labelled]), few[labelled])
        errors[name].append(1 - knn.score(embedding.transform(X_test), y_test))
for name, of_splits in errors.items():
    told = f"{np.mean(of_splits):.1%} ± {np.std(of_splits):.1%}"
    print(f"{name}: 3-NN error of held-out digits {told}".replace("\n", " "))

# %%
# The held-out digits of the last split by the principal components of the code; below, some of
# them, and what the decoder makes of their ten numbers.
figure, axes = plt.subplot_mosaic(
    [["errors", "autoencoder", "both"], ["digits", "digits", "digits"]],
    figsize=(12, 5.6),
    height_ratios=(3, 1),
    layout="constrained",
)
bars = axes["errors"].barh(
    list(errors),
    [np.mean(of_splits) for of_splits in errors.values()],
    xerr=[np.std(of_splits) for of_splits in errors.values()],
    color=["0.8", "0.8", "0.8", "C0"],
)
axes["errors"].bar_label(bars, fmt="{:.1%}", label_type="center")
axes["errors"].invert_yaxis()
axes["errors"].xaxis.set_major_formatter("{x:.0%}")
axes["errors"].set(title="3-NN error of held-out digits, five splits")
_, _, alone, both = embeddings.values()
EmbeddingDisplay.from_estimator(alone, X_test, y_test, ax=axes["autoencoder"], legend=False)
EmbeddingDisplay.from_estimator(both, X_test, y_test, ax=axes["both"])
axes["autoencoder"].set_title("autoencoder: held-out digits")
axes["both"].set_title("with the labels of 50 other rows")

shown = X_test[:24]
back = both.inverse_transform(both.transform(shown))
strips = [
    np.hstack(np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1))))
    for images in (shown, back)
]
axes["digits"].imshow(np.vstack(strips), cmap="gray_r", vmin=0, vmax=1)
axes["digits"].set(title="held-out digits, and what comes back", xticks=[], yticks=[])
plt.show()
