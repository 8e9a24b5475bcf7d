"""
The temperature in a grid search
================================

The temperature is a hyperparameter: it decides up to what distance a neighbor counts. The best
value depends on the next step. Therefore search over it in the pipeline, by the score of the
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
# The codes are L2-normalized here (``metric="cosine"``). Then the temperature matters, because the
# network cannot scale its codes instead. For a classifier the score is the accuracy on held-out
# samples. For k-means it is the cluster accuracy: the fraction of held-out samples that are correct
# under the best one-to-one matching of clusters to classes.
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
ax.set(xlabel="temperature", ylabel="score of held-out samples, three folds", xscale="log")
ax.legend(loc="lower right")
plt.show()

# %%
# (Stars mark the best values.) Both are best at about 0.1 here. Below it, the classifier loses
# almost nothing, because it uses only a few near neighbors. K-means loses accuracy, because it
# needs each class in one round cluster. Above it, the classifier loses more than k-means.
