"""A primary loss is one class. Everything else follows from what the class says it needs."""

import pickle

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from sklearn.base import clone
from torch import nn
from torch.nn import functional

import sknca
from sknca import PrimaryLoss, SNNLEmbedding
from sknca.data import Batch
from sknca.networks import MLP
from sknca.objectives import PRIMARY_LOSSES, Classification, Reconstruction, SNNLObjective
from sknca.plotting import LossCurveDisplay


class Focal(PrimaryLoss):
    """The focal loss of a linear layer on the codes: a loss that the package does not have."""

    name = "focal"
    fixed_classes = True

    def __init__(self, n_components, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_components, n_classes)

    @classmethod
    def build(cls, task):
        return cls(task.n_components, task.n_classes)

    def of_rows(self, code, x, y):
        log_p = self.layer(code).log_softmax(1).gather(1, y.clamp_min(0)[:, None]).squeeze(1)
        return -((1 - log_p.exp()) ** 2) * log_p


class AbsoluteError(PrimaryLoss):
    """A reconstruction that the package does not have."""

    name = "absolute"
    needs_labels = False
    has_decoder = True

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    @classmethod
    def build(cls, task):
        return cls(task.make_decoder())

    def of_rows(self, code, x, y):
        return (self.decoder(code) - x).abs().mean(1)


def embed(primary_loss, **parameters):
    settings = {"max_iter": 3, "random_state": 0} | parameters
    return SNNLEmbedding(2, primary_loss=primary_loss, **settings)


@pytest.fixture
def registered(monkeypatch):
    for loss in (Focal, AbsoluteError):
        monkeypatch.setitem(PRIMARY_LOSSES, loss.name, loss)


class TestANewLossWorksInEveryPlace:
    @pytest.mark.parametrize("weight", [None, torch.linspace(0.5, 2, 30)])
    def test_mean_over_the_labeled_samples_with_the_weights_of_their_classes(self, weight):
        torch.manual_seed(0)
        x, y = torch.randn(30, 4), torch.arange(30) % 3
        y[::5] = -1
        loss = Focal(2, 3)
        objective = SNNLObjective(
            MLP(4, 2, hidden_layer_sizes=(), activation="relu", dropout=0.0),
            metric="sqeuclidean",
            temperatures=[1.0],
            primary=loss,
            partly_labeled=True,
            class_weight=[1.0, 2.0, 5.0],
        )
        _, parts = objective(Batch(x, y, weight), 0)
        labeled = y >= 0
        log_p = loss.layer(objective.network(x[labeled])).log_softmax(1)
        log_p = log_p[torch.arange(24), y[labeled]]
        share = torch.tensor([1.0, 2.0, 5.0])[y[labeled]]
        share = share if weight is None else share * weight[labeled]
        expected = (share * -((1 - log_p.exp()) ** 2) * log_p).sum() / share.sum()
        torch.testing.assert_close(parts["focal"], expected)

    def test_fit(self, iris):
        X, y = iris
        embedding = embed(Focal, class_weight="balanced").fit(X, y, X_val=X, y_val=y)
        first, last = embedding.history_[0], embedding.history_[-1]
        assert last["focal"] < first["focal"]
        assert clone(embedding).primary_loss is Focal
        again = pickle.loads(pickle.dumps(embedding))
        np.testing.assert_array_equal(again.transform(X), embedding.transform(X))

    def test_classes_are_fixed_in_a_stream_and_in_validation(self, iris):
        X, y = iris
        stream = embed(Focal)
        with pytest.raises(ValueError, match="classes"):
            stream.partial_fit(X, y)
        stream.partial_fit(X, y, classes=[0, 1, 2])
        with pytest.raises(ValueError, match="y_val"):
            embed(Focal).fit(X[y < 2], y[y < 2], X_val=X[y == 2], y_val=y[y == 2])

    def test_warm_start_keeps_its_layers_for_the_same_classes(self, iris):
        X, y = iris
        embedding = embed(Focal, warm_start=True, learning_rate_init=1e-12).fit(X, y)
        before = embedding._objective.primary.layer.weight.clone()
        embedding.fit(X, y)
        torch.testing.assert_close(embedding._objective.primary.layer.weight, before)
        embedding.fit(X, y + 1)
        assert not torch.allclose(embedding._objective.primary.layer.weight, before)

    def test_loss_curve(self, iris):
        display = LossCurveDisplay.from_estimator(embed(Focal).fit(*iris))
        assert [*display.parts] == ["focal", "snnl"]
        plt.close("all")

    def test_samples_without_a_label_are_learned_from_if_it_needs_none(self, iris):
        X, y = iris
        y = np.where(np.arange(150) % 3, -1, y)
        embedding = embed(AbsoluteError, unlabeled=-1, spread_labels=False).fit(X, y)
        assert embedding.history_[-1]["absolute"] < embedding.history_[0]["absolute"]
        assert embedding.inverse_transform(embedding.transform(X)).shape == X.shape
        alone = embed(AbsoluteError, snnl_weight=0).fit(X)
        assert alone.overfits_ is None
        assert not hasattr(alone, "classes_")

    def test_inverse_transform_needs_a_decoder(self):
        assert hasattr(embed(AbsoluteError), "inverse_transform")
        assert not hasattr(embed(Focal), "inverse_transform")

    @pytest.mark.parametrize("by_name", [False, True])
    @pytest.mark.parametrize("loss", [Focal, AbsoluteError])
    def test_file(self, registered, iris, tmp_path, loss, by_name):
        X, y = iris
        embedding = embed(loss.name if by_name else loss).fit(X, y)
        sknca.save(embedding, tmp_path / "file")
        again = sknca.load(tmp_path / "file")
        assert again.primary_loss == loss.name
        assert type(again._objective.primary) is loss
        assert hasattr(again, "decoder_") == loss.has_decoder
        for name, tensor in embedding._objective.state_dict().items():
            assert torch.equal(again._objective.state_dict()[name], tensor)
        again.set_params(warm_start=True, learning_rate_init=1e-12, early_stopping=False).fit(X, y)
        np.testing.assert_allclose(again.transform(X), embedding.transform(X), atol=1e-4)


def test_a_class_that_is_not_in_the_table_is_not_saved(iris, tmp_path):
    embedding = embed(Focal).fit(*iris)
    with pytest.raises(ValueError, match=r"primary_loss=Focal cannot be saved.*PRIMARY_LOSSES"):
        sknca.save(embedding, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_file_loads_no_class_that_is_not_in_the_table(registered, iris, tmp_path, monkeypatch):
    sknca.save(embed("focal").fit(*iris), tmp_path / "file")
    monkeypatch.delitem(PRIMARY_LOSSES, "focal")
    with pytest.raises(ValueError, match="cannot be loaded"):
        sknca.load(tmp_path / "file")


def test_a_name_or_a_class_is_expected(iris):
    with pytest.raises(ValueError, match=r"The 'primary_loss' parameter .* among .*reconstruction"):
        embed("focal").fit(*iris)
    with pytest.raises(ValueError, match=r"primary_loss must be .* a class .* got Focal\("):
        embed(Focal(2, 3)).fit(*iris)
    with pytest.raises(ValueError, match=r"'primary_loss' .* implementing 'build' and 'of_rows'"):
        embed(nn.CrossEntropyLoss).fit(*iris)


def test_a_step_with_a_loss_of_the_user_is_not_recorded():
    network = MLP(4, 2, hidden_layer_sizes=(), activation="relu", dropout=0.0)

    class Derived(Classification):
        def of_rows(self, code, x, y):
            return super().of_rows(code, x, y) * float(code.sum() > 0)

    def has_fixed_steps(primary):
        objective = SNNLObjective(network, metric="cosine", temperatures=[1.0], primary=primary)
        return objective.has_fixed_steps

    assert has_fixed_steps(Classification(2, 3))
    assert has_fixed_steps(Reconstruction(nn.Linear(2, 4)))
    assert not has_fixed_steps(Derived(2, 3))
    assert not has_fixed_steps(Focal(2, 3))


def test_the_built_in_ones_are_cross_entropy_and_squared_error():
    code, y = torch.randn(5, 2), torch.tensor([0, 1, 2, -1, 0])
    classification = Classification(2, 3)
    expected = functional.cross_entropy(
        classification.head(code), y, ignore_index=-1, reduction="none"
    )
    assert torch.equal(classification.of_rows(code, code, y), expected)
    x = torch.randn(5, 4)
    reconstruction = Reconstruction(nn.Linear(2, 4))
    expected = (reconstruction.decoder(code) - x).square().mean(1)
    assert torch.equal(reconstruction.of_rows(code, x, y), expected)


@pytest.mark.parametrize("loss", [*PRIMARY_LOSSES, "focal", Focal])
def test_its_random_numbers_are_of_the_fit(registered, iris, loss):
    """In the table or not: `nn.Linear` in it draws from torch's global generator."""
    before = torch.get_rng_state()
    one = embed(loss).fit(*iris)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    other = clone(one).fit(*iris)
    torch.set_rng_state(before)
    np.testing.assert_array_equal(one.transform(iris[0]), other.transform(iris[0]))


WRONG_ROWS = {
    "the mean": lambda self, code, x, y: functional.cross_entropy(self.layer(code), y),
    "a column": lambda self, code, x, y: Focal.of_rows(self, code, x, y)[:, None],
    "no tensor": lambda self, code, x, y: None,
}


@pytest.mark.parametrize("of_rows", WRONG_ROWS.values(), ids=[*WRONG_ROWS])
@pytest.mark.parametrize("more", [{}, {"early_stopping": True}, {"class_weight": "balanced"}])
def test_of_rows_returns_one_loss_for_each_sample(iris, of_rows, more):
    wrong = type("Wrong", (Focal,), {"of_rows": of_rows})
    with pytest.raises(ValueError, match=r"Wrong.of_rows must return .* of shape \(\d+,\), got "):
        embed(wrong, **more).fit(*iris)


def test_held_out_samples_are_checked_too():
    wrong = type("Wrong", (Focal,), {"of_rows": WRONG_ROWS["the mean"]})(2, 3)
    with pytest.raises(ValueError, match="Wrong.of_rows must return"):
        wrong.in_pieces(torch.zeros(5, 2), torch.zeros(5, 4), torch.zeros(5).long(), None)


@pytest.mark.parametrize("name", ["loss", "snnl", "epoch", "validation_loss", "q", None, ""])
def test_its_name_must_not_replace_another_column_of_the_history(iris, name):
    wrong = type("Wrong", (Focal,), {"name": name})
    with pytest.raises(ValueError, match=r"Wrong.name must be a string other than .* got "):
        embed(wrong).fit(*iris)


def test_a_class_without_a_name_is_refused(iris):
    wrong = type("Wrong", (PrimaryLoss,), {"build": Focal.build, "of_rows": Focal.of_rows})
    with pytest.raises(ValueError, match=r"Wrong.name must be a string"):
        embed(wrong).fit(*iris)


@pytest.mark.parametrize("build", [lambda task: nn.Linear(2, 3), lambda task: None])
def test_build_returns_a_primary_loss(iris, build):
    wrong = type("Wrong", (Focal,), {"build": staticmethod(build)})
    with pytest.raises(ValueError, match=r"Wrong.build must return a PrimaryLoss, got "):
        embed(wrong).fit(*iris)


def test_a_class_without_build_is_refused(iris):
    class Wrong(PrimaryLoss):
        name = "wrong"

    with pytest.raises(ValueError, match=r"Wrong.build must return a PrimaryLoss, got None"):
        embed(Wrong).fit(*iris)


def test_a_loss_with_a_decoder_has_one(iris):
    wrong = type("Wrong", (Focal,), {"has_decoder": True})
    with pytest.raises(ValueError, match=r"Wrong has has_decoder=True, but no module decoder"):
        embed(wrong).fit(*iris)
