"""The rules of Apple's "mps": one device, no numbers of double precision, no choice of device."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris

import sknca
from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
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
    settings = {"max_iter": 6, "batch_size": 32, "dropout": 0, "random_state": 0, **parameters}
    embedding = cls(device="pretended", **settings).fit(X, y, weight)
    codes = embedding.transform(X)
    if parameters.get("mining") != "random":
        expected = cls(device="cpu", **settings).fit(X, y, weight).transform(X)
        assert_alike(codes, expected)
    sknca.save(embedding, tmp_path / "e")
    assert np.array_equal(sknca.load(tmp_path / "e").transform(X), codes)


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
