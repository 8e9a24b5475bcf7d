"""SNNL in every layer, with every kind of temperature, beside a primary loss, with few labels."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils import get_tags
from torch import nn

from sknca import SNNLEmbedding
from sknca.metrics import entanglement_score
from sknca.objectives import q_plan


def embed(**parameters):
    settings = {"hidden_layer_sizes": (16, 8), "dropout": 0.0, "max_iter": 10, "random_state": 0}
    return SNNLEmbedding(**{**settings, **parameters})


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)])

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Recurrent(nn.Module):
    """Its hidden layer outputs a tuple, and has the name of the code."""

    def __init__(self):
        super().__init__()
        self.code = nn.LSTM(1, 5, batch_first=True)
        self.out = nn.Linear(5, 2)

    def forward(self, x):
        return self.out(self.code(x[:, :, None])[0][:, -1])


class TestTemperatureSchedule:
    def test_annealed(self, iris):
        embedding = embed(temperature_schedule="annealed", temperature=2.0).fit(*iris)
        temperatures = [record["temperature"] for record in embedding.history_]
        assert temperatures == pytest.approx([2 / (1 + epoch) ** 0.55 for epoch in range(10)])
        assert embedding.temperature_ == temperatures[-1]

    def test_callable_sees_every_epoch_once(self, iris):
        seen = []

        def schedule(epoch):
            seen.append(epoch)
            return 3.0 - 0.1 * epoch

        embedding = embed(temperature_schedule=schedule).fit(*iris)
        assert seen == list(range(10))
        assert embedding.temperature_ == pytest.approx(2.1)

    @pytest.mark.parametrize("bad", [0, -1, np.nan, np.inf, None])
    def test_refuses(self, iris, bad):
        embedding = embed(temperature_schedule=lambda epoch: 1.0 if epoch < 5 else bad)
        with pytest.raises(ValueError, match=r"positive temperatures, got .* for epoch 5"):
            embedding.fit(*iris)

    def test_learned(self, iris):
        embedding = embed(temperature_schedule="learned", max_iter=50).fit(*iris)
        assert isinstance(embedding.temperature_, float)
        assert embedding.temperature_ != 1.0
        assert embedding.history_[-1]["temperature"] == embedding.temperature_

    def test_one_is_learned_for_each_layer(self, iris):
        embedding = embed(temperature_schedule="learned", layers="all").fit(*iris)
        assert embedding.temperature_.shape == (3,)
        assert len(set(embedding.temperature_)) == 3
        assert embedding.history_[-1]["temperature"] == embedding.temperature_.tolist()

    def test_warm_start_goes_on_with_what_was_learned(self, iris):
        embedding = embed(temperature_schedule="learned", warm_start=True, max_iter=50).fit(*iris)
        learned = embedding.temperature_
        embedding.set_params(max_iter=1, learning_rate_init=1e-9).fit(*iris)
        assert embedding.temperature_ == pytest.approx(learned)

    def test_validation_goes_by_the_last_epoch(self, iris):
        X, y = iris
        # A network that does not learn: its validation loss moves with the temperature alone.
        embedding = embed(temperature_schedule="annealed", learning_rate_init=1e-12)
        curve = embedding.fit(X, y, X_val=X, y_val=y).validation_loss_curve_
        assert curve == pytest.approx([curve[0]] * 10, rel=1e-5)


class TestLayers:
    def test_all_layers_of_an_own_encoder(self, iris):
        X, y = iris
        first = embed(layers="all", max_iter=1, batch_size=150).fit(X, y).loss_
        parts = [
            embed(layers=[layer], max_iter=1, batch_size=150).fit(X, y).loss_
            for layer in ("hidden.0", "hidden.1", "code")
        ]
        assert first == pytest.approx(sum(parts), rel=1e-5)

    @pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
    def test_names_of_a_custom_encoder(self, iris, metric):
        module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        embedding = embed(encoder=module, layers=["1", "code"], metric=metric).fit(*iris)
        assert embedding.loss_ < embedding.loss_curve_[0]
        assert list(embedding.layer_entanglement(*iris)) == ["input", "0", "1", "code"]

    def test_modules_that_work_in_place(self, iris):
        losses = []
        for inplace in (False, True):
            torch.manual_seed(0)
            module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=inplace), nn.Linear(8, 2))
            losses.append(embed(encoder=module, layers=["0"], max_iter=3).fit(*iris).loss_curve_)
        assert losses[0] == losses[1]

    def test_an_array_of_indices(self, iris):
        X, y = iris
        loss = embed(layers=[0, 1], max_iter=1).fit(X, y).loss_
        assert embed(layers=np.array([0, 1]), max_iter=1).fit(X, y).loss_ == loss

    @pytest.mark.parametrize("layers", [["nowhere"], [3], [], [0.5], [1, "code", -1]])
    def test_refuses(self, iris, layers):
        with pytest.raises(ValueError, match="layers"):
            embed(layers=layers).fit(*iris)

    def test_code_units(self, iris):
        X, y = iris
        first = embed(code_units=1, max_iter=1, batch_size=150).fit(X, y).loss_
        assert first != embed(max_iter=1, batch_size=150).fit(X, y).loss_
        assert embed(code_units=99, max_iter=1).fit(X, y).n_iter_ == 1


class TestEntangling:
    def test_a_negative_weight_entangles_where_a_positive_one_disentangles(self, iris):
        X, y = iris
        entanglement = {}
        for snnl_weight in (1.0, 0.0, -1.0):
            embedding = embed(
                metric="cosine",
                primary_loss="reconstruction",
                snnl_weight=snnl_weight,
                max_iter=200,
            ).fit(X, y)
            entanglement[snnl_weight] = embedding.layer_entanglement(X, y, temperature=0.1)["code"]
        assert entanglement[1.0] < entanglement[0.0] - 0.05
        assert entanglement[-1.0] > entanglement[0.0] + 0.05

    def test_warns_where_there_is_no_lower_bound(self, iris):
        with pytest.warns(UserWarning, match="no lower bound.*metric='cosine'"):
            embed(snnl_weight=-0.1, primary_loss="classification", max_iter=2).fit(*iris)


class TestReconstruction:
    @pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
    def test_round_trip(self, iris, metric):
        X, y = iris
        embedding = embed(
            n_components=4,
            metric=metric,
            primary_loss="reconstruction",
            snnl_weight=0.01,
            max_iter=300,
            learning_rate_init=1e-2,
        ).fit(X, y)
        codes = embedding.transform(X)
        back = embedding.inverse_transform(codes)
        assert back.shape == X.shape
        assert back.dtype == np.float64
        assert np.mean((back - X) ** 2) < 0.1  # the features have variance 1
        assert embedding.inverse_transform(codes.astype(np.float32)).dtype == np.float32
        np.testing.assert_array_equal(
            pickle.loads(pickle.dumps(embedding)).inverse_transform(codes), back
        )

    def test_parts_are_recorded(self, iris):
        embedding = embed(primary_loss="reconstruction", snnl_weight=0.3).fit(*iris)
        for record in embedding.history_:
            total = record["reconstruction"] + 0.3 * record["snnl"]
            assert record["loss"] == pytest.approx(total, rel=1e-5)

    def test_decoder_of_the_users_own(self, iris):
        seen = []

        def decoder(n_components, n_features):
            seen.append((n_components, n_features))
            return nn.Linear(n_components, n_features)

        embedding = embed(n_components=2, primary_loss="reconstruction", decoder=decoder)
        embedding.fit(*iris)
        assert seen == [(2, 4)]
        assert isinstance(embedding.decoder_, nn.Linear)

    def test_decoder_module_is_copied(self, iris):
        module = nn.Linear(2, 4)
        embedding = embed(n_components=2, primary_loss="reconstruction", decoder=module)
        embedding.fit(*iris)
        assert embedding.decoder_ is not module
        assert not torch.equal(embedding.decoder_.weight, module.weight)

    @pytest.mark.parametrize(
        ("decoder", "message"),
        [
            (lambda k, d: nn.Linear(k, 1), r"decoder must return .* 4\), got .* of shape \(2, 1\)"),
            (nn.Linear(3, 4), "decoder fails on samples of 2 features"),
            (lambda k, d: None, "decoder must return a torch.nn.Module, got None"),
        ],
    )
    def test_refuses_decoder(self, iris, decoder, message):
        embedding = embed(n_components=2, primary_loss="reconstruction", decoder=decoder)
        with pytest.raises(ValueError, match=message):
            embedding.fit(*iris)

    def test_nothing_to_train(self, iris):
        with pytest.raises(ValueError, match="snnl_weight=0 with primary_loss=None leaves nothing"):
            embed(snnl_weight=0).fit(*iris)

    def test_weight_alone_only_has_a_sign(self, iris):
        embedding = embed(metric="cosine", max_iter=1, learning_rate_init=1e-12)
        losses = [embedding.set_params(snnl_weight=w).fit(*iris).loss_ for w in (1, 7, -7)]
        assert losses == [losses[0], losses[0], -losses[0]]

    def test_mirrors_the_encoder(self, iris):
        embedding = embed(n_components=2, primary_loss="reconstruction").fit(*iris)
        widths = [m.in_features for m in embedding.decoder_.modules() if isinstance(m, nn.Linear)]
        assert widths == [2, 8, 16]

    def test_a_wrong_name_is_refused_by_fit_alone(self, iris):
        embedding = embed(primary_loss="contrastive")
        assert not hasattr(embedding, "inverse_transform")
        assert get_tags(embedding).target_tags.required
        with pytest.raises(ValueError, match="The 'primary_loss' parameter of SNNLEmbedding must"):
            make_pipeline(embedding).fit(*iris)

    def test_inverse_transform_is_there_only_then(self, iris):
        assert not hasattr(embed(), "inverse_transform")
        embedding = embed(primary_loss="reconstruction")
        with pytest.raises(NotFittedError):
            embedding.inverse_transform([[0.0]])
        with pytest.raises(ValueError, match="X has 1 features, but the decoder"):
            embedding.fit(*iris).inverse_transform([[0.0]])
        embedding.set_params(primary_loss=None).fit(*iris)
        assert not hasattr(embedding, "decoder_")

    def test_without_labels(self, iris):
        X, _ = iris
        embedding = embed(primary_loss="reconstruction", snnl_weight=0).fit(X)
        assert not hasattr(embedding, "classes_")
        ignoring = embed(primary_loss="reconstruction", snnl_weight=0).fit(X, X[:, 0])
        assert not hasattr(ignoring, "classes_")
        np.testing.assert_array_equal(ignoring.transform(X), embedding.transform(X))
        embedding.fit(X, X_val=X)
        assert len(embedding.validation_loss_curve_) == 10

    @pytest.mark.parametrize(
        "parameters", [{}, {"primary_loss": "reconstruction"}, {"primary_loss": "classification"}]
    )
    def test_labels_are_asked_for_where_they_are_needed(self, iris, parameters):
        with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
            embed(**parameters).fit(iris[0])


class TestFewLabels:
    @pytest.fixture
    def few(self, iris):
        X, y = iris
        y = y.copy()
        y[np.random.RandomState(0).permutation(150)[:120]] = -1
        return X, y

    @pytest.mark.parametrize("primary_loss", [None, "reconstruction", "classification"])
    def test_classes_leave_the_value_out(self, few, primary_loss):
        embedding = embed(unlabeled=-1, primary_loss=primary_loss).fit(*few)
        assert embedding.classes_.tolist() == [0, 1, 2]

    def test_it_is_an_ordinary_label_otherwise(self, few):
        with pytest.warns(UserWarning, match="learned like any other class"):
            assert embed().fit(*few).classes_.tolist() == [-1, 0, 1, 2]

    def test_string_labels(self, few):
        X, y = few
        names = np.array(["a", "b", "c", "?"])[y]
        assert embed(unlabeled="?").fit(X, names).classes_.tolist() == ["a", "b", "c"]

    def test_rows_without_label_teach_the_decoder_only(self, iris):
        X, y = iris
        hidden = np.where(np.arange(150) % 3 == 0, -1, y)
        # Rows without label that are nonsense: SNNL alone must not see them.
        nonsense = np.where((hidden == -1)[:, None], 100.0, X)
        # (The default encoder would start from the spread of all rows.)
        settings = {"unlabeled": -1, "spread_labels": False, "batch_size": 150, "max_iter": 5}
        settings["encoder"] = nn.Linear(4, 2)
        codes = [embed(**settings).fit(data, hidden).transform(X) for data in (X, nonsense)]
        np.testing.assert_allclose(codes[0], codes[1], atol=1e-2)
        settings |= {"primary_loss": "reconstruction", "max_iter": 40}
        codes = [embed(**settings).fit(data, hidden).transform(X) for data in (X, nonsense)]
        assert not np.allclose(codes[0], codes[1], atol=1e-1)

    def test_validation(self, few):
        X, y = few
        embedding = embed(unlabeled=-1, primary_loss="reconstruction", n_iter_no_change=2)
        embedding.fit(X, y, X_val=X[:50], y_val=y[:50])
        assert np.isfinite(embedding.validation_loss_curve_).all()
        embedding.set_params(early_stopping=True)
        with pytest.warns(ConvergenceWarning):
            embedding.fit(X, y)
        assert np.isfinite(embedding.validation_loss_curve_).all()

    def test_every_batch_meets_labels(self):
        X, y = load_digits(return_X_y=True)
        y[np.concatenate([np.flatnonzero(y == digit)[2:] for digit in range(10)])] = -1
        # Without learning, the loss of each batch is that of all twenty labeled rows.
        settings = {"unlabeled": -1, "primary_loss": "reconstruction", "learning_rate_init": 1e-12}
        settings["spread_labels"] = False
        losses = [
            embed(batch_size=size, max_iter=1, **settings).fit(X / 16, y).history_[0]["snnl"]
            for size in (64, 2000)
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)

    def test_held_out_rows_have_labels(self, iris):
        X, _ = iris
        y = np.full(150, -1)
        y[[0, 1, 50, 51, 100, 101]] = [0, 0, 1, 1, 2, 2]
        for seed in range(4):
            embedding = embed(unlabeled=-1, early_stopping=True, random_state=seed)
            with pytest.warns(ConvergenceWarning):
                embedding.fit(X, y)
            assert min(embedding.validation_loss_curve_) > 0

    def test_validation_labels_are_needed(self, iris):
        X, y = iris
        with pytest.raises(ValueError, match="y_val has no label of a class that is trained on"):
            embed(unlabeled=-1).fit(X, y, X_val=X, y_val=np.full(150, -1))

    @pytest.mark.parametrize(
        ("y", "unlabeled"),
        [
            (np.array(["a", "b", "-1"] * 50), -1),
            (np.arange(150) % 3, "no"),
        ],
    )
    def test_refuses_a_value_that_cannot_stand_there(self, iris, y, unlabeled):
        with pytest.raises(ValueError, match="cannot mark samples among labels of dtype"):
            embed(unlabeled=unlabeled).fit(iris[0], y)

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (np.full(150, -1), "greater than one; got 0 class"),
            (np.where(np.arange(150) < 5, 1, -1), "greater than one; got 1 class"),
        ],
    )
    def test_refuses(self, iris, y, message):
        with pytest.raises(ValueError, match=message):
            embed(unlabeled=-1).fit(iris[0], y)


class TestClassification:
    def test_warm_start_with_more_classes(self, iris):
        X, y = iris
        embedding = embed(primary_loss="classification", warm_start=True)
        embedding.fit(X[:100], y[:100])
        assert embedding.fit(X, y).classes_.tolist() == [0, 1, 2]

    def test_warm_start_takes_no_other_class_for_its_own(self, iris):
        X, y = iris
        embedding = embed(primary_loss="classification", warm_start=True, max_iter=200).fit(X, y)
        learned = embedding.history_[-1]["classification"]
        embedding.set_params(max_iter=1, learning_rate_init=1e-9)
        assert embedding.fit(X, y).history_[0]["classification"] == pytest.approx(learned, rel=0.2)
        other = embedding.fit(X, 7 - y).history_[0]["classification"]
        assert 2 * learned < other < 3

    def test_parts_are_recorded(self, iris):
        embedding = embed(primary_loss="classification", snnl_weight=-0.1, metric="cosine")
        record = embedding.fit(*iris).history_[-1]
        total = record["classification"] - 0.1 * record["snnl"]
        assert record["loss"] == pytest.approx(total, rel=1e-5)


def test_q_and_the_learning_rate_are_recorded(iris):
    history = embed(q=0.5, max_iter=10).fit(*iris).history_
    assert [record["q"] for record in history] == q_plan(0.5, 10)
    rates = [record["learning_rate"] for record in history]
    assert rates[0] < rates[2] == max(rates) > rates[-1] > 0
    X, y = load_digits(return_X_y=True)
    clean = SNNLEmbedding(max_iter=10, random_state=0).fit(X[:600], y[:600])
    adapted = [record["q"] for record in clean.history_]
    assert adapted[3] > adapted[4] == adapted[-1] == 0


class TestLayerEntanglement:
    def test_is_the_score_of_each_layer(self, iris):
        X, y = iris
        embedding = embed().fit(X, y)
        entanglement = embedding.layer_entanglement(X, y, temperature=0.3, metric="sqeuclidean")
        assert list(entanglement) == ["input", "hidden.0", "hidden.1", "code"]
        settings = {"temperature": 0.3, "metric": "sqeuclidean"}
        assert entanglement["input"] == pytest.approx(entanglement_score(X, y, **settings))
        codes = embedding.transform(X)
        assert entanglement["code"] == pytest.approx(
            entanglement_score(codes, y, **settings), rel=1e-4
        )
        network = embedding.network_
        centered = torch.tensor(X - np.sort(X, axis=0)[74], dtype=torch.float32)  # the median
        first = network.hidden[0](network.squash(centered))
        assert entanglement["hidden.0"] == pytest.approx(
            entanglement_score(first.detach().numpy(), y, **settings), rel=1e-4
        )

    @pytest.mark.parametrize(
        ("encoder", "layers"),
        [
            (nn.Sequential(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))), "0.0 0.1"),
            (Blocks(), "blocks.0 blocks.1"),
            (Recurrent(), "encoder.code"),
        ],
    )
    def test_custom_encoders(self, iris, encoder, layers):
        entanglement = embed(encoder=encoder).fit(*iris).layer_entanglement(*iris)
        assert list(entanglement) == ["input", *layers.split(), "code"]

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            (None, "layer_entanglement requires y to be passed"),
            (np.full(150, -1), "0 sample"),
            (np.zeros(150), "There must be at least 2"),
        ],
    )
    def test_refuses(self, iris, y, message):
        embedding = embed(unlabeled=-1).fit(*iris)
        with pytest.raises(ValueError, match=message):
            embedding.layer_entanglement(iris[0], y)

    def test_leaves_rows_without_label_out(self, iris):
        X, y = iris
        embedding = embed(unlabeled=-1).fit(X, y)
        hidden = np.where(np.arange(150) % 3 == 0, -1, y)
        labeled = hidden >= 0
        assert embedding.layer_entanglement(X, hidden) == pytest.approx(
            embedding.layer_entanglement(X[labeled], y[labeled]), rel=1e-5
        )

    def test_training_lowers_it_layer_by_layer(self):
        X, y = load_digits(return_X_y=True)
        X = X / 16
        embedding = SNNLEmbedding(metric="cosine", temperature=0.1, max_iter=20, random_state=0)
        embedding.fit(X[:1000], y[:1000])
        entanglement = embedding.layer_entanglement(X[1000:], y[1000:], temperature=0.1)
        assert entanglement["code"] < entanglement["hidden.1"] < entanglement["input"]


@pytest.mark.parametrize(
    "grid",
    [
        {"temperature_schedule": ["constant", "annealed", "learned"]},
        {"layers": ["last", "all", [0]]},
        {"code_units": [None, 2]},
        {"primary_loss": [None, "reconstruction", "classification"]},
        {"snnl_weight": [0.1, 1.0]},
        {"unlabeled": [None, -1]},
    ],
    ids=lambda grid: next(iter(grid)),
)
def test_grid_search(iris, grid):
    X, y = iris
    pipeline = make_pipeline(embed(max_iter=2), KNeighborsClassifier())
    grid = {f"snnlembedding__{name}": values for name, values in grid.items()}
    assert GridSearchCV(pipeline, grid, cv=2).fit(X, y).best_score_ > 0.5


def test_an_encoder_that_is_the_same_at_every_call_is_not_trained_itself(iris):
    module = nn.Linear(4, 2)
    first = SNNLEmbedding(2, encoder=lambda d, k: module, max_iter=2, random_state=0).fit(*iris)
    codes = first.transform(iris[0])
    SNNLEmbedding(2, encoder=first.encoder, max_iter=2).fit(*iris)
    np.testing.assert_array_equal(first.transform(iris[0]), codes)


class Rotated(nn.Module):
    """A linear map of which not all weights lie side by side in memory."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)  # (4, 2)

    def forward(self, x):
        return x @ self.weight


def test_how_parameters_lie_in_memory_does_not_matter(iris):
    start = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    dense, scattered = (
        SNNLEmbedding(2, encoder=lambda d, k, w=w: Rotated(w), max_iter=3, random_state=0)
        for w in (start[:, :2].contiguous(), start.clone()[:, :2])
    )
    np.testing.assert_array_equal(dense.fit_transform(*iris), scattered.fit_transform(*iris))


@pytest.mark.parametrize("primary_loss", [None, "classification"])
def test_unless_labels_are_spread_rows_without_one_are_left_out(iris, primary_loss):
    X, y = iris
    few = np.where(np.arange(150) % 3 > 0, -1, y)
    settings = {"max_iter": 3, "random_state": 0, "primary_loss": primary_loss}
    with_them = SNNLEmbedding(unlabeled=-1, spread_labels=False, **settings).fit(X, few)
    without = SNNLEmbedding(**settings).fit(X[::3], y[::3])
    assert with_them.loss_curve_ == without.loss_curve_
    np.testing.assert_array_equal(with_them.transform(X), without.transform(X))
