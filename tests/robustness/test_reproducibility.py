"""Losses on digits, written down: what changes them was meant to, and says so in the changelog."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits

from sknca import SNNLEmbedding, TripletEmbedding

#: Losses of three epochs. Print them anew with `python tests/robustness/test_reproducibility.py`.
LOSSES = {
    "defaults": [1.12798, 0.17069, 0.273994],
    "cosine": [0.413869, 0.142169, 0.12661],
    "linear": [2.7872, 0.15443, 2.01172],
    "NCA": [1.12798, 0.149975, 0.0808052],
    "annealed": [1.12798, 0.166457, 0.408145],
    "learned temperature": [1.12638, 0.170093, 0.275941],
    "all layers": [2.59955, 0.565347, 1.04757],
    "reconstruction": [21.1069, 15.8608, 12.8561],
    "classification": [3.39997, 1.60748, 1.4626],
    "half of the labels": [1.10571, 0.138052, 0.236944],
    "triplets": [0.844, 1.18366, 0.963964],
    "hard triplets": [0.854435, 0.699967, 0.697332],
}

#: Training amplifies rounding. In these, two kinds of processor differed by up to 2e-4.
AMPLIFYING = {"cosine": 5e-4, "triplets": 5e-4}

FITS = {
    "defaults": SNNLEmbedding(),
    "cosine": SNNLEmbedding(metric="cosine", temperature=0.1),
    "linear": SNNLEmbedding(hidden_layer_sizes=()),
    "NCA": SNNLEmbedding(q=1.0),
    "annealed": SNNLEmbedding(temperature_schedule="annealed"),
    "learned temperature": SNNLEmbedding(temperature_schedule="learned"),
    "all layers": SNNLEmbedding(layers="all"),
    "reconstruction": SNNLEmbedding(primary_loss="reconstruction"),
    "classification": SNNLEmbedding(primary_loss="classification"),
    "half of the labels": SNNLEmbedding(unlabeled=-1),
    "triplets": TripletEmbedding(),
    "hard triplets": TripletEmbedding(mining="hard", margin="soft", metric="cosine"),
}


SETTINGS = {"max_iter": 3, "random_state": 0, "device": "cpu"}


def losses(name, n_threads=1, **parameters):
    X, y = load_digits(return_X_y=True)
    if name == "half of the labels":
        y = np.where(np.arange(len(y)) % 2, y, -1)
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        fitted = clone(FITS[name]).set_params(**SETTINGS | parameters).fit(X, y)
    finally:
        torch.set_num_threads(before)
    return fitted.loss_curve_


@pytest.mark.parametrize("name", FITS)
def test_losses_are_those_written_down(name):
    assert losses(name) == pytest.approx(LOSSES[name], rel=AMPLIFYING.get(name, 1e-4))


def test_threads_change_no_bit_of_small_networks():
    assert losses("defaults", n_threads=2) == losses("defaults")


def test_threads_change_large_networks_by_rounding():
    large = {"hidden_layer_sizes": (2000, 500), "max_iter": 1}
    one, two = (losses("defaults", n_threads=n, **large) for n in (1, 2))
    assert two == pytest.approx(one, rel=1e-4)


def test_what_ran_before_changes_no_bit():
    first = losses("defaults")
    torch.manual_seed(5)
    losses("hard triplets")
    torch.rand(3)
    assert losses("defaults") == first


if __name__ == "__main__":
    print("LOSSES = {")
    for name in FITS:
        print(f'    "{name}": {[float(f"{loss:.6g}") for loss in losses(name)]},')
    print("}")
