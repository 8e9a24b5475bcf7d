"""What SNNLEmbedding does with tables as they come: wrong labels, rare classes, no labels."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_classification
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from sknca.fitting._training import Training
from sknca.functional import soft_nearest_neighbor_loss
from sknca.tables import weight_of_classes

EMBEDDINGS = [SNNLEmbedding, TripletEmbedding]


def with_noise(y, fraction, seed):
    """Labels, a part of which is replaced by another class's."""
    rng = np.random.default_rng(seed)
    n_classes = y.max() + 1
    wrong = rng.random(len(y)) < fraction
    return np.where(wrong, (y + rng.integers(1, n_classes, len(y))) % n_classes, y)


class TestWrongLabels:
    @pytest.mark.parametrize(
        ("load", "fraction", "slack"), [(load_breast_cancer, 0.2, 0.01), (load_digits, 0.4, 0.02)]
    )
    def test_no_worse_than_raw_neighbors(self, load, fraction, slack):
        X, y = load(return_X_y=True)
        scores = []
        for seed in range(3):
            A, B, a, b = train_test_split(X, y, test_size=0.5, stratify=y, random_state=seed)
            a = with_noise(a, fraction, seed)
            scores.append(
                [
                    make_pipeline(first, KNeighborsClassifier(15)).fit(A, a).score(B, b)
                    for first in (StandardScaler(), SNNLEmbedding(random_state=seed))
                ]
            )
        raw, embedded = np.mean(scores, axis=0)
        assert embedded >= raw - slack

    def test_memorizing_is_seen_and_ended(self):
        X, y = make_classification(
            600, 20, n_informative=3, n_redundant=0, class_sep=2.0, flip_y=0, random_state=0
        )
        noisy = SNNLEmbedding(random_state=0).fit(X, with_noise(y, 0.3, 0))
        clean = SNNLEmbedding(random_state=0).fit(X, y)
        assert noisy.overfits_
        assert noisy.n_iter_ == len(noisy.history_) < 20
        assert clean.overfits_ is False
        assert clean.n_iter_ == len(clean.history_) == 55

    def test_all_samples_are_trained_on_in_the_end(self):
        X, y = load_iris(return_X_y=True)
        seen = []

        class Spy(torch.nn.Linear):
            def forward(self, x):
                if self.training:
                    seen.append(len(x))
                return super().forward(x)

        SNNLEmbedding(encoder=Spy, random_state=0, max_iter=20).fit(X, y)
        assert seen[0] < len(X)
        assert seen[-1] == len(X)

    @pytest.mark.parametrize(
        "parameters",
        [
            {"early_stopping": False},
            {"tol": 1e-9},
            {"max_iter": 19},
            {"primary_loss": "reconstruction"},
            {"snnl_weight": -1.0, "metric": "cosine"},
        ],
    )
    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
    def test_not_watched(self, parameters):
        X, y = load_iris(return_X_y=True)
        parameters = {"max_iter": 20, "random_state": 0, **parameters}
        assert SNNLEmbedding(**parameters).fit(X, y).overfits_ is None

    def test_not_watched_with_few_samples_or_given_ones(self):
        X, y = load_iris(return_X_y=True)
        embedding = SNNLEmbedding(max_iter=20, random_state=0)
        assert embedding.fit(X[::2], y[::2]).overfits_ is None
        assert embedding.fit(X, y).overfits_ is False
        assert embedding.fit(X, y, X_val=X[::5], y_val=y[::5]).overfits_ is None

    def test_reproducible(self):
        X, y = make_classification(200, 20, flip_y=0.5, random_state=0)
        codes = [SNNLEmbedding(random_state=0).fit_transform(X, y) for _ in range(2)]
        np.testing.assert_array_equal(*codes)

    def test_interrupted_at_the_start_anew_what_was_learned_is_kept(self, monkeypatch):
        X, y = make_classification(400, 20, flip_y=0.5, random_state=0)
        begun = []
        begin = Training._begin

        def interrupted(self, *args, **kwargs):
            begun.append(1)
            if len(begun) > 1:
                raise KeyboardInterrupt
            return begin(self, *args, **kwargs)

        monkeypatch.setattr(Training, "_begin", interrupted)
        embedding = SNNLEmbedding(random_state=0)
        with pytest.raises(KeyboardInterrupt):
            embedding.fit(X, y)
        assert len(begun) == 2
        assert embedding.n_iter_ == 28
        assert np.isfinite(embedding.transform(X)).all()

    def test_an_encoder_that_takes_no_empty_batch(self):
        X, _ = load_iris(return_X_y=True)

        class Reshaping(torch.nn.Linear):
            def forward(self, x):
                return super().forward(x.reshape(len(x), -1))

        SNNLEmbedding(
            encoder=Reshaping, primary_loss="reconstruction", snnl_weight=0, max_iter=4
        ).fit(X)

    def test_with_the_cosine_clean_labels_need_no_q(self):
        X, y = load_iris(return_X_y=True)
        embedding = SNNLEmbedding(metric="cosine", random_state=0).fit(X[y != 1], y[y != 1])
        assert embedding._objective.q[-1] == 0

    def test_q_rises_to_its_value(self):
        X, y = load_iris(return_X_y=True)
        X = StandardScaler().fit_transform(X)
        losses = {}
        for q in (0.0, 1.0):
            embedding = SNNLEmbedding(
                q=q,
                hidden_layer_sizes=(),
                learning_rate_init=1e-12,
                max_iter=10,
                early_stopping=False,
                random_state=0,
            ).fit(X, y)
            losses[q] = embedding.loss_curve_
            codes = torch.from_numpy(embedding.transform(X))
            exact = soft_nearest_neighbor_loss(codes, torch.from_numpy(y), q=q).item()
            assert losses[q][-1] == pytest.approx(exact, rel=1e-4)
        assert losses[1.0][0] == pytest.approx(losses[0.0][0], rel=1e-6)
        assert losses[1.0][-1] < 0.9 * losses[0.0][-1]
        assert np.ptp(losses[0.0]) < 1e-4


class TestRareClasses:
    @pytest.fixture
    def table(self):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((6000, 24))  # sixteen features tell nothing
        y = (np.arange(6000) < 40).astype(int)
        X[y == 1, :8] = 0.8 * X[y == 1, :8] + 1.5
        return train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)

    @pytest.mark.parametrize("class_weight", [None, "balanced"])
    def test_they_are_ranked_better_than_by_raw_neighbors(self, table, class_weight):
        A, B, a, b = table
        scores = [
            average_precision_score(
                b,
                make_pipeline(*first, SoftNeighborsClassifier()).fit(A, a).predict_proba(B)[:, 1],
            )
            for first in ([], [SNNLEmbedding(class_weight=class_weight, random_state=0)])
        ]
        assert scores[1] > scores[0] + 0.1  # .73 and .90 to .97, by seed

    def test_class_weight_weighs_the_loss_and_not_the_neighbors(self):
        X, y = load_iris(return_X_y=True)
        X = StandardScaler().fit_transform(X)
        weights = {0: 1.0, 1: 3.0, 2: 0.5}
        embedding = SNNLEmbedding(
            class_weight=weights,
            q=0.0,
            hidden_layer_sizes=(),
            learning_rate_init=1e-12,
            max_iter=1,
            random_state=0,
        ).fit(X, y)
        codes = torch.from_numpy(embedding.transform(X))
        losses = soft_nearest_neighbor_loss(codes, torch.from_numpy(y), reduction="none").numpy()
        expected = np.average(losses, weights=np.array([1.0, 3.0, 0.5])[y])
        assert embedding.loss_ == pytest.approx(expected, rel=1e-4)

    def test_balanced_classes_need_no_weights(self):
        X, y = load_iris(return_X_y=True)
        codes = [
            SNNLEmbedding(class_weight=weights, max_iter=3, random_state=0).fit_transform(X, y)
            for weights in ("balanced", {0: 1, 1: 1, 2: 1})
        ]
        np.testing.assert_allclose(*codes, atol=1e-5)

    @pytest.mark.parametrize("weights", [{0: -1.0}, {0: np.nan}, {0: 0, 1: 0, 2: 0}])
    def test_weights_that_are_refused(self, weights):
        X, y = load_iris(return_X_y=True)
        with pytest.raises(ValueError, match="class_weight must contain finite"):
            SNNLEmbedding(class_weight=weights).fit(X, y)

    def test_validation_on_other_classes(self):
        X, y = load_iris(return_X_y=True)
        embedding = SNNLEmbedding(class_weight="balanced", max_iter=2, random_state=0)
        embedding.fit(X[y < 2], y[y < 2], X_val=np.vstack([X[y == 2]] * 2), y_val=[7, 8] * 50)
        assert np.isfinite(embedding.validation_loss_curve_).all()

    def test_they_weigh_the_cross_entropy_too(self):
        X, y = load_iris(return_X_y=True)
        losses = [
            SNNLEmbedding(
                primary_loss="classification",
                snnl_weight=0,
                class_weight=weights,
                max_iter=3,
                random_state=0,
            )
            .fit(X, y)
            .loss_
            for weights in (None, {0: 1, 1: 100, 2: 1})
        ]
        assert losses[0] != pytest.approx(losses[1], rel=1e-3)

    def test_balanced_is_of_what_an_epoch_takes(self):
        classes = np.arange(2)
        small = weight_of_classes("balanced", classes, np.array([200, 5]), 256)
        np.testing.assert_allclose(small * [200, 5], 102.5)
        large = weight_of_classes("balanced", classes, np.array([9000, 50]), 256)
        np.testing.assert_allclose(large * [1000, 50], 525)

    def test_a_class_that_is_not_there(self):
        X, y = load_iris(return_X_y=True)
        with pytest.raises(ValueError, match=r"not in y: \[7\]"):
            SNNLEmbedding(class_weight={0: 1, 1: 1, 2: 1, 7: 3}).fit(X, y)
        with pytest.raises(ValueError, match="class_weight"):
            SNNLEmbedding(class_weight={9: 1.0}).fit(X, y)


def markers(y, missing):
    """Labels some of which are missing, as different libraries write them."""
    names = np.array(["a", "b", "c"], dtype=object)[y]
    yield np.where(missing, np.nan, y), np.nan
    yield np.where(missing, None, names), np.nan
    yield np.where(missing, np.nan, names), np.nan
    yield pd.Series(y).astype("Int64").mask(missing), pd.NA
    yield pd.Series(names).mask(missing, None), pd.NA
    yield [np.nan if gone else str(name) for name, gone in zip(names, missing, strict=True)], np.nan
    yield np.where(missing, -1, y), -1
    yield np.where(missing, "?", names).astype(str), "?"


class TestNoLabel:
    @pytest.mark.parametrize("Embedding", EMBEDDINGS)
    @pytest.mark.parametrize("which", range(8))
    def test_samples_without_a_label_are_left_out(self, Embedding, which):
        X, y = load_iris(return_X_y=True)
        missing = np.random.default_rng(0).random(len(y)) < 0.4
        labels, unlabeled = list(markers(y, missing))[which]
        embedding = Embedding(
            unlabeled=unlabeled, spread_labels=False, max_iter=3, random_state=0
        ).fit(X, labels)
        alone = Embedding(max_iter=3, random_state=0).fit(X[~missing], y[~missing])
        np.testing.assert_allclose(embedding.transform(X), alone.transform(X), atol=1e-4)
        assert len(embedding.classes_) == 3

    @pytest.mark.parametrize("Embedding", EMBEDDINGS)
    @pytest.mark.parametrize("which", range(6))
    def test_missing_labels_need_the_parameter(self, Embedding, which):
        X, y = load_iris(return_X_y=True)
        labels, _ = list(markers(y, np.arange(len(y)) % 3 == 0))[which]
        with pytest.raises(ValueError, match=r"Input y contains NaN.*unlabeled=numpy\.nan"):
            Embedding().fit(X, labels)
        with pytest.raises(ValueError, match="y_val contains NaN"):
            Embedding().fit(X, np.array(["a", "b", "c"])[y], X_val=X, y_val=labels)

    @pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
    def test_a_column_of_labels(self):
        X, y = load_iris(return_X_y=True)
        column = np.where(np.arange(len(y)) % 3 == 0, np.nan, y)
        settings = {"unlabeled": np.nan, "max_iter": 2, "random_state": 0}
        codes = [
            SNNLEmbedding(**settings).fit(X, labels).transform(X)
            for labels in (column, column[:, None])
        ]
        np.testing.assert_array_equal(*codes)

    @pytest.mark.parametrize("Embedding", EMBEDDINGS)
    def test_all_labels_missing(self, Embedding):
        X, y = load_iris(return_X_y=True)
        with pytest.raises(ValueError, match="y contains no label"):
            Embedding(unlabeled=np.nan).fit(X, np.full(len(y), np.nan))

    @pytest.mark.parametrize("Embedding", EMBEDDINGS)
    def test_a_class_that_looks_like_a_marker_warns(self, Embedding):
        X, y = load_digits(return_X_y=True)
        y = np.where(np.random.default_rng(0).random(len(y)) < 0.85, -1, y)
        with pytest.warns(UserWarning, match=r"labels are -1.*set unlabeled=-1"):
            Embedding(max_iter=1).fit(X, y)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Embedding(max_iter=1, unlabeled=-1).fit(X, y)

    @pytest.mark.parametrize("classes", [[-1, 1, 1], [-1, 0, 1], [-2, -1, 0]])
    def test_classes_that_do_not_look_like_one(self, classes):
        X, y = load_iris(return_X_y=True)
        y = np.array(classes)[y]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            SNNLEmbedding(max_iter=1).fit(X, y)

    def test_layer_entanglement_leaves_them_out(self):
        X, y = load_iris(return_X_y=True)
        missing = np.arange(len(y)) % 3 == 0
        embedding = SNNLEmbedding(unlabeled=np.nan, max_iter=2, random_state=0)
        embedding.fit(X, np.where(missing, np.nan, y))
        found = embedding.layer_entanglement(X, np.where(missing, np.nan, y))
        alone = embedding.layer_entanglement(X[~missing], y[~missing])
        assert found == pytest.approx(alone)


def test_missing_values_by_an_imputer_with_an_indicator():
    X, y = load_iris(return_X_y=True)
    X = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    model = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True),
        SNNLEmbedding(random_state=0),
        KNeighborsClassifier(),
    )
    assert model.fit(X[::2], y[::2]).score(X[1::2], y[1::2]) > 0.85
