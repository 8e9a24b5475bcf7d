"""Warnings are given, point at the user's line, and are never for nothing."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding, load, save


@pytest.fixture
def not_converged():
    return SNNLEmbedding(tol=1e-6, max_iter=1)


class TestTheyPointAtTheUsersLine:
    @pytest.fixture(autouse=True)
    def here(self):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        assert caught
        assert {warning.filename for warning in caught} == {__file__}

    def test_convergence(self, iris, not_converged):
        not_converged.fit(*iris)

    def test_fit_transform(self, iris, not_converged):
        not_converged.fit_transform(*iris)

    def test_in_a_pipeline(self, iris, not_converged):
        make_pipeline(StandardScaler(), not_converged, KNeighborsClassifier()).fit(*iris)

    def test_in_a_cross_validation(self, iris, not_converged):
        cross_val_score(make_pipeline(not_converged, KNeighborsClassifier()), *iris, cv=2)

    def test_no_lower_bound(self, iris):
        SNNLEmbedding(snnl_weight=-1, max_iter=1, learning_rate_init=1e-6).fit(*iris)

    @pytest.mark.parametrize("kind", [SNNLEmbedding, TripletEmbedding])
    def test_a_column_of_labels(self, iris, kind):
        X, y = iris
        kind(max_iter=1).fit(X, y[:, None])
        kind(max_iter=1).fit(X, y, X_val=X, y_val=y[:, None])
        SoftNeighborsClassifier().fit(X, y[:, None])

    def test_a_device_that_is_not_there(self, iris, tmp_path):
        embedding = SNNLEmbedding(max_iter=1).fit(*iris)
        embedding.device_ = torch.device("cuda:99")
        pickle.loads(pickle.dumps(embedding))
        save(embedding, tmp_path / "file")
        load(tmp_path / "file")


def test_a_column_of_labels_is_warned_of_in_the_words_of_scikit_learn(iris):
    X, y = iris
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed when a 1d array"):
        SNNLEmbedding(max_iter=1).fit(X, y[:, None])


@pytest.mark.parametrize("estimator", [SNNLEmbedding(max_iter=1), SoftNeighborsClassifier()])
def test_many_small_classes_are_nothing_to_warn_of(estimator):
    X = np.random.RandomState(0).randn(60, 3)
    estimator.fit(X, np.r_[np.arange(40), np.arange(20)])


class TestValidationRowsThatDoNotLookLikeTheTrainingRows:
    """As those that a pipeline passes on without scaling them."""

    @pytest.fixture
    def digits(self):
        X, y = load_digits(return_X_y=True)
        return X[::3], y[::3], X[1::3], y[1::3]

    def fit(self, scaler, digits, X_val, **options):
        X, y, _, y_val = digits
        pipeline = make_pipeline(scaler, SNNLEmbedding(max_iter=1, random_state=0))
        pipeline.fit(X, y, snnlembedding__X_val=X_val, snnlembedding__y_val=y_val, **options)

    @pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()])
    def test_they_are_warned_of(self, digits, scaler):
        with pytest.warns(UserWarning, match="X_val does not look like X"):
            self.fit(scaler, digits, digits[2])

    @pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler()])
    @pytest.mark.parametrize("rows", [slice(None), slice(10), slice(1)])
    def test_others_are_not(self, digits, scaler, rows):
        X_val = scaler.fit(digits[0]).transform(digits[2])[rows]
        X, y, _, y_val = digits
        embedding = SNNLEmbedding(max_iter=1, random_state=0)
        embedding.fit(scaler.transform(X), y, X_val=X_val, y_val=y_val[rows])

    @pytest.mark.parametrize("dirty", ["training", "validation"])
    def test_nor_one_bad_row_and_a_constant_column(self, iris, dirty):
        X, y = iris
        X = np.hstack([X, np.ones((150, 1))])
        bad = X.copy()
        bad[7] *= 1e4
        X, X_val = (bad, X) if dirty == "training" else (X, bad)
        SNNLEmbedding(max_iter=1).fit(X, y, X_val=X_val, y_val=y)


def test_convergence_is_warned_of_once(iris, not_converged):
    with pytest.warns(ConvergenceWarning) as caught:
        not_converged.fit(*iris)
    assert len(caught) == 1
