"""
Held-out digits, seen by four methods
=====================================

Half of the handwritten digits that scikit-learn ships train a map to two dimensions; the other
half, which no map has seen, is drawn. PCA knows no labels. LDA and NCA do, and are linear. Two
numbers are few for ten classes: a linear map lets some of them fall upon each other, and a
network need not.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier, NeighborhoodComponentsAnalysis

from sknca import SNNLEmbedding

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.5, stratify=y, random_state=0
)
methods = {
    "PCA": PCA(2, random_state=0),
    "LDA": LinearDiscriminantAnalysis(n_components=2),
    "NCA": NeighborhoodComponentsAnalysis(2, random_state=0),
    "SNNLEmbedding": SNNLEmbedding(2, random_state=0),
}

# %%
# Above each picture stands the error of a 5-nearest-neighbour classifier on these codes.
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
for (name, method), ax in zip(methods.items(), axes, strict=True):
    method.fit(X_train, y_train)
    codes = method.transform(X_test)
    knn = KNeighborsClassifier().fit(method.transform(X_train), y_train)
    error = 1 - knn.score(codes, y_test)
    points = ax.scatter(*codes.T, c=y_test, cmap="tab10", s=5)
    ax.set(title=f"{name}\n5-NN error {error:.1%}", xticks=[], yticks=[])
    print(f"{name}: 5-NN error of held-out digits {error:.1%}")
figure.legend(*points.legend_elements(), loc="outside right center", title="digit")
plt.show()
