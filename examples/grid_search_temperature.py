"""The temperature in a grid search: before a classifier, and before k-means.

A pipeline with KNeighborsClassifier is scored by accuracy on held-out rows; one with KMeans
by cluster accuracy on held-out rows, the share of rows that a one-to-one naming of clusters
by classes gets right. Under a minute on two cores.
"""

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
folds = StratifiedKFold(3, shuffle=True, random_state=0)
temperatures = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
searches = {
    "KNeighborsClassifier, accuracy": (
        SNNLEmbedding(max_iter=30, random_state=0),
        KNeighborsClassifier(),
        "accuracy",
    ),
    "KMeans, cluster accuracy": (
        SNNLEmbedding(metric="cosine", max_iter=30, random_state=0),
        KMeans(n_clusters=10, n_init=10, random_state=0),
        make_scorer(clustering_accuracy),
    ),
}
for title, (embedding, last, scoring) in searches.items():
    pipeline = Pipeline([("scale", StandardScaler()), ("emb", embedding), ("last", last)])
    grid = {"emb__temperature": temperatures}
    search = GridSearchCV(pipeline, grid, scoring=scoring, cv=folds).fit(X, y)
    print(f"{title}, metric={embedding.metric!r}; mean over three shuffled folds of digits")
    for temperature, score in zip(temperatures, search.cv_results_["mean_test_score"], strict=True):
        chosen = " <- best" if temperature == search.best_params_["emb__temperature"] else ""
        print(f"  T = {temperature:5.2f}   {score:.4f}{chosen}")
