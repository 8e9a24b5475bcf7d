"""What TripletEmbedding does that its sibling does not; test_inputs.py, test_isolation.py,
test_persistence.py and test_sklearn_checks.py hold what they share.
"""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sknca import SNNLEmbedding, TripletEmbedding
from sknca.functional import triplet_loss


def test_digits_before_knn():
    X, y = load_digits(return_X_y=True)
    knn = make_pipeline(StandardScaler(), TripletEmbedding(random_state=0), KNeighborsClassifier())
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    assert cross_val_score(knn, X, y, cv=folds).mean() >= 0.975


@pytest.mark.parametrize(
    "parameters",
    [
        {"mining": "all"},
        {"mining": "semihard"},
        {"mining": "random"},
        {"mining": "hard", "dropout": 0},
        {"mining": "all", "margin": "soft"},
        {"mining": "semihard", "metric": "cosine", "margin": 0.2},
    ],
    ids=str,
)
def test_every_way_of_mining_learns(iris, parameters):
    X, y = iris
    rng = np.random.RandomState(0)
    X = np.hstack([X, 3 * rng.randn(len(X), 6)])  # noise that hides the classes
    train, test = slice(None, None, 2), slice(1, None, 2)

    def score(transform):
        knn = KNeighborsClassifier().fit(transform(X[train]), y[train])
        return knn.score(transform(X[test]), y[test])

    embedding = TripletEmbedding(random_state=0, **parameters).fit(X[train], y[train])
    assert score(embedding.transform) > score(lambda X: X) + 0.1


@pytest.mark.parametrize(("margin", "mining"), [(0.7, "semihard"), (2.0, "hard"), ("soft", "all")])
def test_full_batch_loss_is_the_loss_of_the_codes(iris, margin, mining):
    X, y = iris
    embedding = TripletEmbedding(
        margin=margin, mining=mining, dropout=0, batch_size=150, max_iter=1, weight_decay=0,
        learning_rate_init=1e-30, random_state=0,
    ).fit(X, y)  # fmt: skip
    codes = torch.tensor(embedding.transform(X))
    expected = triplet_loss(codes, torch.tensor(y), margin=margin, strategy=mining)
    assert embedding.loss_ == pytest.approx(expected.item(), rel=1e-4)


def test_fitted_attributes(iris):
    X, y = iris
    embedding = TripletEmbedding(max_iter=4, random_state=0).fit(X, y, X_val=X, y_val=y)
    assert embedding.classes_.tolist() == [0, 1, 2]
    assert len(embedding.loss_curve_) == len(embedding.validation_loss_curve_) == 4
    assert list(embedding.history_[0]) == ["epoch", "loss", "learning_rate", "validation_loss"]
    assert not hasattr(embedding, "temperature_")


def test_the_same_network_as_its_sibling(iris):
    X, y = iris
    kinds = [
        kind(max_iter=1, learning_rate_init=1e-30, random_state=3).fit(X, y)
        for kind in (SNNLEmbedding, TripletEmbedding)
    ]
    np.testing.assert_allclose(*(kind.transform(X) for kind in kinds))


def test_early_stopping_keeps_the_best(iris):
    X, y = iris
    embedding = TripletEmbedding(
        early_stopping=True, max_iter=500, n_iter_no_change=5, random_state=0
    ).fit(X, y)
    curve = embedding.validation_loss_curve_
    assert len(curve) == embedding.n_iter_ < 500
    assert int(np.argmin(curve)) == embedding.n_iter_ - 6


def test_warm_start_continues(iris):
    X, y = iris
    embedding = TripletEmbedding(max_iter=3, warm_start=True, random_state=0).fit(X, y)
    learned = embedding.transform(X)
    embedding.set_params(learning_rate_init=1e-30, max_iter=1).fit(X, y)
    np.testing.assert_allclose(embedding.transform(X), learned)


def test_grid_search(iris):
    X, y = iris
    pipeline = Pipeline(
        [("emb", TripletEmbedding(max_iter=5, random_state=0)), ("knn", KNeighborsClassifier())]
    )
    grid = {"emb__margin": [0.5, "soft"], "emb__mining": ["all", "hard"]}
    assert GridSearchCV(pipeline, grid, cv=3).fit(X, y).best_score_ > 0.8


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"margin": 0}, "The 'margin' parameter of TripletEmbedding must be"),
        ({"margin": "hard"}, "The 'margin' parameter of TripletEmbedding must be"),
        ({"mining": "easy"}, "The 'mining' parameter of TripletEmbedding must be"),
        (
            {"margin": "soft", "mining": "semihard"},
            "mining='semihard' needs a number as margin, got margin='soft'",
        ),
    ],
)
def test_refuses_parameter(iris, parameters, message):
    embedding = TripletEmbedding(**parameters)
    with pytest.raises(ValueError, match=message):
        embedding.fit(*iris)
    assert not hasattr(embedding, "n_features_in_")


def test_divergence_is_an_error(iris):
    X, y = iris
    with pytest.raises(ValueError, match="The loss is not finite"):
        TripletEmbedding(learning_rate_init=1e30, random_state=0).fit(X, y)
