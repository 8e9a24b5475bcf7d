"""Several encoders in one fit, wherever one can be."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.preprocessing import StandardScaler
from torch import nn

import sknca
from sknca import SNNLEmbedding, TripletEmbedding
from sknca.fitting import Description, _training
from sknca.networks import MLP, Members

pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations")

X, y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)

COMMON = {"n_members": 3, "hidden_layer_sizes": (16,), "max_iter": 2, "batch_size": 64}
COMMON |= {"n_components": 6, "random_state": 0, "device": "cpu"}


class Hinges(sknca.PrimaryLoss):
    """A loss that the package does not have."""

    name = "hinges"
    fixed_classes = True

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    @classmethod
    def build(cls, task):
        return cls(nn.Linear(task.n_components, task.n_classes))

    def of_rows(self, code, x, y):
        return nn.functional.multi_margin_loss(self.layer(code), y.clamp_min(0), reduction="none")


def make(**parameters):
    return SNNLEmbedding(**COMMON | parameters)


def triplets(**parameters):
    return TripletEmbedding(**COMMON | parameters)


CASES = {
    "default": make(),
    "one column each": make(n_components=3),
    "linear": make(hidden_layer_sizes=()),
    "cosine": make(metric="cosine"),
    "euclidean": make(metric="euclidean", layers="all"),
    "all layers": make(layers="all"),
    "by name": make(layers=["hidden.0", "code"], metric="cosine"),
    "code units": make(code_units=1),
    "learned": make(temperature_schedule="learned", layers="all"),
    "annealed": make(temperature_schedule="annealed"),
    "reconstruction": make(primary_loss="reconstruction"),
    "autoencoder": make(primary_loss="reconstruction", snnl_weight=0),
    "classification": make(primary_loss="classification", class_weight="balanced"),
    "own loss": make(primary_loss=Hinges),
    "entangled": make(metric="cosine", snnl_weight=-1, adversarial_radius=0),
    "adversarial": make(adversarial_fraction=1.0, max_iter=9),
    "gelu": make(activation="gelu", dropout=0.5, scale=False),
    "watched": make(max_iter=20),
    "early stopping": make(early_stopping=True, tol=1e-9),
    "class made": make(encoder=partial(MLP, hidden_layer_sizes=[8], activation="tanh", dropout=0)),
    "made": make(encoder=lambda n, k: nn.Sequential(nn.Linear(n, 8), nn.ReLU(), nn.Linear(8, k))),
    "triplets": triplets(),
    "triplets cosine": triplets(metric="cosine", mining="hard", dropout=0),
    "triplets random": triplets(mining="random", adversarial_radius=0.5, early_stopping=True),
}


@pytest.mark.parametrize("name", CASES)
def test_fits(name):
    embedding = clone(CASES[name])
    codes = embedding.fit(X, y, sample_weight=np.linspace(0.1, 2, 150)).transform(X)
    assert codes.shape == (150, embedding.n_components)
    assert np.isfinite(codes).all()
    assert isinstance(embedding.network_, Members)
    if embedding.metric == "cosine":
        np.testing.assert_allclose((codes**2).sum(1), 1, rtol=1e-5)
    parts = np.split(codes, 3, axis=1)
    for one, other in [(0, 1), (1, 2), (0, 2)]:  # initial weights are different
        assert np.abs(parts[one] - parts[other]).max() > 1e-3


@pytest.mark.parametrize("name", CASES)
def test_distances_are_the_mean_of_the_members(name):
    embedding = clone(CASES[name]).fit(X, y)
    z = torch.from_numpy(embedding.transform(X))
    x = torch.from_numpy(X if embedding._center is None else X - embedding._center).float()
    with torch.no_grad():
        members = [member(x).double() for member in embedding.network_.members]
    expected = torch.stack([torch.cdist(m, m).square() for m in members]).mean(0)
    torch.testing.assert_close(torch.cdist(z, z).square(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("made", "own loss")])
def test_files(name, tmp_path):
    embedding = clone(CASES[name]).fit(X, y)
    sknca.save(embedding, tmp_path / "e")
    own = {} if embedding.encoder is None else {"encoder": embedding.encoder}
    again = sknca.load(tmp_path / "e", **own)
    np.testing.assert_array_equal(again.transform(X), embedding.transform(X))
    assert again.n_members == 3
    for attribute in ("oob_member_", "oob_decision_function_"):
        if hasattr(embedding, attribute):
            np.testing.assert_array_equal(getattr(again, attribute), getattr(embedding, attribute))
    assert str(again.network_) == str(embedding.network_)
    if hasattr(embedding, "inverse_transform"):
        codes = embedding.transform(X)
        rows = embedding.inverse_transform(codes)
        assert rows.shape == X.shape
        np.testing.assert_array_equal(again.inverse_transform(codes), rows)
    again.set_params(warm_start=True).fit(X, y)  # what was learned beside the network is there too


@pytest.mark.parametrize("name", CASES)
def test_checkpoints(name, tmp_path, monkeypatch):
    file = tmp_path / "c"
    given = {"sample_weight": np.linspace(0.1, 2, 150)}
    if not clone(CASES[name]).early_stopping:
        given |= {"X_val": X[::5], "y_val": y[::5]}
    whole = clone(CASES[name]).set_params(max_iter=4).fit(X, y, **given)
    end_epoch, calls = _training.Training._end_epoch, []

    def interrupt(self, data):
        stops = end_epoch(self, data)
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError
        return stops

    embedding = clone(CASES[name]).set_params(max_iter=4)
    with monkeypatch.context() as patch:
        patch.setattr(_training.Training, "_end_epoch", interrupt)
        with pytest.raises(RuntimeError):
            embedding.fit(X, y, **given, checkpoint=file)
    again = clone(CASES[name]).set_params(max_iter=4).fit(X, y, **given, checkpoint=file)
    np.testing.assert_array_equal(again.transform(X), whole.transform(X))
    assert again.history_ == whole.history_
    if name != "autoencoder":
        found, expected = again.oob_decision_function_, whole.oob_decision_function_
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="belongs to another fit: n_members was 3, now 1"):
        clone(CASES[name]).set_params(max_iter=4, n_members=1).fit(X, y, **given, checkpoint=file)


@pytest.mark.parametrize("name", ["default", "cosine", "learned", "classification", "triplets"])
def test_portions_and_warm_start(name):
    embedding = clone(CASES[name])
    classes = {"classes": [0, 1, 2]} if name == "classification" else {}
    for start in range(0, 5):
        embedding.partial_fit(X[start::5], y[start::5], **classes)
    assert len(embedding.network_.members) == 3
    assert embedding.n_iter_ == 5
    before = embedding.transform(X)
    embedding.set_params(warm_start=True, learning_rate_init=1e-12, weight_decay=0).fit(X, y)
    np.testing.assert_allclose(embedding.transform(X), before, atol=1e-4)
    with pytest.raises(
        ValueError, match="continues a network with n_members=3, but now n_members="
    ):
        embedding.set_params(n_members=2).fit(X, y)


@pytest.mark.parametrize("name", ["default", "linear", "cosine", "reconstruction", "triplets"])
def test_sparse_samples_and_memmaps(name, tmp_path):
    S = sparse.random(120, 30, density=0.2, random_state=0, format="csr")
    labels = np.arange(120) % 3
    embedding = clone(CASES[name]).fit(S, labels)
    codes = embedding.transform(S)
    np.testing.assert_allclose(embedding.transform(S.toarray()), codes, atol=1e-4)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    found = clone(CASES[name]).fit(mapped, y).transform(mapped)
    np.testing.assert_array_equal(found, clone(CASES[name]).fit(X, y).transform(X))


@pytest.mark.parametrize("name", ["default", "reconstruction", "triplets cosine"])
def test_pickles(name):
    embedding = clone(CASES[name]).fit(X, y)
    again = pickle.loads(pickle.dumps(embedding))
    np.testing.assert_array_equal(again.transform(X), embedding.transform(X))
    own = {id(p) for p in again._objective.parameters()}
    assert {id(p) for p in again.network_.parameters()} <= own
    assert not any(module.training for module in again.network_.modules())


def test_labels_are_spread():
    few = np.where(np.arange(150) % 10 == 0, y, -1)
    for embedding in (make(unlabeled=-1), triplets(unlabeled=-1), make(unlabeled=-1, layers="all")):
        assert embedding.fit(X, few).transduction_.shape == (150,)


def test_onnx(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    for name in ("default", "cosine", "made"):
        embedding = clone(CASES[name]).fit(X, y)
        sknca.export_onnx(embedding, tmp_path / "e.onnx", X=X)
        session = onnxruntime.InferenceSession(tmp_path / "e.onnx")
        (codes,) = session.run(["codes"], {"X": X.astype(np.float32)})
        np.testing.assert_allclose(codes, embedding.transform(X), atol=1e-4)


def test_layers_have_the_names_of_one_encoder():
    one, several = make(n_members=1).fit(X, y), make().fit(X, y)
    expected = one.layer_entanglement(X, y)
    assert several.layer_entanglement(X, y).keys() == expected.keys()
    cosine = clone(CASES["by name"]).fit(X, y)
    assert cosine.layer_entanglement(X, y).keys() == expected.keys()


def test_each_member_has_the_default_width():
    assert make(n_components=None).fit(X, y).transform(X).shape == (150, 3 * 4)
    made = clone(CASES["made"]).set_params(n_components=None)
    assert made.fit(X, y).transform(X).shape == (150, 3 * 4)


def test_steps_are_recorded_if_those_of_its_members_are():
    # Each batch has another number of samples that a member leaves out.
    assert not make().fit(X, y)._objective.has_fixed_steps
    assert make().partial_fit(X, y)._objective.has_fixed_steps
    assert (
        not clone(CASES["own loss"]).partial_fit(X, y, classes=[0, 1, 2])._objective.has_fixed_steps
    )


def test_a_checkpoint_of_version_0_2_is_of_one_member():
    before = Description({"q": "0.5"}, {})
    assert not [*Description({"q": "0.5", "n_members": "1"}, {}).differences(before.entries)]
    several = Description({"q": "0.5", "n_members": "2"}, {})
    assert [*several.differences(before.entries)] == [("n_members", "1", "2")]
    of_all = Description({"q": ["0.5"] * 2, "n_members": ["1"] * 2}, {})
    assert not [*of_all.differences({"q": ["0.5"] * 2})]


def test_one_member_is_one_encoder():
    one = make(n_members=1).fit(X, y)
    assert type(one.network_).__name__ == "SkipMLP"


def test_what_is_refused():
    with pytest.raises(ValueError, match="n_components=5 must be divisible by n_members=3"):
        make(n_components=5).fit(X, y)
    with pytest.raises(ValueError, match="n_members=3 needs encoders with different initial weig"):
        make(encoder=nn.Linear(4, 2)).fit(X, y)
    with pytest.raises(ValueError, match="The 'n_members' parameter of SNNLEmbedding must be an i"):
        make(n_members=0).fit(X, y)


def test_there_is_one_warning():
    with pytest.warns(UserWarning, match="the loss has no lower bound") as warned:
        make(snnl_weight=-1, learning_rate_init=1e-9).fit(X, y)
    assert len(warned) == 1


def test_encoders_that_work_in_place():
    class InPlace(nn.Linear):
        def forward(self, x):
            return super().forward(x.mul_(2.0))

    embedding = make(encoder=InPlace, adversarial_radius=0.1, max_iter=9).fit(X, y)
    x = torch.from_numpy(X).float()
    expected = [member(x.clone()) for member in embedding.network_.members]
    found = embedding.transform(X.astype(np.float32))
    torch.testing.assert_close(torch.from_numpy(found), torch.cat(expected, 1).detach() / 3**0.5)


def small_encoder(n_features, n_components):
    return MLP(n_features, n_components, hidden_layer_sizes=[8], activation="relu", dropout=0.1)


BLIND = {
    "snnl": make(encoder=small_encoder),
    "cosine": make(encoder=small_encoder, metric="cosine", early_stopping=False),
    "euclidean": make(encoder=small_encoder, metric="euclidean", early_stopping=False),
    "adapted": make(encoder=small_encoder, max_iter=10, early_stopping=False),
    "adversarial": make(encoder=small_encoder, adversarial_radius=0.5, max_iter=9),
    "reconstruction": make(encoder=small_encoder, primary_loss="reconstruction"),
    **{
        mining: triplets(encoder=small_encoder, mining=mining)
        for mining in ("all", "semihard", "hard", "random")
    },
}


@pytest.mark.parametrize("name", [name for name in BLIND if name not in ("adversarial", "random")])
@pytest.mark.parametrize("member", [0, 2])
def test_a_member_learns_nothing_from_the_samples_that_it_leaves_out(name, member):
    """An encoder that does not start from the data is the same, bit for bit, without dropout."""
    given = clone(BLIND[name])
    given.set_params(
        encoder=partial(MLP, hidden_layer_sizes=[8], activation="tanh", dropout=0),
        adversarial_radius=0,
    )
    embedding = clone(given).fit(X, y)
    left_out = embedding.oob_member_ == member
    assert abs(left_out.mean() - 1 / 3) < 0.01
    others = X.copy()
    others[left_out] = 10 - 3 * others[left_out]
    again = clone(given).fit(others, y)
    np.testing.assert_array_equal(again.oob_member_, embedding.oob_member_)
    for i in range(3):
        before, after = (e.network_.members[i].state_dict() for e in (embedding, again))
        alike = all(torch.equal(before[key], after[key]) for key in before)
        assert alike == (i == member)


@pytest.mark.parametrize("name", BLIND)
def test_out_of_bag_probabilities_are_those_of_soft_neighbors(name):
    embedding = clone(BLIND[name]).fit(X, y)
    codes = np.split(embedding.transform(X), 3, axis=1)
    temperature = getattr(embedding, "temperature_", "auto")
    for member, part in enumerate(codes):
        part = part * 3**0.5
        blind = embedding.oob_member_ == member
        soft = sknca.SoftNeighborsClassifier(temperature=temperature, metric=embedding.metric)
        expected = soft.fit(part[~blind], y[~blind]).predict_proba(part[blind])
        found = embedding.oob_decision_function_[blind]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
        for label in range(3):  # stratified
            assert abs((blind & (y == label)).sum() - 50 / 3) < 1
    assert embedding.oob_decision_function_.dtype == np.float64


def test_samples_that_no_member_learned_from():
    weight = np.ones(150)
    weight[:20] = 0
    unlabeled = np.where(np.arange(150) % 7 == 0, -1, y)
    embedding = make(unlabeled=-1, spread_labels=False).fit(X, unlabeled, weight)
    found = embedding.oob_decision_function_
    np.testing.assert_allclose(found.sum(1), 1)
    nobody = (weight == 0) | (unlabeled < 0)
    assert (embedding.oob_member_[nobody] == -1).all()
    assert (embedding.oob_member_[~nobody] >= 0).all()
    held_out = make(early_stopping=True).fit(X, y)
    np.testing.assert_allclose(held_out.oob_decision_function_.sum(1), 1)
    assert 0.05 < (held_out.oob_member_ == -1).mean() < 0.2


def test_samples_of_small_classes_are_left_to_all_members():
    labels = y.copy()
    labels[:3] = 7, 8, 8
    embedding = make().fit(X, labels)
    assert (embedding.oob_member_[:3] == -1).all()
    assert np.isnan(embedding.oob_decision_function_[:3]).all()
    assert np.isfinite(embedding.oob_decision_function_[3:]).all()
    # Too few to leave any out.
    embedding = make(n_members=2).fit(X[[0, 1, 60, 61]], [0, 0, 1, 1])
    assert np.isnan(embedding.oob_decision_function_).all()


class Normalizing(nn.Sequential):
    def __init__(self, n_features, n_components):
        super().__init__(nn.Linear(n_features, n_components), nn.BatchNorm1d(n_components))


@pytest.mark.parametrize("name", ["reconstruction", "adversarial", "triplets", "triplets random"])
@pytest.mark.parametrize("encoder", [None, Normalizing])
@pytest.mark.parametrize("n_members", [2, 3])
def test_a_member_may_see_a_single_sample_of_a_batch_or_none(name, encoder, n_members):
    embedding = clone(CASES[name]).set_params(batch_size=4, encoder=encoder, n_members=n_members)
    embedding.set_params(adversarial_radius=0.1, max_iter=9)
    assert np.isfinite(embedding.fit(X[::2], y[::2]).transform(X)).all()


def test_whole_groups_are_left_out():
    groups = np.arange(150) // 5
    for embedding in (make(early_stopping=False), make(), triplets()):
        member = embedding.fit(X, y, groups=groups).oob_member_
        assert (member.reshape(30, 5) == member[::5, None]).all()
        assert sorted(np.bincount(member)) == [50, 50, 50]
        for label in range(3):
            assert np.bincount(member[y == label]).tolist() == pytest.approx([50 / 3] * 3, abs=5)
    validated = make().fit(X, y, groups=groups, X_val=X[::5], y_val=y[::5])
    assert validated.validation_loss_curve_ is not None
    with pytest.warns(UserWarning, match="groups are not used"):
        make(n_members=1, early_stopping=False).fit(X, y, groups=groups)
    with pytest.raises(ValueError, match="fewer than 2 unique groups"):
        make().fit(X, y, groups=np.zeros(150))


def test_where_members_learn_from_all_samples():
    names = {"oob_member_", "oob_decision_function_"}
    embedding = make().fit(X, y)
    assert names <= vars(embedding).keys()
    for other in (
        make(n_members=1).fit(X, y),
        make().partial_fit(X, y),
        clone(embedding).fit(X, y).partial_fit(X, y),
        clone(embedding).set_params(warm_start=True).fit(X, y).fit(X, y),
        make(unlabeled=-1).fit(X, np.where(np.arange(150) % 10 == 0, y, -1)),
        make(primary_loss="reconstruction", snnl_weight=0).fit(X),
    ):
        assert not names & vars(other).keys()


@pytest.mark.parametrize(
    "embedding",
    [
        SNNLEmbedding(adversarial_radius=0.5, adversarial_fraction=1.0),
        SNNLEmbedding(primary_loss="classification"),
        TripletEmbedding(),
    ],
)
def test_batches_of_which_no_member_sees_two_samples(embedding):
    few, labels = X[:9], np.arange(9) % 2
    embedding.set_params(n_members=2, n_components=4, batch_size=4, max_iter=9, random_state=0)
    assert np.isfinite(embedding.fit(few, labels).loss_curve_).all()
    assert np.isfinite(embedding.transform(few)).all()


def test_damaged_files_with_out_of_bag_probabilities(tmp_path):
    embedding = make().fit(X, y)
    embedding.oob_decision_function_ = embedding.oob_decision_function_[:-1]
    sknca.save(embedding, tmp_path / "e")
    with pytest.raises(ValueError, match="its oob_decision_function_ has shape"):
        sknca.load(tmp_path / "e")
