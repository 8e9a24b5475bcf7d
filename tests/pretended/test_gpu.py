"""The embeddings on the pretended device: the CPU's codes, few waits, nothing left behind."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from torch import nn
from torch.utils._pytree import tree_iter

import sknca
from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from sknca.__main__ import versions
from sknca._devices import KINDS, Kind, accelerators, resolve_device
from sknca.data import Batch
from sknca.fitting import _steps
from sknca.functional._pick_rows import pick_rows
from sknca.metrics import entanglement_score
from sknca.networks import MLP, SkipMLP
from sknca.objectives import SNNLObjective, TripletObjective, _primary
from sknca.tables import home_of_rows
from sknca.training import AdamW, AdversarialGradient, Step
from sknca.training._step import ReplayedStep, gradient_of_batch, replayed_if_it_pays

pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations")

X, y = make_classification(150, 6, n_informative=4, n_classes=3, random_state=0)
WEIGHT = np.random.RandomState(0).rand(len(X))
WEIGHT[::7] = 0
FEW = np.where(np.random.RandomState(1).rand(len(y)) < 0.6, -1, y)
MININGS = ("all", "semihard", "hard", "random")


def encoder(n_features, n_components):
    return nn.Sequential(
        nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, n_components)
    )


def fit(cls=SNNLEmbedding, *, weight=None, X=X, y=y, X_val=None, y_val=None, **parameters):
    settings = {"device": "pretended", "max_iter": 4, "batch_size": 48, "dropout": 0}
    settings |= {"random_state": 0, "hidden_layer_sizes": (16,)}
    return cls(**settings | parameters).fit(X, y, weight, X_val=X_val, y_val=y_val)


def assert_alike(codes, expected):
    """But for rounding, which a training enlarges."""
    assert np.linalg.norm(codes - expected) < 0.02 * np.linalg.norm(expected)


MODES = {
    "plain": {},
    "dropout": {"dropout": 0.5},
    "weights": {"weight": WEIGHT},
    "layers": {"layers": "all", "temperature_schedule": "learned"},
    "annealed": {"metric": "cosine", "temperature": 0.1, "temperature_schedule": "annealed"},
    "euclidean": {"metric": "euclidean", "weight": WEIGHT},
    "reconstruction": {"primary_loss": "reconstruction"},
    "classification": {"primary_loss": "classification", "weight": WEIGHT},
    "early stopping": {"early_stopping": True},
    "validation": {"X_val": X[:40], "y_val": y[:40], "primary_loss": "reconstruction"},
    "few labels": {"y": FEW, "unlabeled": -1, "primary_loss": "reconstruction"},
    "labels that spread": {"y": FEW, "unlabeled": -1, "weight": WEIGHT},
    "linear": {"hidden_layer_sizes": ()},
    "no perturbations": {"adversarial_radius": 0},
    "members": {"n_members": 2, "n_components": 4, "primary_loss": "reconstruction"},
    "members, cosine": {
        "n_members": 3,
        "metric": "cosine",
        "layers": "all",
        "X_val": X,
        "y_val": y,
    },
    "custom encoder": {"encoder": encoder, "adversarial_radius": 0.1},
    **{
        f"triplets, {mining}{', weights' * weighted}": {
            "cls": TripletEmbedding,
            "mining": mining,
            "weight": WEIGHT if weighted else None,
        }
        for mining in MININGS
        for weighted in (False, True)
    },
    "triplets, soft": {"cls": TripletEmbedding, "margin": "soft", "early_stopping": True},
    "triplets, members": {"cls": TripletEmbedding, "n_members": 2},
    "triplets, cosine": {"cls": TripletEmbedding, "metric": "cosine", "mining": "hard"},
    "triplets, euclidean": {"cls": TripletEmbedding, "metric": "euclidean"},
}


@pytest.mark.parametrize("mode", MODES)
def test_codes_are_those_of_the_cpu(mode):
    embedding = fit(**MODES[mode])
    assert str(embedding.device_) == "pretended:0"
    assert {str(p.device) for p in embedding.network_.parameters()} == {"pretended:0"}
    codes = embedding.transform(X)
    if "random" in mode or mode == "dropout":  # drawn from the device's own random numbers
        assert np.array_equal(codes, fit(**MODES[mode]).transform(X))
    else:
        expected = fit(**MODES[mode], device="cpu").transform(X)
        assert_alike(codes, expected)


def waits_in_an_epoch(device, between=(1, 3), **parameters):
    counts = []
    for max_iter in between:
        device.waits.clear()
        fit(**parameters, max_iter=max_iter, tol=None)
        counts.append(len(device.waits))
    return (counts[1] - counts[0]) / (between[1] - between[0])


WAITING = [
    *("plain", "weights", "annealed", "euclidean", "reconstruction", "validation"),
    *("members", "members, cosine"),
    *(mode for mode in MODES if mode.startswith("triplets, ")),
]


@pytest.mark.parametrize("mode", WAITING)
def test_an_epoch_waits_twice(device, mode):
    """To send what is in its batches, and to read their loss; once more with validation."""
    validated = "X_val" in MODES[mode] or MODES[mode].get("early_stopping", False)
    assert waits_in_an_epoch(device, **MODES[mode]) <= 2 + 2 * validated, device.waits


def test_labels_are_spread_five_times_however_many_epochs_there_are(device):
    few = MODES["few labels"]
    assert waits_in_an_epoch(device, **few, spread_labels=False) <= 2, device.waits
    assert waits_in_an_epoch(device, **few, between=(10, 15)) <= 2, device.waits


def test_learned_temperatures_are_read_once_an_epoch(device):
    assert waits_in_an_epoch(device, **MODES["layers"]) <= 3, device.waits


def make_objective(kind):
    network = SkipMLP(6, 4, hidden_layer_sizes=(16,), activation="relu", dropout=0.2)
    if kind == "snnl":
        return SNNLObjective(network, metric="sqeuclidean", temperatures=[1.0, 0.5])
    return TripletObjective(network, metric="sqeuclidean", margin=1.0, mining=kind)


@pytest.mark.parametrize("radius", [0.0, 0.7])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["snnl", *MININGS])
def test_all_steps_of_a_kind_are_the_same_operators(device, kind, weighted, radius):
    """So a step can be recorded once and replayed: no wait, no new shape, whatever the batch."""
    objective = make_objective(kind).to("pretended").train()
    assert objective.has_fixed_steps
    optimizer = AdamW(objective.parameter_groups(), lr=0.01, weight_decay=0.01)
    gradient = AdversarialGradient(radius) if radius else gradient_of_batch
    step = Step(objective, optimizer, gradient)
    lists = []
    epoch = torch.zeros(1, dtype=torch.long).to("pretended")
    for seed in range(4):  # of other classes in other numbers each time
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(24, 6, generator=generator).to("pretended")
        labels = torch.randint(0, 2 + seed, (24,), generator=generator).to("pretended")
        weight = torch.rand(24, generator=generator).round(decimals=1).to("pretended")
        device.operators.clear()
        device.waits.clear()
        step(Batch(x, labels, weight if weighted else None), epoch)
        assert device.waits == []
        lists.append(list(device.operators))
    assert lists[1] == lists[2] == lists[3]  # the first makes the optimizer's state


@pytest.mark.parametrize("kind", ["snnl", "hard", "random"])
def test_no_gradient_is_summed_in_any_order(device, kind):
    """As a GPU does in these, so that each run would be rounded differently."""
    objective = make_objective(kind).to("pretended").train()
    x, labels = torch.randn(24, 6).to("pretended"), torch.arange(24).remainder(3).to("pretended")
    AdversarialGradient(0.5)(objective, Batch(x, labels), 0)
    names = " ".join(name for name, _ in device.operators)
    for sums in ("index_add", "index_put", "scatter_add", "bincount"):
        assert sums not in names


REPLAYED = [
    *("plain", "weights", "layers", "annealed", "classification", "early stopping"),
    *("few labels", "triplets, all", "triplets, hard, weights", "triplets, random"),
]


@pytest.mark.parametrize("mode", REPLAYED)
def test_replayed_steps_learn_the_same(mode, monkeypatch):
    """The batch, the learning rate and the epoch come to a recorded step by its own memory. Here
    a record is no more than the function, which reads that memory.
    """
    recorded = []

    def record(function):
        recorded.append(function)
        return function

    def replayed(steps, device, batch_size):
        assert steps[0].objective.has_fixed_steps
        return [ReplayedStep(step, device, record) for step in steps]

    expected = fit(**MODES[mode])
    monkeypatch.setattr(_steps, "replayed_if_it_pays", replayed)
    embedding = fit(**MODES[mode])
    assert recorded
    assert_alike(embedding.transform(X), expected.transform(X))


def test_picked_rows_have_the_gradient_of_index_select():
    index = torch.tensor([3, 0, 3, 3, 1])
    found = []
    for name, pick in (("cpu", lambda z, i: z.index_select(0, i)), ("pretended", pick_rows)):
        z = torch.arange(8.0).reshape(4, 2).to(name).detach().requires_grad_()
        total = pick(z, index.to(name)).pow(3).sum()
        (first,) = torch.autograd.grad(total, z, create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), z)
        found.append((first.detach().cpu(), second.cpu()))
    torch.testing.assert_close(*found)


STREAMED = ["plain", "weights", "early stopping", "validation", "triplets, all"]


@pytest.mark.parametrize("mode", STREAMED)
def test_rows_without_room_are_streamed(device, mode, monkeypatch):
    monkeypatch.setattr(MLP, "gpu_chunk_rows", 64)
    monkeypatch.setattr(_primary, "_PIECE_ROWS", 64)
    settings = MODES[mode] | {"n_components": 4, "X": np.tile(X, (2, 1)), "y": np.tile(y, 2)}
    if "weight" in settings:
        settings["weight"] = np.tile(WEIGHT, 2)
    if mode == "validation":
        settings |= {"X_val": np.tile(X, (3, 1)), "y_val": np.tile(y, 3)}
    expected = fit(**settings).transform(X)
    device.module.free = [1000, 1000]
    device.operators.clear()
    embedding = fit(**settings)
    rows_there = {s[0] for _, shapes in device.operators for s in shapes if s[1:] == (6,)}
    if mode in ("plain", "weights", "triplets, all"):
        assert max(rows_there) < 100
    assert 450 not in rows_there  # of validation there are no more than a chunk
    assert_alike(embedding.transform(X), expected)


def test_a_batch_is_sent_without_waiting(device):
    device.module.free = [1000, 1000]
    assert waits_in_an_epoch(device) <= 2, device.waits


def test_memory_that_torch_only_keeps_counts_as_free(device):
    there, host = torch.device("pretended:0"), torch.device("cpu")
    device.module.free = [100, 100]
    assert home_of_rows(there, 51) == host
    device.module.reserved, device.module.allocated = 50, 40
    assert home_of_rows(there, 51) == there
    assert home_of_rows(there, 56) == host
    assert home_of_rows(host, 10**9) == host


def test_the_second_device(device):
    embedding = fit(device="pretended:1", primary_loss="reconstruction")
    assert {str(p.device) for p in embedding._objective.parameters()} == {"pretended:1"}
    expected = fit(device="cpu", primary_loss="reconstruction")
    codes = embedding.transform(X)
    assert_alike(codes, expected.transform(X))
    assert embedding.inverse_transform(codes).shape == X.shape


def test_the_current_device_may_change_after_the_fit(device):
    device.module.set_device(1)
    embedding = fit()
    assert str(embedding.device_) == "pretended:1"
    codes = embedding.transform(X)
    device.module.set_device(0)
    assert np.array_equal(embedding.transform(X), codes)
    assert np.array_equal(pickle.loads(pickle.dumps(embedding)).transform(X), codes)


def test_a_network_may_be_moved_after_the_fit():
    embedding = fit()
    codes = embedding.transform(X)
    embedding.network_.to("pretended:1")
    assert np.array_equal(embedding.transform(X), codes)
    embedding.network_.cpu()
    np.testing.assert_allclose(embedding.transform(X), codes, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("current", [0, 1])
def test_no_random_state_is_changed(device, current):
    def states():
        generators = [torch.default_generator, *device.module.generators]
        return [generator.get_state().tolist() for generator in generators]

    device.module.set_device(current)
    before = states()
    fit(dropout=0.5, max_iter=2)
    fit(TripletEmbedding, mining="random", max_iter=2)
    assert states() == before
    assert device.module.current == current


@pytest.mark.parametrize("kind", ["cpu", "pretended"])
def test_a_fit_under_autocast_is_the_same_fit(kind):
    expected = fit().transform(X)
    with torch.autocast(kind, dtype=torch.bfloat16):
        assert np.array_equal(fit().transform(X), expected)


def test_a_code_does_not_depend_on_the_company_of_its_row(device):
    embedding = fit()
    codes = embedding.transform(X)
    assert np.array_equal(embedding.transform(X[:1]), codes[:1])
    device.operators.clear()
    embedding.transform(np.tile(X, (60, 1)))
    products = [shapes for name, shapes in device.operators if "mm" in name]
    assert {shapes[0][0] for shapes in products} == {4096}  # few launches, always of this size


@pytest.mark.parametrize("mode", ["reconstruction", "layers", "triplets, all"])
def test_saved_and_opened(mode, tmp_path):
    embedding = fit(**MODES[mode])
    codes = embedding.transform(X)
    sknca.save(embedding, tmp_path / "e")
    opened = [sknca.load(tmp_path / "e"), pickle.loads(pickle.dumps(embedding))]
    for again in [*opened, copy.deepcopy(embedding)]:
        assert {p.device for p in again.network_.parameters()} == {embedding.device_}
        assert np.array_equal(again.transform(X), codes)
    on_cpu = sknca.load(tmp_path / "e", device="cpu")
    np.testing.assert_allclose(on_cpu.transform(X), codes, rtol=1e-4, atol=1e-5)
    again = opened[0].set_params(warm_start=True, max_iter=2, device="pretended:1").fit(X, y)
    assert str(again.device_) == "pretended:1"


def test_scores_and_the_classifier(device):
    on_cpu, there = ({"device": name} for name in ("cpu", "pretended:1"))
    scores = [entanglement_score(X, y, sample_weight=WEIGHT, **d) for d in (on_cpu, there)]
    assert scores[0] == pytest.approx(scores[1])
    probabilities = [
        SoftNeighborsClassifier(**d).fit(X, y, WEIGHT).predict_proba(X) for d in (on_cpu, there)
    ]
    np.testing.assert_allclose(*probabilities)
    assert device.operators  # it was not computed elsewhere


def test_layer_entanglement():
    kinds = [fit(device=d).layer_entanglement(X, y) for d in ("cpu", "pretended")]
    assert kinds[0] == pytest.approx(kinds[1], rel=1e-3)


def test_tensors_of_two_devices_are_refused():
    """The pretended device is as strict as a GPU."""
    here, there = torch.ones(3), torch.ones(3).to("pretended:0")
    with pytest.raises(RuntimeError, match="on one device"):
        here + there
    with pytest.raises(RuntimeError, match="on one device"):
        there + there.to("pretended:1")
    with pytest.raises(TypeError, match="can't convert"):
        there.numpy()


class Momentum(SNNLEmbedding):
    _make_optimizer = staticmethod(partial(torch.optim.SGD, momentum=0.9, foreach=False))


@pytest.mark.parametrize("cls", [SNNLEmbedding, Momentum])
def test_what_a_stream_keeps_opens_without_the_device(cls):
    embedding = cls(device="pretended", random_state=0)
    for _ in range(2):
        embedding.partial_fit(X, y)
    stream = pickle.loads(pickle.dumps(embedding._stream))
    tensors = [leaf for leaf in tree_iter(stream.training) if isinstance(leaf, torch.Tensor)]
    assert len(tensors) > 5
    assert {tensor.device.type for tensor in tensors} == {"cpu"}


def test_a_kind_of_device_is_one_entry_of_a_table(monkeypatch):
    kind = Kind(by_auto=True, records=True, backend="gloo")
    assert resolve_device("auto") == torch.device("cpu")
    monkeypatch.setitem(KINDS, "pretended", kind)
    assert resolve_device("auto") == torch.device("pretended", 0)
    assert accelerators() == ["pretended"]
    assert versions()["accelerators"] == "pretended"
    objective = SNNLObjective(nn.Linear(6, 2), temperatures=[1.0], metric="cosine")
    step = Step(objective, AdamW(objective.parameter_groups(), lr=0.1, weight_decay=0.0))
    (replayed,) = replayed_if_it_pays([step], torch.device("pretended", 0), 16)
    assert isinstance(replayed, ReplayedStep)
    unknown = Step(objective, torch.optim.SGD(objective.network.parameters(), lr=0.1))
    assert replayed_if_it_pays([unknown], torch.device("pretended", 0), 16) == [unknown]
