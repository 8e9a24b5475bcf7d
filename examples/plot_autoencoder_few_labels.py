"""
Few labels, and many samples without one
========================================

Labels are expensive, samples are cheap. Of 1200 handwritten digits here, 50 have a label, five of
each digit. A classifier on the labeled pixels has little to learn from, and an embedding trained on
the labeled samples alone overfits. An autoencoder learns from all samples what digits look like,
but not what separates them. If ``unlabeled`` is set, labels are spread to the other samples among
the codes while these are trained, with or without a reconstruction.
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
# ``unlabeled`` is the value in ``y`` that marks samples without a label. The features are pixels,
# which have one unit: ``scale=False``.
network = {"n_components": 10, "hidden_layer_sizes": (256,), "scale": False, "random_state": 0}
autoencoder = {**network, "primary_loss": "reconstruction", "unlabeled": -1, "max_iter": 40}
embeddings = {
    "the pixels": FunctionTransformer(),
    "50 labeled samples": SNNLEmbedding(**network),
    "autoencoder": SNNLEmbedding(snnl_weight=0, **autoencoder),
    "labels spread": SNNLEmbedding(unlabeled=-1, **network),
    "autoencoder,\nlabels spread": SNNLEmbedding(snnl_weight=0.1, **autoencoder),
}

# %%
# The classifier uses the 3 nearest of the 50 labeled samples. Its test errors on 597 held-out
# digits are means and standard deviations over five splits.
errors = {name: [] for name in embeddings}
for split in range(5):
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, train_size=1200, stratify=y, random_state=split
    )
    labeled, _ = train_test_split(
        np.arange(1200), train_size=50, stratify=y_train, random_state=split
    )
    few = np.full(1200, -1)
    few[labeled] = y_train[labeled]
    for name, embedding in embeddings.items():
        rows = labeled if name == "50 labeled samples" else slice(None)
        embedding.fit(X_train[rows], few[rows])
        knn = KNeighborsClassifier(3).fit(embedding.transform(X_train[labeled]), few[labeled])
        errors[name].append(1 - knn.score(embedding.transform(X_test), y_test))
for name, of_splits in errors.items():
    told = f"{np.mean(of_splits):.1%} ± {np.std(of_splits):.1%}"
    print(f"{name}: 3-NN error of held-out digits {told}".replace("\n", " "))

# %%
# Above: the codes of the held-out digits of the last split, by their principal components. Below:
# some of these digits, and their reconstructions.
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
    color=["0.8", "0.8", "0.8", "C0", "C0"],
)
axes["errors"].bar_label(bars, fmt="{:.1%}", label_type="center")
axes["errors"].invert_yaxis()
axes["errors"].xaxis.set_major_formatter("{x:.0%}")
axes["errors"].set(title="3-NN error of held-out digits, five splits")
_, _, alone, _, both = embeddings.values()
EmbeddingDisplay.from_estimator(alone, X_test, y_test, ax=axes["autoencoder"], legend=False)
EmbeddingDisplay.from_estimator(both, X_test, y_test, ax=axes["both"])
axes["autoencoder"].set_title("autoencoder: held-out digits")
axes["both"].set_title("with labels that spread from 50 other samples")

shown = X_test[:24]
back = both.inverse_transform(both.transform(shown))
strips = [
    np.hstack(np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1))))
    for images in (shown, back)
]
axes["digits"].imshow(np.vstack(strips), cmap="gray_r", vmin=0, vmax=1)
axes["digits"].set(title="held-out digits, and what comes back", xticks=[], yticks=[])
plt.show()
