"""
Clustering: k-means on codes
============================

K-means finds round clusters, and classes of raw features are rarely round. A network that is
trained on labeled samples can map new samples without labels into clusters that k-means finds.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import ConfusionMatrixDisplay, adjusted_rand_score, confusion_matrix
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sknca import SNNLEmbedding
from sknca.metrics import clustering_accuracy

X, y = load_digits(return_X_y=True)

# %%
# Half of the digits train the embedding. K-means clusters the other half, and knows the number
# of clusters but no label. The cluster accuracy is the fraction of samples that are correct
# under the best one-to-one matching of clusters to digits. The adjusted Rand index counts the
# pairs of samples that are correctly in the same cluster or in different clusters. Both are
# means over three splits.
transformers = {
    "raw features": FunctionTransformer(),
    "PCA": PCA(32, random_state=0),
    "NCA": NeighborhoodComponentsAnalysis(32, random_state=0),
    "SNNL": SNNLEmbedding(metric="cosine", temperature=0.1, random_state=0),
}
accuracies, tables = {}, {}
for name, transformer in transformers.items():
    scores = []
    for split in range(3):
        X_train, X_test, y_train, y_test = train_test_split(
            X, y, test_size=0.5, stratify=y, random_state=split
        )
        embedding = make_pipeline(StandardScaler(), transformer).fit(X_train, y_train)
        clusters = KMeans(10, n_init=10, random_state=0).fit_predict(embedding.transform(X_test))
        scores.append(
            [clustering_accuracy(y_test, clusters), adjusted_rand_score(y_test, clusters)]
        )
    tables[name] = confusion_matrix(y_test, clusters)
    accuracies[name], rand = np.mean(scores, axis=0)
    print(f"{name}: cluster accuracy {accuracies[name]:.1%}, adjusted Rand index {rand:.3f}")

# %%
# The confusion matrices show which held-out digits of the last split are in which cluster. Each
# cluster is matched to a digit.
figure, axes = plt.subplots(1, 3, figsize=(12, 3.9), width_ratios=(1, 1, 0.8), layout="constrained")
for name, ax in zip(("raw features", "SNNL"), axes, strict=False):
    _, clusters = linear_sum_assignment(tables[name], maximize=True)
    display = ConfusionMatrixDisplay(tables[name][:, clusters])
    display.plot(ax=ax, cmap="Blues", colorbar=False, text_kw={"fontsize": 7})
    ax.set(title=f"k-means on {name}", xlabel="cluster", ylabel="digit", xticks=[])
bars = axes[2].barh(list(accuracies), list(accuracies.values()), color="0.7")
axes[2].bar_label(bars, fmt="{:.1%}", label_type="center")
axes[2].set(title="cluster accuracy, three splits", xlim=(0, 1))
axes[2].invert_yaxis()
axes[2].xaxis.set_major_formatter("{x:.0%}")
plt.show()
