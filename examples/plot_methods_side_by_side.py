"""
Digits in two dimensions: PCA, LDA, NCA, UMAP and SNNL
======================================================

Five methods of dimensionality reduction map 64 pixels to two numbers. All points in the picture
are held-out digits, because a supervised map always separates the samples that it was trained
on. PCA uses no labels. LDA and NCA use labels, but are linear. UMAP gets the labels and learns
neighborhoods. The soft nearest neighbor loss trains a network for the purpose of the picture:
neighbors share a class.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, NeighborhoodComponentsAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknca import SNNLEmbedding
from sknca.plotting import EmbeddingDisplay

methods = {
    "PCA": PCA(2, random_state=0),
    "LDA": LinearDiscriminantAnalysis(n_components=2),
    "NCA": NeighborhoodComponentsAnalysis(2, random_state=0),
    # Two dimensions leave little room, so the network needs more epochs and more dropout.
    "SNNL": SNNLEmbedding(2, dropout=0.4, max_iter=150, random_state=0),
}

# %%
# UMAP is a separate package (``umap-learn``). It is left out if it is not installed.
try:
    from umap import UMAP
except ImportError:
    pass
else:
    methods["UMAP, supervised"] = UMAP(random_state=0, n_jobs=1)
    methods["SNNL"] = methods.pop("SNNL")  # comes last

# %%
# Half of the digits are for training and half are held out, in three random splits. The error
# is that of a 5-nearest-neighbor classifier.
X, y = load_digits(return_X_y=True)
figure, axes = plt.subplots(
    1, len(methods), figsize=(2.6 * len(methods) + 0.5, 3.1), layout="constrained"
)
for (name, method), ax in zip(methods.items(), axes, strict=True):
    errors = []
    for split in range(3):
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=0.5, stratify=y, random_state=split
        )
        embedding = make_pipeline(StandardScaler(), method).fit(X_train, y_train)
        knn = KNeighborsClassifier().fit(embedding.transform(X_train), y_train)
        errors.append(1 - knn.score(embedding.transform(X_test), y_test))
    EmbeddingDisplay.from_estimator(
        embedding, X_test, y_test, ax=ax, legend=ax is axes[-1], scatter_kw={"s": 6}
    )
    ax.set(title=f"{name}\nerror {np.mean(errors):.1%}", xticks=[], yticks=[], xlabel="", ylabel="")
    print(f"{name}: error of held-out digits {np.mean(errors):.1%} ± {np.std(errors):.1%}")
plt.show()

# %%
# No linear map separates ten digits in two dimensions. A network does. UMAP, if it is
# installed, contracts each class to a small cluster. With SNNL, the distances between samples
# of a class remain visible.
