"""
Constant, annealed, learned: three kinds of temperature
=======================================================

The temperature decides up to what distance a neighbor counts. It can be constant. It can fall
with the epochs, so that at first all samples of a class count, and at the end the nearest
neighbors (Agarap and Azcarraga, 2020). Or it can be a parameter that is trained with the
network (Frosst et al., 2019). Losses at different temperatures cannot be compared. Therefore
the second plot shows the error of a classifier on the codes.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier

from sknca import SNNLEmbedding

X, y = load_digits(return_X_y=True)
X = X / 16
folds = list(StratifiedKFold(3, shuffle=True, random_state=0).split(X, y))
starts = np.array([0.03, 0.1, 0.3, 1.0])

# %%
# The codes are L2-normalized, because then the temperature matters. With the squared Euclidean
# distance, the network can scale its codes instead.
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for schedule, color in {"constant": "C0", "annealed": "C1", "learned": "C2"}.items():
    errors = []
    for start in starts:
        embedding = SNNLEmbedding(
            metric="cosine",
            temperature=start,
            temperature_schedule=schedule,
            max_iter=20,
            random_state=0,
        )
        scores = [
            KNeighborsClassifier()
            .fit(embedding.fit(X[train], y[train]).transform(X[train]), y[train])
            .score(embedding.transform(X[test]), y[test])
            for train, test in folds
        ]
        errors.append(1 - np.mean(scores))
        temperatures = [record["temperature"] for record in embedding.history_]
        left.plot(temperatures, color=color, label=schedule if start == starts[0] else None)
    right.plot(starts, errors, marker="o", color=color, label=schedule)
    print(schedule, dict(zip(starts.tolist(), np.round(errors, 4).tolist(), strict=True)))
left.set(xlabel="epoch", ylabel="temperature", yscale="log", title="temperature of each epoch")
right.set(
    xlabel="temperature at the start",
    ylabel="5-NN error, three folds",
    xscale="log",
    title="error of held-out digits",
)
right.legend()
plt.show()
