"""A class of encoders that the package does not have gets what the package's own get."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_iris
from torch import nn

import sknca
from sknca import SNNLEmbedding
from sknca._sparse_rows import dense
from sknca.networks import (
    Encoder,
    UnitCode,
    answers_of,
    apply,
    hidden_layers,
    is_plain,
    largest_product,
)
from sknca.persistence import _networks

X, y = load_iris(return_X_y=True)
X = X * [1.0, 10.0, 0.1, 100.0] + 1000


class TwoMaps(Encoder, nn.Module):
    """The mean of two linear maps, computed side by side."""

    starts_from_data = True
    is_plain = True
    reads_sparse = True

    def __init__(self, n_inputs, n_outputs, gain=1.0):
        super().__init__()
        self.gain = gain
        self.register_buffer("unit", torch.ones(n_inputs, device="cpu"))
        maps = [nn.Linear(n_inputs, n_outputs, bias=False).weight.detach().T for _ in range(2)]
        self.weight = nn.Parameter(torch.stack(maps))  # (2, n_inputs, n_outputs)

    @property
    def product_of_a_row(self):
        return self.weight.numel()

    @property
    def spread(self):
        return self.unit

    def start_from(self, x, spread):
        self.set_scale(x, spread)

    def set_scale(self, x, spread):
        self.unit.copy_(spread)

    def squash(self, x):
        return x / self.unit

    def hidden_layers(self):
        return []

    def forward(self, x):
        squashed = self.squash(dense(x))
        return self.gain * torch.bmm(squashed.expand(2, *squashed.shape), self.weight).mean(0)

    def describe(self):
        return {"gain": self.gain}

    @classmethod
    def from_description(cls, about, tensors, n_in, n_out):
        return cls(n_in, n_out, about["gain"])


class Inherited(TwoMaps):
    """It may do anything, and does not say that it is plain."""


def fit(encoder=TwoMaps, X=X, **parameters):
    parameters = {"max_iter": 3, "random_state": 0, "device": "cpu"} | parameters
    return SNNLEmbedding(2, encoder=encoder, **parameters).fit(X, y)


def test_its_samples_are_perturbed_in_its_units():
    codes = fit().transform(X)
    assert np.array_equal(fit(adversarial_radius=0.7).transform(X), codes)
    assert not np.array_equal(fit(adversarial_radius=0.0).transform(X), codes)


@pytest.mark.parametrize("encoder", [TwoMaps, partial(TwoMaps, gain=2.0)])
def test_it_starts_from_centered_samples(encoder):
    embedding = fit(encoder=encoder)
    np.testing.assert_allclose(embedding._center, np.median(X, axis=0), rtol=0.01)
    ours = fit(encoder=None).network_.scale
    torch.testing.assert_close(embedding.network_.unit, 1 / ours)


def test_its_scale_follows_a_stream():
    embedding = SNNLEmbedding(2, encoder=TwoMaps, random_state=0, device="cpu")
    first = embedding.partial_fit(X[::2], y[::2]).network_.unit.clone()
    second = embedding.partial_fit(10 * X[1::2], y[1::2]).network_.unit
    assert (second > 2 * first).all()


def test_a_module_stays_as_it_is():
    module = TwoMaps(4, 2)
    embedding = fit(encoder=module, learning_rate_init=1e-30, weight_decay=0.0)
    assert embedding._center is None
    for fitted, given in zip(embedding.network_.buffers(), module.buffers(), strict=True):
        assert torch.equal(fitted, given)


def test_it_has_to_be_known_before_it_is_made():
    with pytest.raises(ValueError, match="encoder makes a TwoMaps, which starts from the data. P"):
        fit(encoder=lambda n, k: TwoMaps(n, k))


@pytest.mark.parametrize("wrong", [torch.ones(3), torch.ones(4, 1), torch.ones(())])
def test_its_units_are_those_of_the_features(wrong):
    class Wrong(TwoMaps):
        spread = property(lambda self: wrong)

    with pytest.raises(ValueError, match=r"Wrong.spread must have shape \(4,\), got \("):
        fit(encoder=Wrong)


def test_its_threads_follow_from_its_product():
    network = TwoMaps(4, 3)
    assert (
        largest_product(network, 100) == largest_product(UnitCode(network), 100) == 2 * 4 * 3 * 100
    )
    counts = []
    network.register_forward_pre_hook(lambda _, x: counts.append(len(x[0])))
    apply(network, torch.randn(5, 4))
    assert counts == [16]  # filled up, because it is dense


def test_its_steps_are_recorded_on_a_gpu():
    embedding = fit()
    assert embedding._objective.has_fixed_steps
    assert is_plain(fit(metric="cosine").network_)
    assert not fit(encoder=Inherited)._objective.has_fixed_steps
    embedding.network_.register_forward_hook(lambda *_: None)
    assert not embedding._objective.has_fixed_steps


@pytest.mark.parametrize("encoder", [TwoMaps, partial(TwoMaps, gain=2.0), TwoMaps(4, 2)])
def test_its_random_numbers_are_of_the_fit(encoder):
    embedding = fit(encoder=encoder)
    before = torch.get_rng_state()
    torch.manual_seed(5)
    seeded = torch.get_rng_state()
    again = fit(encoder=encoder)
    assert torch.equal(torch.get_rng_state(), seeded)
    torch.set_rng_state(before)
    assert np.array_equal(again.transform(X), embedding.transform(X))
    assert not embedding._plan().runs_code_of_others
    assert fit(encoder=Inherited)._plan().runs_code_of_others


def test_it_reads_sparse_rows(monkeypatch):
    seen = set()
    forward = TwoMaps.forward
    monkeypatch.setattr(TwoMaps, "forward", lambda self, x: seen.add(type(x)) or forward(self, x))
    embedding = fit(X=sparse.csr_matrix(X))
    embedding.transform(sparse.csr_matrix(X))
    assert {kind.__name__ for kind in seen} == {"SparseRows"}


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
def test_one_entry_of_a_table_saves_it(metric, monkeypatch, tmp_path):
    monkeypatch.setitem(_networks.KINDS, "TwoMaps", TwoMaps)
    embedding = fit(encoder=partial(TwoMaps, gain=2.0), metric=metric)
    described = _networks.describe_objective(embedding._objective, [])
    assert described["encoder"] == {"kind": "TwoMaps", "gain": 2.0}
    sknca.save(embedding, tmp_path / "e")
    # What it was made with is in the file.
    again = sknca.load(tmp_path / "e", encoder=TwoMaps)
    assert np.array_equal(again.transform(X), embedding.transform(X))


def test_without_it_a_file_is_loaded_with_the_class(tmp_path):
    embedding = fit()
    sknca.save(embedding, tmp_path / "e")
    again = sknca.load(tmp_path / "e", encoder=TwoMaps)
    assert np.array_equal(again.transform(X), embedding.transform(X))


def test_its_codes_are_exported(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    embedding = fit()
    sknca.export_onnx(embedding, tmp_path / "e.onnx", input_dtype="float64")
    session = onnxruntime.InferenceSession(tmp_path / "e.onnx")
    (codes,) = session.run(["codes"], {"X": X})
    np.testing.assert_allclose(codes, embedding.transform(X), atol=1e-4)


def test_it_names_its_hidden_layers():
    assert hidden_layers(UnitCode(TwoMaps(4, 2))) == []
    assert hidden_layers(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))) == ["0", "1"]


def test_of_other_modules_nothing_is_known():
    network = nn.Conv1d(1, 2, 3)
    answers = answers_of(UnitCode(network))
    said = answers.starts_from_data, answers.reads_sparse, answers.is_plain, answers.spread
    assert said == (False, False, False, None)
    assert answers.made_with() == {}
    assert answers.squash(X) is X
    assert not is_plain(network)
    assert largest_product(network, 0) == largest_product(network, 1) == np.inf
