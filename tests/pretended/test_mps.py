"""The rules of Apple's "mps": one device, no numbers of double precision, no choice of device."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

import sknca
from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from sknca.functional import triplet_loss
from sknca.metrics import entanglement_score

pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations")

X, y = load_iris(return_X_y=True)
WEIGHT = np.random.RandomState(0).rand(len(X))

CASES = [
    (SNNLEmbedding, {}),
    (SNNLEmbedding, {"temperature_schedule": "annealed", "layers": "all"}),
    (SNNLEmbedding, {"early_stopping": True, "primary_loss": "reconstruction"}),
    *((TripletEmbedding, {"mining": mining}) for mining in ("all", "semihard", "hard", "random")),
    (TripletEmbedding, {"margin": "soft", "early_stopping": True}),
]


def assert_alike(codes, expected):
    """But for rounding, which a training enlarges."""
    assert np.linalg.norm(codes - expected) < 0.02 * np.linalg.norm(expected)


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["", "weights"])
@pytest.mark.parametrize(("cls", "parameters"), CASES)
def test_codes_are_those_of_the_cpu(cls, parameters, weight, tmp_path):
    settings = {"max_iter": 2, "batch_size": 32, "dropout": 0, "random_state": 0, **parameters}
    embedding = cls(device="pretended", **settings).fit(X, y, weight)
    codes = embedding.transform(X)
    if parameters.get("mining") != "random":
        expected = cls(device="cpu", **settings).fit(X, y, weight).transform(X)
        assert_alike(codes, expected)
    sknca.save(embedding, tmp_path / "e")
    assert np.array_equal(sknca.load(tmp_path / "e").transform(X), codes)


@pytest.mark.parametrize("strategy", ["all", "semihard", "hard"])
def test_triplets_in_single_precision(strategy):
    """Sums of weights are exact in double precision, which the CPU has; nearly so without."""
    generator = torch.Generator().manual_seed(0)
    z, weight = torch.randn(32, 4, generator=generator), torch.rand(32, generator=generator)
    labels, results = torch.arange(32).remainder(3), []
    for name in ("cpu", "pretended"):
        leaf = z.to(name).detach().requires_grad_()
        given = labels.to(name), weight.to(name)
        loss = triplet_loss(leaf, given[0], strategy=strategy, sample_weight=given[1])
        loss.backward()
        results.append((loss.detach().cpu(), leaf.grad.cpu()))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-6)


def test_no_random_state_is_changed(device):
    before = device.module.get_rng_state()
    SNNLEmbedding(device="pretended", max_iter=2, batch_size=32).fit(X, y)
    assert torch.equal(device.module.get_rng_state(), before)


def test_scores_and_the_classifier_in_single_precision():
    scores = [entanglement_score(X, y, device=d) for d in ("cpu", "pretended")]
    assert scores[0] == pytest.approx(scores[1], rel=1e-4)
    kinds = [SoftNeighborsClassifier(device=d).fit(X, y) for d in ("cpu", "pretended")]
    probabilities = [kind.predict_proba(X) for kind in kinds]
    assert {p.dtype for p in probabilities} == {np.dtype("float64")}
    np.testing.assert_allclose(*probabilities, atol=1e-4)
