"""
A nearest-neighbor classifier with an embedding before it
=========================================================

A nearest-neighbor classifier is only as good as its distances. ``SNNLEmbedding`` learns
distances for it. As a step of a pipeline, it is fitted only on the training samples of each
fold, so the cross-validated scores are not biased.
"""

from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold, ValidationCurveDisplay, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknca import SNNLEmbedding
from sknca.plotting import EmbeddingDisplay

X, y = load_digits(return_X_y=True)

# %%
# How many neighbors should the classifier use? With raw features, accuracy falls as their
# number grows, because samples of other classes are soon among them. In the code, whole classes
# lie together and the number matters little. (The ``memory`` of the pipeline caches fitted
# steps, so that each fold trains one network instead of one for each number of neighbors.)
n_neighbors = [1, 3, 5, 10, 20, 50, 100]
folds = StratifiedKFold(3, shuffle=True, random_state=0)
figure, ax = plt.subplots(layout="constrained")
with TemporaryDirectory() as memory:
    pipelines = {
        "raw features": make_pipeline(StandardScaler(), KNeighborsClassifier()),
        "SNNLEmbedding": make_pipeline(
            StandardScaler(), SNNLEmbedding(random_state=0), KNeighborsClassifier(), memory=memory
        ),
    }
    for name, pipeline in pipelines.items():
        curve = ValidationCurveDisplay.from_estimator(
            pipeline,
            X,
            y,
            param_name="kneighborsclassifier__n_neighbors",
            param_range=n_neighbors,
            cv=folds,
            score_type="test",
            line_kw={"marker": "o"},
            ax=ax,
        )
        curve.lines_[0].set_label(name)
        accuracies = curve.test_scores.mean(axis=1).round(3).tolist()
        print(name, dict(zip(n_neighbors, accuracies, strict=True)))
ax.set(xlabel="number of neighbors", ylabel="accuracy of held-out samples", title="three folds")
ax.set_xticks(n_neighbors, n_neighbors)
ax.minorticks_off()
ax.legend()
plt.show()

# %%
# For a picture, use two components. ``pipeline[:-1]`` has the steps before the classifier.
# Points with a dark edge are test samples.
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
pipeline = make_pipeline(StandardScaler(), SNNLEmbedding(2, random_state=0), KNeighborsClassifier())
pipeline.fit(X_train, y_train)
display = EmbeddingDisplay.from_estimator(
    pipeline[:-1], X_train, y_train, X_test=X_test, y_test=y_test
)
display.ax_.set_title(
    f"two components: accuracy of test samples {pipeline.score(X_test, y_test):.1%}"
)
plt.show()
