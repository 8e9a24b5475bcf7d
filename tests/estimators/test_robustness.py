"""Tables as they come: what the default embedding makes of them."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional

from sknca import SNNLEmbedding, TripletEmbedding
from sknca.functional import soft_nearest_neighbor_loss

SETTINGS = {"max_iter": 10, "random_state": 0}


def accuracy(X, y, *steps, scoring=None):
    """By cross-validation, of nearest neighbors behind these steps."""
    pipeline = make_pipeline(*steps, KNeighborsClassifier())
    return cross_val_score(pipeline, X, y, cv=3, scoring=scoring).mean()


def of_codes(X, y, **options):
    return accuracy(X, y, SNNLEmbedding(random_state=0), **options)


def test_units_of_features_do_not_matter(iris):
    X, y = iris
    codes = SNNLEmbedding(**SETTINGS).fit(X, y).transform(X)
    in_other_units = X * [1e-6, 1.0, 2.0**10, 1e6]
    again = SNNLEmbedding(**SETTINGS).fit(in_other_units, y).transform(in_other_units)
    # About their mean, for the loss leaves it free to drift by rounding.
    np.testing.assert_allclose(again - again.mean(0), codes - codes.mean(0), rtol=1e-2, atol=1e-2)


def test_offsets_do_not_matter(iris):
    X, y = iris
    codes = SNNLEmbedding(**SETTINGS).fit(X, y).transform(X)
    far = X + np.array([1e6, -1e6, 0.0, 1e5])
    again = SNNLEmbedding(**SETTINGS).fit(far, y).transform(far)
    np.testing.assert_allclose(again, codes, rtol=1e-2, atol=1e-2)


def test_own_encoders_see_rows_as_they_are(iris):
    X, y = iris
    seen = []

    def encoder(d, k):
        module = torch.nn.Linear(d, k)
        module.register_forward_pre_hook(lambda _, args: seen.append(args[0].min().item()))
        return module

    SNNLEmbedding(encoder=encoder, max_iter=1).fit(X, y).transform(X)
    assert min(seen) == pytest.approx(X.min())


def test_heavy_tails(iris):
    X, y = iris
    rng = np.random.default_rng(0)
    X = np.hstack([X, rng.standard_cauchy((150, 2))])
    X[3, 1] = 1e30
    assert of_codes(X, y) > 0.85


def test_constant_columns(iris):
    X, y = iris
    X = np.hstack([X, np.full((150, 1), 1e6), np.zeros((150, 1))])
    assert of_codes(X, y) > 0.93


def test_more_features_than_rows():
    X, y = make_classification(60, 500, n_informative=20, class_sep=3, random_state=0)
    assert of_codes(X, y) > accuracy(X, y, StandardScaler()) - 0.1  # 20 rows tell little


def test_noise_features():
    X, y = make_classification(600, 5, n_informative=5, n_redundant=0, random_state=0)
    X = np.hstack([X, np.random.default_rng(0).normal(size=(600, 1000))])
    assert of_codes(X, y) > accuracy(X, y, StandardScaler())


def test_few_rows_of_many_classes():
    rng = np.random.default_rng(0)
    centers = 3 * rng.normal(size=(100, 20))
    y = np.repeat(np.arange(100), 5)
    X = centers[y] + rng.normal(size=(500, 20))
    assert of_codes(X, y) > 0.9


def test_imbalance():
    X, y = make_classification(2020, weights=[2000 / 2020], class_sep=2, random_state=0, flip_y=0)
    score = "balanced_accuracy"
    assert of_codes(X, y, scoring=score) > accuracy(X, y, StandardScaler(), scoring=score)


def test_shuffled_labels_are_seen_through(iris):
    X, y = iris
    shuffled = np.random.default_rng(0).permutation(y)
    X_val, y_val = X[::3], shuffled[::3]
    kept = np.arange(150) % 3 > 0
    embedding = SNNLEmbedding(random_state=0)
    embedding.fit(X[kept], shuffled[kept], X_val=X_val, y_val=y_val)
    losses = embedding.validation_loss_curve_
    assert losses[-1] > losses[0]  # while the training loss falls:
    assert embedding.loss_curve_[-1] < embedding.loss_curve_[0]
    knn = KNeighborsClassifier().fit(embedding.transform(X[kept]), shuffled[kept])
    assert knn.score(embedding.transform(X_val), y_val) < 0.5


def test_far_rows_are_reconstructed(iris):
    X, y = iris
    far = X + 1e6
    embedding = SNNLEmbedding(primary_loss="reconstruction", random_state=0).fit(far, y)
    again = embedding.inverse_transform(embedding.transform(far))
    assert np.abs(again - far).mean() < 0.3


def test_warm_start_keeps_the_center(iris):
    X, y = iris
    embedding = SNNLEmbedding(warm_start=True, max_iter=1, random_state=0).fit(X, y)
    embedding.set_params(learning_rate_init=1e-12)
    codes = embedding.transform(X)
    embedding.fit(X[:100], y[:100])  # of another mean
    np.testing.assert_allclose(embedding.transform(X), codes, atol=1e-5)


class InUnits(torch.nn.Linear):
    """A linear encoder that takes its rows in a unit."""

    def __init__(self, n_features, n_components, *, unit):
        super().__init__(n_features, n_components)
        self.unit = unit

    def forward(self, x):
        return super().forward(x / self.unit)


class TestAdversarialRadius:
    def accuracies(self, embedding, X, X_test, y, y_test):
        """Of 5 nearest neighbors, for test rows as they are, and for each moved by a length
        of 1.2 away from the codes of its class.
        """
        codes = torch.from_numpy(embedding.fit(X, y).transform(X))
        rows = torch.from_numpy(X_test - X.mean(0)).float().requires_grad_()
        soft_nearest_neighbor_loss(
            embedding.network_(rows),
            torch.from_numpy(y_test),
            neighbors=codes.float(),
            neighbor_labels=torch.from_numpy(y),
        ).backward()
        moved = X_test + 1.2 * functional.normalize(rows.grad, dim=1).numpy()
        knn = KNeighborsClassifier().fit(codes, y)
        return [knn.score(embedding.transform(rows), y_test) for rows in (X_test, moved)]

    @pytest.mark.parametrize("kind", [SNNLEmbedding, TripletEmbedding])
    def test_makes_codes_steady(self, kind):
        X, y = load_digits(return_X_y=True)
        X = StandardScaler().fit_transform(X)
        split = train_test_split(X, y, test_size=0.5, random_state=0, stratify=y)
        settings = {"max_iter": 30, "adversarial_fraction": 1, "random_state": 0}
        plain, plain_moved = self.accuracies(kind(adversarial_radius=0, **settings), *split)
        steady, steady_moved = self.accuracies(kind(adversarial_radius=2, **settings), *split)
        assert steady > plain - 0.01
        assert steady_moved > plain_moved + 0.08

    @pytest.mark.parametrize("units", [1e-20, 1e12, [1e-6, 1.0, 2.0**10, 1e6]])
    def test_is_in_standard_deviations(self, iris, units):
        X, y = iris
        embedding = SNNLEmbedding(adversarial_radius=0.5, **SETTINGS).fit(X, y)
        again = SNNLEmbedding(adversarial_radius=0.5, **SETTINGS).fit(X * units, y)
        assert again.loss_ == pytest.approx(embedding.loss_, rel=1e-3)

    def test_is_in_the_units_of_the_rows_with_an_encoder_of_ones_own(self, iris):
        X, y = iris
        first, second = (
            SNNLEmbedding(encoder=partial(InUnits, unit=unit), adversarial_radius=radius)
            .set_params(**SETTINGS)
            .fit(X * unit, y)
            for unit, radius in [(1.0, 0.5), (4.0, 2.0)]
        )
        assert second.loss_ == pytest.approx(first.loss_, rel=1e-5)

    @pytest.mark.parametrize(
        ("settings", "radius"),
        [({}, 0.7), ({"encoder": torch.nn.Linear}, 0.0), ({"hidden_layer_sizes": ()}, 0.0)],
    )
    @pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
    def test_auto(self, iris, settings, radius, metric):
        X, y = iris
        default = SNNLEmbedding(metric=metric, **settings, **SETTINGS)
        same = clone(default).set_params(adversarial_radius=radius)
        np.testing.assert_array_equal(default.fit_transform(X, y), same.fit_transform(X, y))
        other = same.set_params(adversarial_radius=0.3)
        assert not np.array_equal(default.transform(X), other.fit_transform(X, y))

    def test_auto_goes_by_the_encoder_that_training_continues(self, iris):
        X, y = iris
        losses = []
        for radius in ("auto", 0.0):
            embedding = SNNLEmbedding(encoder=torch.nn.Linear, warm_start=True, **SETTINGS)
            embedding.fit(X, y).set_params(adversarial_radius=radius)
            losses.append(embedding.fit(X, y).loss_curve_)
        assert losses[0] == losses[1]

    def test_fraction(self, iris):
        X, y = iris
        embedding = SNNLEmbedding(batch_size=32, **SETTINGS)
        quarter = embedding.fit_transform(X, y)
        some, all_batches = (
            embedding.set_params(adversarial_fraction=fraction).fit_transform(X, y)
            for fraction in (0.25, 1.0)
        )
        np.testing.assert_array_equal(quarter, some)
        assert not np.array_equal(quarter, all_batches)

    @pytest.mark.parametrize("fraction", [0, 1.5, np.nan])
    def test_refuses_other_fractions(self, iris, fraction):
        with pytest.raises(ValueError, match=f"'adversarial_fraction'.*Got {fraction} instead"):
            SNNLEmbedding(adversarial_fraction=fraction).fit(*iris)

    def test_the_same_seed_gives_the_same_codes(self, iris):
        X, y = iris
        embedding = SNNLEmbedding(adversarial_radius=0.1, **SETTINGS)
        np.testing.assert_array_equal(embedding.fit_transform(X, y), embedding.fit_transform(X, y))

    @pytest.mark.parametrize("primary_loss", [None, "reconstruction"])
    def test_needs_a_gradient(self, iris, primary_loss):
        X, y = iris

        class OfWholeNumbers(torch.nn.Linear):
            def forward(self, x):
                return super().forward(x.long().float())

        embedding = SNNLEmbedding(
            encoder=OfWholeNumbers, adversarial_radius=0.5, primary_loss=primary_loss
        )
        with pytest.raises(ValueError, match=r"adversarial_radius=0\.5 needs an encoder"):
            embedding.fit(X, y)
        assert not hasattr(embedding, "network_")
