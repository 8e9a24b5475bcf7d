"""The estimators among what scikit-learn has to put around them."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from torch import nn
from versions import needs_sklearn

from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding

pytestmark = pytest.mark.parametrize("embedding", [SNNLEmbedding, TripletEmbedding])

SETTINGS = {"n_components": 2, "max_iter": 5, "hidden_layer_sizes": (16,), "random_state": 0}


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize(("frames", "frame"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_frames_through_a_pipeline(embedding, iris, frames, frame):
    X, y = iris
    X = frame(X, columns=list("abcd")) if frames == "pandas" else frame(X, schema=list("abcd"))
    pipeline = make_pipeline(StandardScaler(), embedding(**SETTINGS)).set_output(transform=frames)
    codes = pipeline.fit(X, y).transform(X)
    assert isinstance(codes, frame)
    assert list(codes.columns) == list(pipeline.get_feature_names_out())
    assert pipeline[-1].feature_names_in_.tolist() == ["a", "b", "c", "d"]


@needs_sklearn("1.9", "a search with sample weights of an embedding alone")
def test_sample_weight_is_routed(embedding, iris, routing):
    X, y = iris
    weight = np.linspace(0, 1, 150)
    step = embedding(**SETTINGS).set_fit_request(sample_weight=True)
    knn = KNeighborsClassifier().set_score_request(sample_weight=True)
    pipeline = make_pipeline(step, knn).fit(X, y, sample_weight=weight)
    alone = embedding(**SETTINGS).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(pipeline[0].transform(X), alone.transform(X))
    search = GridSearchCV(pipeline, {f"{pipeline.steps[0][0]}__max_iter": [1, 2]}, cv=2)
    search.fit(X, y, sample_weight=weight)
    assert search.best_score_ > 0.5


def test_validation_data_are_routed_and_scaled_on_the_way(embedding, iris, routing):
    X, y = iris
    step = embedding(**SETTINGS).set_fit_request(X_val=True, y_val=True)
    pipeline = Pipeline(
        [("scale", StandardScaler()), ("emb", step), ("knn", KNeighborsClassifier())],
        transform_input=["X_val"],
    )
    X_val, y_val = X[::3], y[::3]
    pipeline.fit(X, y, X_val=X_val, y_val=y_val)
    scale = pipeline["scale"].transform
    alone = embedding(**SETTINGS).fit(scale(X), y, X_val=scale(X_val), y_val=y_val)
    assert pipeline["emb"].validation_loss_curve_ == alone.validation_loss_curve_


def test_column_transformer(embedding, iris):
    X, y = iris
    X = pd.DataFrame(X, columns=list("abcd")).assign(kind=np.where(y == 0, "round", "long"))
    name = embedding.__name__.lower()
    transformer = make_column_transformer(
        (embedding(**SETTINGS), ["a", "b", "c", "d"]), (OneHotEncoder(), ["kind"])
    )
    codes = transformer.set_output(transform="default").fit_transform(X, y)
    assert codes.shape == (150, 4)
    assert transformer.get_feature_names_out()[:2].tolist() == [
        f"{name}__{name}0",
        f"{name}__{name}1",
    ]
    assert make_pipeline(transformer, KNeighborsClassifier()).fit(X, y).score(X, y) > 0.8


def test_feature_union(embedding, iris):
    X, y = iris
    union = make_union(PCA(1), embedding(**SETTINGS))
    codes = union.fit_transform(X, y)
    np.testing.assert_array_equal(codes[:, 1:], embedding(**SETTINGS).fit(X, y).transform(X))


@needs_sklearn("1.8", "calibration by temperature")
def test_calibration(embedding, iris):
    X, y = iris
    classifier = make_pipeline(embedding(**SETTINGS), SoftNeighborsClassifier())
    calibrated = CalibratedClassifierCV(classifier, method="temperature", cv=2).fit(X, y)
    probabilities = calibrated.predict_proba(X)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert calibrated.score(X, y) > 0.8


def test_cross_val_predict(embedding, iris):
    X, y = iris
    classifier = make_pipeline(embedding(**SETTINGS), SoftNeighborsClassifier())
    probabilities = cross_val_predict(classifier, X, y, cv=2, method="predict_proba")
    assert np.mean(probabilities.argmax(1) == y) > 0.8


def test_halving_search_with_epochs_as_the_resource(embedding, iris):
    X, y = iris
    pipeline = Pipeline([("emb", embedding(**SETTINGS)), ("knn", KNeighborsClassifier())])
    search = HalvingGridSearchCV(
        pipeline,
        {"emb__n_components": [1, 2, 3, 4]},
        resource="emb__max_iter",
        min_resources=1,
        max_resources=4,
        factor=2,
        cv=2,
        random_state=0,
    ).fit(X, y)
    assert search.n_resources_ == [1, 2, 4]
    assert search.best_estimator_["emb"].n_iter_ == 4


def test_permutation_importance_behind_the_embedding(embedding, iris):
    X, y = iris
    X = np.hstack([X[:, 2:], np.random.RandomState(0).randn(150, 2)])
    pipeline = make_pipeline(embedding(**SETTINGS), KNeighborsClassifier()).fit(X, y)
    importance = permutation_importance(pipeline, X, y, n_repeats=3, random_state=0)
    informative, noise = np.split(importance.importances_mean, 2)
    assert informative.min() > noise.max()


def test_search_among_modules_in_two_processes(embedding, iris):
    X, y = iris
    torch.manual_seed(0)
    modules = [nn.Linear(4, 2), nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))]
    pipeline = Pipeline(
        [("emb", embedding(max_iter=3, random_state=0)), ("knn", KNeighborsClassifier())]
    )
    found = [
        GridSearchCV(pipeline, {"emb__encoder": modules}, cv=2, n_jobs=n_jobs).fit(X, y)
        for n_jobs in (None, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in found]
    np.testing.assert_array_equal(*scores)
    best = found[1].best_params_["emb__encoder"]
    assert type(found[1].best_estimator_["emb"].network_) is type(best)


def test_clones_of_a_module_learn_the_same(embedding, iris):
    X, y = iris
    first = embedding(encoder=nn.Linear(4, 2), max_iter=2, random_state=0)
    second = clone(first)
    assert second.encoder is not first.encoder
    np.testing.assert_array_equal(first.fit_transform(X, y), second.fit_transform(X, y))
