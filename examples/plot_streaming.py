"""
A stream of classes, with and without a replay
==============================================

Data arrive in portions, and each new portion brings a class that was not there before.
:meth:`~sknca.SNNLEmbedding.partial_fit` learns from one portion at a time. A network that is
trained only on the newest classes forgets the earlier ones. A replay of a few earlier samples
prevents this.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)

# %%
# The stream has nine stages. The first one brings the digits 0 and 1, and each further stage one
# more digit, as twelve portions of its samples. "Replay" adds at most 10 samples of each
# earlier digit to a portion. "Newest digits only" sees the new digit and the one before it.
# "All so far" trains on everything seen so far, as far as one can afford it.
rng = np.random.default_rng(0)


def samples_of(digits, most=None):
    """Indices of training samples of these digits, at most so many of each."""
    found = [rng.permutation(np.flatnonzero(y_train == digit))[:most] for digit in digits]
    return np.concatenate(found)


def portion(kind, newest):
    if kind == "newest digits only":
        return samples_of([newest - 1, newest])
    if kind == "replay of 10 a digit":
        return np.concatenate([samples_of(range(newest), 10), samples_of([newest])])
    return samples_of(range(newest + 1))


kinds = ["newest digits only", "replay of 10 a digit", "all so far"]
accuracy = {kind: [] for kind in kinds}
for kind in kinds:
    embedding = SNNLEmbedding(random_state=0)
    for newest in range(1, 10):
        for _ in range(12):
            some = portion(kind, newest)
            embedding.partial_fit(X_train[some], y_train[some])
        # How well are all digits so far told apart? 10 samples of each are the neighbors.
        kept = samples_of(range(newest + 1), 10)
        knn = KNeighborsClassifier(1).fit(embedding.transform(X_train[kept]), y_train[kept])
        known = y_test <= newest
        accuracy[kind].append(knn.score(embedding.transform(X_test[known]), y_test[known]))
    print(f"{kind}: {accuracy[kind][-1]:.1%} on all ten digits at the end")

# %%
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for kind, values in accuracy.items():
    ax.plot(range(2, 11), values, marker="o", label=kind)
ax.set(
    xlabel="digits so far",
    ylabel="accuracy on held-out samples of these digits",
    title="Ten samples of each earlier digit prevent forgetting",
)
ax.legend()
plt.show()

# %%
# At the end, without a replay, the embedding separates the digits that came last and confuses the
# earlier ones. Ten samples of each earlier digit in every portion keep most of the accuracy of
# training on everything.
