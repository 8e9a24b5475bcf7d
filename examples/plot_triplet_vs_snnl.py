"""
Triplet loss and soft nearest neighbor loss
===========================================

This example trains the same encoder on the same batches with two losses. The triplet loss
requires that a negative is farther from an anchor than a positive, by a margin, and is zero
then. The soft nearest neighbor loss uses all neighbors of a sample, with a weight that
decreases with their distance. It requires only that some near neighbors are of the same class.
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
losses = {"triplets": TripletEmbedding, "soft neighbors": SNNLEmbedding}

# %%
# Two tasks for held-out digits. Classification: which digit is it, by the 5 nearest training
# digits? Verification: are two held-out digits the same, by their distance alone? The area
# under the ROC curve of this distance is 1 if one threshold is right for all pairs. The figures
# are means and standard deviations over three splits. The upper plots show codes of two
# dimensions, and the lower ones the distances of codes of 32 dimensions.
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
# In this comparison, with the same epochs for both and without adversarial steps, triplets are
# better at both tasks. The difference is larger in verification, because triplets are trained for
# a margin between distances. Soft neighbors do not limit the width of a class. With the defaults
# of both, the classification errors on digits that ``examples/quickstart.py`` prints differ by
# chance only.
