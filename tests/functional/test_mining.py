"""The table of strategies is the only place that knows their names."""

import pytest
import torch
from sklearn.utils._param_validation import StrOptions

from sknca import TripletEmbedding
from sknca.functional import mine_negatives, mine_triplets, triplet_loss
from sknca.functional._mining import STRATEGIES, Strategy, StrategyName


def easiest(d_ap, is_positive, d_an, margin, generator):
    """A strategy that the package does not have: the nearest positive, the farthest negative."""
    positive = d_ap.masked_fill(~is_positive, torch.inf).argmin(1)
    d_an = d_an.masked_fill(d_an == torch.inf, -torch.inf)
    anchor = (is_positive.any(1) & (d_an > -torch.inf).any(1)).nonzero().squeeze(1)
    return anchor, positive[anchor], d_an.argmax(1)[anchor]


def farthest(d_ap, d_an, margin, generator):
    return d_an.argmax(1)


@pytest.fixture
def easy(monkeypatch):
    """One more entry of the table, and nothing else but what the estimator accepts by it."""
    monkeypatch.setitem(STRATEGIES, "easy", Strategy(easiest, farthest))
    accepted = TripletEmbedding._parameter_constraints | {"mining": [StrOptions(set(STRATEGIES))]}
    monkeypatch.setattr(TripletEmbedding, "_parameter_constraints", accepted)
    return "easy"


Z = torch.tensor([[0.0], [1.0], [1.5], [4.0], [9.0]], dtype=torch.float64)
Y = torch.tensor([0, 0, 1, 0, 1])


def test_the_annotation_names_them_all():
    assert set(StrategyName.__args__) == set(STRATEGIES)


def test_a_new_strategy_works_in_every_place(easy, iris):
    mined = mine_triplets(Z, Y, strategy=easy)
    found = sorted(zip(*(index.tolist() for index in mined), strict=True))
    assert found == [(0, 1, 4), (1, 0, 4), (2, 4, 3), (3, 1, 4), (4, 2, 0)]
    gaps = torch.tensor([1 - 81, 1 - 64, 56.25 - 6.25, 9 - 25, 56.25 - 81])
    expected = torch.nn.functional.softplus(gaps.double()).mean()
    torch.testing.assert_close(triplet_loss(Z, Y, margin="soft", strategy=easy), expected)
    pool = torch.tensor([[0.5], [30.0]])
    assert mine_negatives(Z.float(), Z.float(), pool, strategy=easy).tolist() == [1] * 5
    embedding = TripletEmbedding(2, mining=easy, margin=5.0, max_iter=3, random_state=0)
    assert embedding.fit_transform(*iris).shape == (150, 2)


@pytest.mark.parametrize("strategy", ["hardest", "All", None])
def test_an_unknown_strategy_is_refused(strategy):
    for function in (mine_triplets, triplet_loss):
        with pytest.raises(ValueError, match=rf"strategy must be one of .*, got {strategy!r}\."):
            function(Z, Y, strategy=strategy)
    with pytest.raises(ValueError, match="strategy must be one of .* to mine one negative"):
        mine_negatives(Z, Z, Z, strategy=strategy)
