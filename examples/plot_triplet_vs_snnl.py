"""
Triplets against soft neighbours
================================

The same encoder, the same batches, two losses. The triplet loss asks that a negative be
farther from an anchor than a positive is, by a margin, and is content then. The soft nearest
neighbour loss lets each row look at all of its neighbours at once, the nearer the more, and
only asks for company nearby.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.spatial.distance import pdist
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding, TripletEmbedding
from sknca.plotting import EmbeddingDisplay

X, y = load_digits(return_X_y=True)
X = X / 16
losses = {"triplets": TripletEmbedding, "soft neighbours": SNNLEmbedding}

# %%
# Two questions to held-out digits. Which digit is it, asked of the 5 nearest training digits?
# And of two held-out digits, are they the same, asked of their distance alone? The area under
# the ROC curve of that distance is 1 if one threshold answers for all pairs. Means and standard
# deviations over three splits; above codes of two dimensions, below the distances
# in codes of 32.
figure, axes = plt.subplots(2, 2, figsize=(9, 7), height_ratios=(2, 1), layout="constrained")
for (name, make), (above, below) in zip(losses.items(), axes.T, strict=True):
    for n_components in (2, 32):
        errors, areas = [], []
        for split in range(3):
            X_train, X_test, y_train, y_test = train_test_split(
                X, y, test_size=0.5, stratify=y, random_state=split
            )
            embedding = make(
                n_components=n_components, max_iter=40, adversarial_radius=0, random_state=split
            )
            codes_train = embedding.fit(X_train, y_train).transform(X_train)
            codes = embedding.transform(X_test)
            knn = KNeighborsClassifier().fit(codes_train, y_train)
            errors.append(1 - knn.score(codes, y_test))
            distances, same = pdist(codes), pdist(y_test[:, None]) == 0
            areas.append(roc_auc_score(same, -distances))
        told = (
            f"5-NN error {np.mean(errors):.1%} ± {np.std(errors):.1%}, "
            f"area under the ROC curve {np.mean(areas):.3f} ± {np.std(areas):.3f}"
        )
        print(f"{name}, {n_components} dimensions: {told}")
        if n_components == 2:
            EmbeddingDisplay.from_estimator(
                embedding, X_test, y_test, ax=above, legend=make is SNNLEmbedding
            )
            above.set_title(f"{name}\n5-NN error {np.mean(errors):.1%}")
    in_median = distances / np.median(distances)
    bins = np.linspace(0, 2, 80)
    for pairs, label in ((same, "the same digit"), (~same, "two different digits")):
        below.hist(in_median[pairs], bins, density=True, alpha=0.6, label=label)
    below.set(
        title=f"area under the ROC curve {np.mean(areas):.3f}",
        xlabel="distance, in units of the median",
        yticks=[],
    )
axes[1, 0].set_ylabel("pairs of held-out digits")
axes[1, 0].legend()
plt.show()

# %%
# Asked of neighbours, codes of 32 dimensions answer about as well after either loss; two
# dimensions the triplets use better here. Asked of the distance alone, triplets answer better
# in both, for a margin between distances is what they were trained for, while soft
# neighbours let a class be as wide as it likes.
