"""
A nearest-neighbour classifier, and an embedding before it
==========================================================

A nearest-neighbour classifier is as good as the distances it is given. ``SNNLEmbedding`` learns
distances for it: as a step of a pipeline it is fitted on the training rows of each fold only,
so the scores of a cross-validation are honest.
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
# How many neighbours should be asked? Among the raw features the more that are asked, the worse
# the answer, for there are others soon among them. In the code whole classes lie together, and
# their number matters little. (The pipeline's ``memory`` keeps what was fitted, so that
# each fold trains one network, and not one for each number of neighbours.)
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
ax.set(xlabel="neighbours asked", ylabel="accuracy of held-out rows", title="three folds")
ax.set_xticks(n_neighbors, n_neighbors)
ax.minorticks_off()
ax.legend()
plt.show()

# %%
# For a picture take two components. ``pipeline[:-1]`` is what stands before the classifier;
# the points with a dark edge are test rows.
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
pipeline = make_pipeline(StandardScaler(), SNNLEmbedding(2, random_state=0), KNeighborsClassifier())
pipeline.fit(X_train, y_train)
display = EmbeddingDisplay.from_estimator(
    pipeline[:-1], X_train, y_train, X_test=X_test, y_test=y_test
)
display.ax_.set_title(f"two components: accuracy of test rows {pipeline.score(X_test, y_test):.1%}")
plt.show()
