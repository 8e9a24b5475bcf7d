"""What SNNLEmbedding does: training, validation, stopping, continuing."""

import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from versions import needs_torch

from sknca import SNNLEmbedding, TripletEmbedding
from sknca.functional import soft_nearest_neighbor_loss
from sknca.tables import _tensors


def test_digits_before_knn():
    X, y = load_digits(return_X_y=True)
    knn = make_pipeline(StandardScaler(), SNNLEmbedding(random_state=0), KNeighborsClassifier())
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    assert cross_val_score(knn, X, y, cv=folds).mean() >= 0.98


def test_learns_a_code_that_no_linear_map_gives():
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, (1200, 2))
    y = (X[:, 0] > 0) ^ (X[:, 1] > 0)
    X = np.hstack([X, rng.uniform(-1, 1, (1200, 8))])  # and eight columns of noise
    scores = {}
    for sizes, max_iter in [((), 55), ((64,), 110)]:  # one number for a code is found slowly
        embedding = SNNLEmbedding(1, hidden_layer_sizes=sizes, max_iter=max_iter, random_state=0)
        knn = make_pipeline(embedding, KNeighborsClassifier()).fit(X[:800], y[:800])
        scores[sizes] = knn.score(X[800:], y[800:])
    assert scores[64,] > 0.9
    assert scores[()] < 0.7


def test_grid_search_over_temperature(iris):
    X, y = iris
    pipeline = Pipeline(
        [("emb", SNNLEmbedding(max_iter=5, random_state=0)), ("knn", KNeighborsClassifier())]
    )
    search = GridSearchCV(pipeline, {"emb__temperature": [0.1, 1.0]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.8
    assert search.best_estimator_["emb"].temperature_ == search.best_params_["emb__temperature"]


class TestTheTemperatureOfItsMetric:
    @pytest.mark.parametrize(("metric", "expected"), [("sqeuclidean", 1.0), ("cosine", 0.1)])
    @pytest.mark.parametrize("schedule", ["constant", "annealed"])
    def test_is_that_number(self, iris, metric, expected, schedule):
        settings = {"metric": metric, "temperature_schedule": schedule, "random_state": 0}
        fitted = [
            SNNLEmbedding(max_iter=3, **settings, **temperature).fit(*iris)
            for temperature in ({}, {"temperature": "auto"}, {"temperature": expected})
        ]
        for embedding in fitted:
            assert embedding.history_ == fitted[0].history_
            assert embedding.history_[0]["temperature"] == expected
            np.testing.assert_array_equal(*(e.transform(iris[0]) for e in (fitted[0], embedding)))

    def test_a_learned_one_starts_there(self, iris):
        embedding = SNNLEmbedding(
            metric="cosine", temperature_schedule="learned", max_iter=1, learning_rate_init=1e-12
        ).fit(*iris)
        assert embedding.temperature_ == pytest.approx(0.1)

    def test_cosine_is_as_good_by_default_as_the_squared_distance(self):
        X, y = make_classification(
            1100, 20, n_informative=12, n_redundant=0, n_classes=8, n_clusters_per_class=3,
            flip_y=0, class_sep=1.5, random_state=2,
        )  # fmt: skip
        scores = [
            make_pipeline(
                SNNLEmbedding(metric=metric, max_iter=20, random_state=0), KNeighborsClassifier()
            )
            .fit(X[:500], y[:500])
            .score(X[500:], y[500:])
            for metric in ("sqeuclidean", "cosine")
        ]
        assert scores[1] > scores[0] - 0.05  # 0.63 and 0.64; 0.46 with the temperature 1


def test_fitted_attributes(iris):
    X, y = iris
    embedding = SNNLEmbedding(max_iter=7, temperature=0.5, q=0, device="cpu", random_state=0)
    labels = np.array(["setosa", "versicolor", "virginica"])[y]
    assert embedding.fit(X, labels) is embedding
    assert embedding.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert embedding.n_features_in_ == 4
    assert embedding.n_iter_ == len(embedding.loss_curve_) == len(embedding.history_) == 7
    assert embedding.loss_ == embedding.loss_curve_[-1]
    assert embedding.best_loss_ == min(embedding.loss_curve_)
    assert embedding.loss_ < embedding.loss_curve_[0]
    assert embedding.validation_loss_curve_ is None
    assert embedding.temperature_ == 0.5
    assert embedding.device_ == torch.device("cpu")
    assert isinstance(embedding.network_, nn.Module)
    assert embedding.history_[3] == {
        "epoch": 3,
        "loss": embedding.loss_curve_[3],
        "temperature": 0.5,
        "q": 0.0,
        "learning_rate": embedding.history_[3]["learning_rate"],
        "validation_loss": None,
    }


class TestCodes:
    @pytest.mark.parametrize(("n_components", "width"), [(None, 4), (2, 2), (9, 9)])
    def test_width(self, iris, n_components, width):
        X, y = iris
        embedding = SNNLEmbedding(n_components, max_iter=1).fit(X, y)
        assert embedding.transform(X).shape == (150, width)
        names = [f"snnlembedding{i}" for i in range(width)]
        assert embedding.get_feature_names_out().tolist() == names

    def test_at_most_32_by_default(self):
        X, y = make_classification(n_features=40, random_state=0)
        assert SNNLEmbedding(max_iter=1).fit_transform(X, y).shape == (100, 32)

    def test_unit_length_under_cosine(self, iris):
        X, y = iris
        codes = SNNLEmbedding(metric="cosine", max_iter=2).fit(X, y).transform(X)
        np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, rtol=1e-6)

    def test_linear_map(self, iris):
        X, y = iris
        embedding = SNNLEmbedding(2, hidden_layer_sizes=(), max_iter=3).fit(X, y)
        origin = embedding.transform(np.zeros((1, 4)))
        halves = embedding.transform(X / 2) - origin
        np.testing.assert_allclose(2 * halves, embedding.transform(X) - origin, atol=1e-5)

    def test_full_batch_loss_is_the_loss_of_the_codes(self, iris):
        X, y = iris
        embedding = SNNLEmbedding(
            dropout=0, batch_size=150, max_iter=1, temperature=2.0, random_state=0
        ).fit(X, y)
        # One step changes the codes; the loss was taken before it, on the initial ones.
        before = SNNLEmbedding(
            dropout=0, batch_size=150, max_iter=1, learning_rate_init=1e-12, random_state=0
        ).fit(X, y)
        codes = torch.tensor(before.transform(X))
        loss = soft_nearest_neighbor_loss(codes, torch.tensor(y), 2.0)
        assert embedding.loss_ == pytest.approx(loss.item(), rel=1e-4)


class Integers(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)

    def forward(self, x):
        return super().forward(x).long()


class TestEncoder:
    def test_callable(self, iris):
        X, y = iris
        seen = []

        def encoder(n_features, n_components):
            seen.append((n_features, n_components))
            return nn.Linear(n_features, n_components)

        embedding = SNNLEmbedding(3, encoder=encoder, max_iter=2).fit(X, y)
        assert seen == [(4, 3)]
        assert isinstance(embedding.network_, nn.Linear)

    def test_module_is_copied(self, iris):
        X, y = iris
        module = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
        before = {name: value.clone() for name, value in module.state_dict().items()}
        embedding = SNNLEmbedding(encoder=module, max_iter=5, device="cpu").fit(X, y)
        assert module.training
        for name, value in module.state_dict().items():
            assert torch.equal(value, before[name])
        assert not torch.equal(embedding.network_[0].weight, module[0].weight)
        assert embedding.transform(X).shape == (150, 2)  # its own width, unasked

    def test_lazy_and_float64_modules(self, iris):
        X, y = iris
        module = nn.Sequential(nn.LazyLinear(8, dtype=torch.float64), nn.ReLU(), nn.LazyLinear(2))
        codes = SNNLEmbedding(encoder=module, max_iter=2).fit(X, y).transform(X)
        assert np.isfinite(codes).all()

    def test_frozen_parameters_stay(self, iris):
        X, y = iris
        module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        module[0].requires_grad_(False)
        embedding = SNNLEmbedding(encoder=module, max_iter=2, device="cpu").fit(X, y)
        assert torch.equal(embedding.network_[0].weight, module[0].weight)
        assert not torch.equal(embedding.network_[2].weight, module[2].weight)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"encoder": lambda d, k: "no"}, "encoder must return a torch.nn.Module, got 'no'"),
            ({"encoder": nn.Linear(5, 2)}, "encoder fails on samples of 4 features"),
            ({"encoder": nn.Linear(4, 2), "n_components": 3}, r"3\), got torch.float32 of .*2, 2"),
            ({"encoder": nn.Flatten(0)}, r"n_components\), got torch.float32 of shape \(8,\)"),
            ({"encoder": Integers()}, "got torch.int64 of shape"),
            ({"encoder": nn.Identity()}, "encoder has no trainable parameter"),
        ],
    )
    def test_refuses(self, iris, parameters, message):
        with pytest.raises(ValueError, match=message):
            SNNLEmbedding(**parameters).fit(*iris)


class TestValidation:
    def test_early_stopping_keeps_the_best(self, iris):
        X, y = iris
        embedding = SNNLEmbedding(
            early_stopping=True, max_iter=500, n_iter_no_change=5, random_state=0
        ).fit(X, y)
        curve = embedding.validation_loss_curve_
        assert len(curve) == embedding.n_iter_ < 500
        assert min(curve) < curve[0]
        assert int(np.argmin(curve)) == embedding.n_iter_ - 6

    def test_loss_is_that_of_held_out_rows_among_training_rows(self, iris):
        X, y = iris
        train, val = slice(None, None, 2), slice(1, None, 2)
        embedding = SNNLEmbedding(max_iter=5, temperature=0.7, random_state=0)
        embedding.fit(X[train], y[train], X_val=X[val], y_val=y[val])
        loss = soft_nearest_neighbor_loss(
            torch.tensor(embedding.transform(X[val])),
            torch.tensor(y[val]),
            0.7,
            neighbors=torch.tensor(embedding.transform(X[train])),
            neighbor_labels=torch.tensor(y[train]),
        )
        assert min(embedding.validation_loss_curve_) == pytest.approx(loss.item(), rel=1e-4)

    def test_validation_data_do_not_stop_unasked(self, iris):
        X, y = iris
        embedding = SNNLEmbedding(max_iter=30, n_iter_no_change=1, learning_rate_init=0.1)
        embedding.fit(X, y, X_val=X, y_val=y)
        assert embedding.n_iter_ == 30

    @pytest.mark.parametrize("seed", range(5))
    def test_held_out_rows_have_positives_in_training(self, seed):
        X, y = np.random.RandomState(0).randn(6, 3), [0, 0, 1, 1, 2, 2]
        embedding = SNNLEmbedding(early_stopping=True, max_iter=2, random_state=seed)
        with pytest.warns(ConvergenceWarning):
            embedding.fit(X, y)
        assert min(embedding.validation_loss_curve_) > 0

    @pytest.mark.parametrize("stopping", [{"early_stopping": True}, {"tol": 0.0}])
    def test_warns_only_if_stopping_was_asked_for(self, iris, stopping):
        with pytest.warns(ConvergenceWarning, match=r"max_iter=2\) reached"):
            SNNLEmbedding(max_iter=2, **stopping).fit(*iris)

    def test_tol_stops(self, iris):
        embedding = SNNLEmbedding(max_iter=200, tol=0.5, n_iter_no_change=4, random_state=0)
        assert embedding.fit(*iris).n_iter_ < 200

    @pytest.mark.parametrize(
        ("validation", "message"),
        [
            ({"X_val": np.ones((2, 4))}, "X_val and y_val must be given together"),
            ({"y_val": [0, 1]}, "X_val and y_val must be given together"),
            ({"X_val": np.ones((2, 3)), "y_val": [0, 1]}, "X has 3 features, but SNNLEmbedding"),
            ({"X_val": np.ones((2, 4)), "y_val": [0, 9]}, r"y_val contains .* not in y: \[9\]"),
            ({"X_val": np.full((2, 4), np.nan), "y_val": [0, 1]}, "Input X_val contains NaN"),
            ({"X_val": np.ones((2, 4)), "y_val": [0]}, "inconsistent numbers of samples"),
        ],
    )
    def test_refuses(self, iris, validation, message):
        with pytest.raises(ValueError, match=message):
            SNNLEmbedding().fit(*iris, **validation)


class TestSampleWeight:
    def test_only_ratios_count(self, iris):
        X, y = iris
        weight = np.random.RandomState(0).uniform(0.5, 2, 150)
        codes = [
            SNNLEmbedding(max_iter=3, random_state=0).fit(X, y, sample_weight=w).transform(X)
            for w in (weight, 8 * weight)
        ]
        np.testing.assert_array_equal(codes[0], codes[1])

    def test_rows_of_no_weight_are_not_learned_from(self, iris):
        X, y = iris
        weight = np.ones(150)
        weight[::3] = 0
        wrong = y.copy()
        wrong[::3] = 2 - wrong[::3]
        settings = {"dropout": 0, "batch_size": 150, "max_iter": 20, "random_state": 0}
        codes = [
            SNNLEmbedding(**settings).fit(X, labels, sample_weight=w).transform(X)
            for labels, w in [(y, weight), (wrong, weight), (wrong, None)]
        ]
        np.testing.assert_allclose(codes[0], codes[1], atol=0.01)
        assert not np.allclose(codes[0], codes[2], atol=0.5)

    def test_rows_of_no_weight_are_no_rows(self, iris):
        X, y = iris
        with pytest.raises(ValueError, match="greater than one; got 1 class"):
            SNNLEmbedding().fit(X, y, sample_weight=y == 0)
        weight = np.zeros(150)
        weight[::10] = 1
        embedding = SNNLEmbedding(early_stopping=True, max_iter=60, random_state=4)
        embedding.fit(X, y, sample_weight=weight)
        assert min(embedding.validation_loss_curve_) > 0

    @needs_torch("2.11", "the same rounding with weights of 1 and without")
    def test_huge_weights(self, iris):
        X, y = iris
        embedding = SNNLEmbedding(max_iter=3, random_state=0)
        loss = embedding.fit(X, y).loss_
        assert embedding.fit(X, y, sample_weight=np.full(150, 1e308)).loss_ == loss

    def test_refuses_negative(self, iris):
        with pytest.raises(ValueError, match="sample_weight"):
            SNNLEmbedding().fit(*iris, sample_weight=-np.ones(150))


class TestWarmStart:
    def test_continues(self, iris):
        X, y = iris
        embedding = SNNLEmbedding(warm_start=True, max_iter=20, random_state=0).fit(X, y)
        first, network = embedding.loss_curve_, embedding.network_
        embedding.fit(X, y)
        assert embedding.loss_curve_[0] < first[0] / 2
        assert embedding.n_iter_ == 20
        assert embedding.network_ is not network

    def test_without_it_a_fit_forgets(self, iris):
        X, y = iris
        embedding = SNNLEmbedding(max_iter=5, random_state=0).fit(X, y)
        first = embedding.loss_curve_
        assert embedding.fit(X, y).loss_curve_ == first

    def test_with_another_metric(self, iris):
        X, y = iris
        embedding = SNNLEmbedding(warm_start=True, max_iter=2).fit(X, y)
        codes = embedding.set_params(metric="cosine").fit(X, y).transform(X)
        np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, rtol=1e-6)
        codes = embedding.set_params(metric="sqeuclidean").fit(X, y).transform(X)
        assert np.ptp(np.linalg.norm(codes, axis=1)) > 0.1

    def test_refuses_other_features(self, iris):
        X, y = iris
        embedding = SNNLEmbedding(warm_start=True, max_iter=2).fit(X, y)
        with pytest.raises(ValueError, match="X has 3 features, but SNNLEmbedding is expecting 4"):
            embedding.fit(X[:, :3], y)


@pytest.mark.parametrize(
    "embedding",
    [
        SNNLEmbedding(2),
        SNNLEmbedding(2, layers="all", metric="cosine", temperature=0.1),
        SNNLEmbedding(2, primary_loss="reconstruction"),
        TripletEmbedding(2),
        TripletEmbedding(2, metric="cosine"),
    ],
    ids=str,
)
class TestValidationOnClassesThatAreNotTrainedOn:
    """As in retrieval: their rows look for neighbors among themselves."""

    @pytest.fixture
    def digits(self):
        X, y = load_digits(return_X_y=True)
        X, y = X[:600] / 16, y[:600].astype(str)
        seen = np.isin(y, list("012345"))
        return X[seen], y[seen], {"X_val": X[~seen], "y_val": y[~seen]}

    def test_the_best_epoch_is_kept(self, digits, embedding):
        X, y, validation = digits
        embedding.set_params(max_iter=8, random_state=0).fit(X, y, **validation)
        losses = embedding.validation_loss_curve_
        assert len(losses) == 8
        assert np.isfinite(losses).all()
        assert set(embedding.classes_) == set("012345")
        if isinstance(embedding, SNNLEmbedding) and embedding.primary_loss is None:
            # That of the best epoch: among themselves, and no row its own neighbor.
            codes = embedding.transform(validation["X_val"])
            if embedding.layers == "last":
                _, labels = np.unique(validation["y_val"], return_inverse=True)
                z, temperature = torch.from_numpy(codes), embedding.temperature_
                loss = soft_nearest_neighbor_loss(z, torch.from_numpy(labels), temperature)
                assert loss.item() == pytest.approx(min(losses), rel=1e-4)

    def test_it_stops_early(self, digits, embedding):
        X, y, validation = digits
        embedding.set_params(max_iter=60, early_stopping=True, n_iter_no_change=2)
        embedding.set_params(random_state=0, learning_rate_init=0.03).fit(X, y, **validation)
        assert embedding.n_iter_ < 60

    def test_some_seen_and_some_not_are_refused(self, digits, embedding):
        X, y, validation = digits
        mixed = validation | {"y_val": np.where(validation["y_val"] == "6", "1", "9")}
        with pytest.raises(ValueError, match=r"not in y: \['9'\]\. Either all labels of y_val"):
            embedding.fit(X, y, **mixed)

    @pytest.mark.parametrize("labels", [["6"], ["6", "6"], ["6", "7"]])
    def test_too_little_to_compare_is_refused(self, digits, embedding, labels):
        X, y, validation = digits
        X_val = validation["X_val"][: len(labels)]
        with pytest.raises(ValueError, match="two samples of one of them; got classes"):
            embedding.fit(X, y, X_val=X_val, y_val=labels)


def test_a_classification_has_no_other_classes(iris):
    X, y = iris
    embedding = SNNLEmbedding(primary_loss="classification")
    with pytest.raises(ValueError, match=r"y_val contains labels that are not in y: \[2\]\.$"):
        embedding.fit(X[y < 2], y[y < 2], X_val=X[y == 2], y_val=y[y == 2])


def two_layers(n_features, n_components):
    return nn.Sequential(nn.Linear(n_features, 8), nn.ReLU(), nn.Linear(8, n_components))


class TestWarmStartRefusesAnotherNetwork:
    @pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
    @pytest.mark.parametrize(
        ("fitted", "asked"),
        [
            ({}, {"hidden_layer_sizes": (5,)}),
            ({}, {"hidden_layer_sizes": ()}),
            ({"hidden_layer_sizes": ()}, {"hidden_layer_sizes": (5,)}),
            ({}, {"activation": "tanh"}),
            ({}, {"dropout": 0.5}),
            ({}, {"n_components": 2}),
            ({"n_components": 2}, {"n_components": None}),
            ({}, {"encoder": two_layers}),
            ({"encoder": two_layers}, {"encoder": None}),
            ({"encoder": two_layers}, {"encoder": nn.Linear}),
            ({"encoder": two_layers}, {"n_components": 3}),
            ({"encoder": nn.Linear(4, 2)}, {"encoder": nn.Linear(4, 2)}),
            ({"encoder": nn.Linear(4, 2)}, {"n_components": 3}),
        ],
    )
    def test_it_names_the_parameter(self, iris, metric, fitted, asked):
        embedding = SNNLEmbedding(metric=metric, warm_start=True, max_iter=1, **fitted).fit(*iris)
        before = vars(embedding.set_params(**asked)).copy()
        (name,) = asked
        with pytest.raises(ValueError, match=f"warm_start=True continues a network with {name}="):
            embedding.fit(*iris)
        assert vars(embedding) == before

    @pytest.mark.parametrize("parameters", [{}, {"encoder": two_layers}, {"n_components": 2}])
    def test_what_means_the_same_is_the_same(self, iris, parameters):
        embedding = SNNLEmbedding(warm_start=True, max_iter=1, **parameters).fit(*iris)
        again = pickle.loads(pickle.dumps(embedding))
        again.set_params(
            hidden_layer_sizes=[256, 256], n_components=again.transform(iris[0]).shape[1]
        )
        again.fit(*iris).fit(*iris)


class Interrupting(nn.Linear):
    """Where the user presses Ctrl-C at a step."""

    steps = math.inf

    def forward(self, x):
        if self.training:
            Interrupting.steps -= 1
            if Interrupting.steps < 0:
                raise KeyboardInterrupt
        return super().forward(x)


class TestInterruption:
    @pytest.fixture
    def embedding(self):
        return SNNLEmbedding(encoder=Interrupting, batch_size=150, random_state=0)

    def test_keeps_what_was_learned(self, iris, embedding):
        X, y = iris
        Interrupting.steps = 3
        with pytest.raises(KeyboardInterrupt, match="3 epochs are kept"):
            embedding.fit(X, y)
        assert embedding.n_iter_ == len(embedding.loss_curve_) == 3
        assert all(p.grad is None for p in embedding.network_.parameters())
        assert np.isfinite(embedding.transform(X)).all()

    def test_after_the_last_epoch_keeps_what_was_learned(self, iris, monkeypatch):
        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("sknca.fitting._training.out_of_bag", interrupt)
        embedding = SNNLEmbedding(n_members=2, max_iter=3, random_state=0)
        with pytest.raises(KeyboardInterrupt, match="3 epochs are kept"):
            embedding.fit(*iris)
        assert embedding.n_iter_ == 3
        assert not hasattr(embedding, "oob_member_")

    @pytest.mark.parametrize("fitted", [False, True])
    def test_in_the_first_epoch_leaves_the_estimator_as_it_was(self, iris, embedding, fitted):
        X, y = iris
        if fitted:
            Interrupting.steps = math.inf
            embedding.set_params(max_iter=2).fit(X, y)
        before = vars(embedding).copy()
        Interrupting.steps = 0
        with pytest.raises(KeyboardInterrupt):
            embedding.fit(X, y)
        assert vars(embedding) == before

    def test_one_press_ends_a_search(self, iris, embedding):
        X, y = iris
        pipeline = make_pipeline(embedding, KNeighborsClassifier())
        Interrupting.steps = 3
        with pytest.raises(KeyboardInterrupt):
            GridSearchCV(pipeline, {"snnlembedding__temperature": [0.5, 1.0]}, cv=2).fit(X, y)
        assert Interrupting.steps == -1  # no step after that one


def test_an_error_leaves_the_estimator_as_it_was(iris):
    X, y = iris
    embedding = SNNLEmbedding(max_iter=2, random_state=0).fit(X, y)
    before, codes = embedding.__dict__.copy(), embedding.transform(X)
    with pytest.raises(ValueError, match="greater than one"):
        embedding.fit(X[:, :2], np.zeros(150))
    assert embedding.__dict__ == before
    np.testing.assert_array_equal(embedding.transform(X), codes)


def test_divergence_is_an_error(iris):
    X, y = iris
    for rate in (1e30, 100.0):
        embedding = SNNLEmbedding(learning_rate_init=rate)
        with pytest.raises(ValueError, match="diverged.*learning_rate_init"):
            embedding.fit(X, y)
        assert not hasattr(embedding, "network_")


@pytest.mark.cuda
def test_cuda_learns_the_same(iris):
    X, y = iris
    settings = {"dropout": 0, "max_iter": 5, "random_state": 0}
    codes = [SNNLEmbedding(device=d, **settings).fit(X, y).transform(X) for d in ("cpu", "cuda")]
    assert np.linalg.norm(codes[0] - codes[1]) < 0.01 * np.linalg.norm(codes[0])


@pytest.mark.cuda
def test_cuda_learns_the_same_from_rows_that_do_not_fit(iris, monkeypatch):
    X, y = iris
    settings = {"device": "cuda", "max_iter": 5, "batch_size": 32, "random_state": 0}
    resident = SNNLEmbedding(**settings).fit(X, y).transform(X)
    monkeypatch.setattr(_tensors, "room_on", lambda device: 100)
    streamed = SNNLEmbedding(**settings).fit(X, y).transform(X)
    np.testing.assert_allclose(streamed, resident, rtol=1e-3, atol=1e-4)


def test_epochs_by_the_number_of_batches(iris):
    assert SNNLEmbedding(random_state=0).fit(*iris).n_iter_ == 55
    assert SNNLEmbedding()._plan().number_of_epochs(1_000_000) == 8
    assert SNNLEmbedding(batch_size=1000)._plan().number_of_epochs(80_000) == 55
    assert SNNLEmbedding(batch_size=1000)._plan().number_of_epochs(320_000) == 28
    assert SNNLEmbedding(max_iter=7)._plan().number_of_epochs(1_000_000) == 7
    assert TripletEmbedding()._plan().number_of_epochs(100) == 75


@pytest.mark.filterwarnings("ignore:Maximum iterations")
@pytest.mark.parametrize("early_stopping", [True, False])
def test_booleans_of_numpy(iris, early_stopping):
    """As a search over an array of them sets them."""
    settings = {"max_iter": 3, "random_state": 0}
    plain = SNNLEmbedding(early_stopping=early_stopping, **settings).fit(*iris)
    numpy = SNNLEmbedding(early_stopping=np.bool_(early_stopping), **settings).fit(*iris)
    assert numpy.history_ == plain.history_
    assert (numpy.history_[0]["validation_loss"] is not None) is early_stopping
