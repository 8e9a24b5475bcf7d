"""
Digits in two dimensions: PCA, LDA, NCA, UMAP and SNNL
======================================================

Five methods draw 64 pixels into two numbers. All points in the picture are digits that no
method has seen in training: a supervised map always parts the rows that it was trained on.
PCA knows no labels; LDA and NCA know them, but are linear; UMAP is given the labels, and
learns neighbourhoods; the soft nearest neighbour loss trains a network for what is asked of
the picture, that neighbours share a class.
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
    # Two dimensions leave little room: the network takes longer, and is held back more.
    "SNNL": SNNLEmbedding(2, dropout=0.4, max_iter=150, random_state=0),
}

# %%
# UMAP is a package of its own (``umap-learn``), and left out where it is not installed.
try:
    from umap import UMAP
except ImportError:
    pass
else:
    methods["UMAP, supervised"] = UMAP(random_state=0, n_jobs=1)
    methods["SNNL"] = methods.pop("SNNL")  # comes last

# %%
# Half of the digits train, half are held out, in three random ways. The error is that of a
# classifier that looks for the 5 nearest training points of a held-out one.
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
# No linear map has room for ten digits on a plane; a network finds some. UMAP, where it is
# installed, draws each class into a knot; SNNL leaves in the picture how far apart its members are.
