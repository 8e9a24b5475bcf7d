"""
The temperature in a grid search
================================

The temperature says how far a row looks for its neighbours. Which one is best depends on what
comes after, so it is searched for where it is used: in the pipeline, by the score of the
last step.
"""

import matplotlib.pyplot as plt
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sknca import SNNLEmbedding
from sknca.metrics import clustering_accuracy

X, y = load_digits(return_X_y=True)

# %%
# Codes have unit length here (``metric="cosine"``): with them the temperature matters, for the
# network cannot scale its codes instead. Before a classifier the score is the accuracy on
# held-out rows; before k-means it is the cluster accuracy, the share of held-out rows that a
# one-to-one naming of clusters by classes gets right.
temperatures = [0.01, 0.03, 0.1, 0.3, 1.0]
last_steps = {
    "KNeighborsClassifier, accuracy": (KNeighborsClassifier(), "accuracy"),
    "KMeans, cluster accuracy": (
        KMeans(n_clusters=10, n_init=10, random_state=0),
        make_scorer(clustering_accuracy),
    ),
}
figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for title, (last, scoring) in last_steps.items():
    embedding = SNNLEmbedding(metric="cosine", max_iter=20, random_state=0)
    search = GridSearchCV(
        Pipeline([("scale", StandardScaler()), ("embedding", embedding), ("last", last)]),
        {"embedding__temperature": temperatures},
        scoring=scoring,
        cv=StratifiedKFold(3, shuffle=True, random_state=0),
    )
    results = search.fit(X, y).cv_results_
    mean, spread = results["mean_test_score"], results["std_test_score"]
    (line,) = ax.plot(temperatures, mean, marker="o", label=title)
    ax.fill_between(temperatures, mean - spread, mean + spread, alpha=0.2)
    best = temperatures[search.best_index_]
    ax.plot(best, search.best_score_, "*", color=line.get_color(), markersize=16)
    print(title, dict(zip(temperatures, mean.round(4).tolist(), strict=True)), f"best T = {best}")
ax.set(xlabel="temperature", ylabel="score of held-out rows, three folds", xscale="log")
ax.legend(loc="lower right")
plt.show()

# %%
# (Stars are the best.) The classifier asks a few neighbours, and a low temperature, which
# looks at the nearest only, serves it best. k-means wants each class in one round cloud: for it
# a higher temperature is better, which looks at classes as wholes.
