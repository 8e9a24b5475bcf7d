"""The table of strategies is the only place that knows their names."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.base import clone

import sknca
from sknca import TripletEmbedding
from sknca.functional import (
    METRICS,
    STRATEGIES,
    Strategy,
    StrategyName,
    mine_negatives,
    mine_triplets,
    triplet_loss,
)


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
    """One more entry of the table, and nothing else."""
    monkeypatch.setitem(STRATEGIES, "easy", Strategy(easiest, farthest))
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


def by_distance(d_ap, is_positive, d_an, margin, generator):
    """Distance-weighted sampling of negatives of codes on a circle: with the inverse of how many of
    evenly spread codes are at this distance, which is the logarithm of the distance, cut off.
    """
    anchor, positive = is_positive.nonzero(as_tuple=True)
    log_weight = -(d_an.log() / 2).clamp_min(-1).masked_fill(d_an == torch.inf, torch.inf)
    assert not log_weight.isnan().any()
    negative = log_weight[anchor].softmax(1).multinomial(1, generator=generator).squeeze(1)
    return anchor, positive, negative


DISTANCE_WEIGHTED = Strategy(by_distance, draws=True, true_distances=True)


@pytest.mark.parametrize("metric", [*METRICS])
@pytest.mark.parametrize("offset", [0, 100])
def test_a_strategy_that_says_so_gets_the_distances_themselves(metric, offset):
    z, y = torch.randn(30, 3, dtype=torch.float64) + offset, torch.arange(30) % 3
    z[3] = z[0]
    expected = METRICS[metric].distances(z, z)
    seen = []

    def look(d_ap, is_positive, d_an, margin, generator):
        seen.append(d_an[d_an < torch.inf].sort().values)
        assert not d_ap.log().isnan().any()
        assert not d_an.log().isnan().any()
        return easiest(d_ap, is_positive, d_an, margin, generator)

    mine_triplets(z, y, strategy=Strategy(look, true_distances=True), metric=metric)
    mine_triplets(z, y, strategy=look, metric=metric)  # of which nothing is known
    triplet_loss(z, y, margin="soft", strategy=look, metric=metric)
    of_others = expected[y[:, None] != y].sort().values
    for distances in seen:
        torch.testing.assert_close(distances, of_others, atol=1e-9, rtol=1e-9)
    assert len(seen) == 3


def test_a_pool_too():
    anchors, pool = torch.randn(5, 3, dtype=torch.float64), torch.randn(8, 3, dtype=torch.float64)

    def look(d_ap, d_an, margin, generator):
        torch.testing.assert_close(d_ap.squeeze(1), (anchors - anchors.flip(0)).square().sum(1))
        torch.testing.assert_close(d_an, METRICS["sqeuclidean"].distances(anchors, pool))
        return d_an.argmin(1)

    strategy = Strategy(easiest, look, true_distances=True)
    mine_negatives(anchors, anchors.flip(0), pool, strategy=strategy)
    with pytest.raises(ValueError, match="strategy must be one of .* to mine one negative"):
        mine_negatives(anchors, anchors, pool, strategy=DISTANCE_WEIGHTED)


@pytest.mark.parametrize("mining", [DISTANCE_WEIGHTED, by_distance])
@pytest.mark.parametrize("metric", [*METRICS])
def test_distance_weighted_sampling_in_an_embedding(iris, mining, metric, tmp_path):
    X, y = iris

    def fit():
        embedding = TripletEmbedding(2, mining=mining, metric=metric, max_iter=3, random_state=0)
        return clone(embedding).fit(X, y)

    embedding = fit()
    np.testing.assert_array_equal(embedding.transform(X), fit().transform(X))  # it draws of the fit
    assert embedding.loss_ < embedding.loss_curve_[0]
    with pytest.raises(ValueError, match="mining=.* cannot be saved"):
        sknca.save(embedding, tmp_path / "file")
    assert not embedding._objective.has_fixed_steps


def test_a_strategy_of_the_table_is_saved_by_its_name(easy, iris, tmp_path):
    X, y = iris
    mining = STRATEGIES[easy]
    embedding = TripletEmbedding(2, mining=mining, margin=5.0, max_iter=2, random_state=0).fit(X, y)
    sknca.save(embedding, tmp_path / "file")
    again = sknca.load(tmp_path / "file")
    assert again.mining == easy
    np.testing.assert_array_equal(again.transform(X), embedding.transform(X))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda d_ap, *_: (torch.tensor([0]), torch.tensor([0, 1]), torch.tensor([2])), "three"),
        (lambda d_ap, *_: (torch.tensor([0]), torch.tensor([9]), torch.tensor([2])), "three"),
        (lambda d_ap, *_: (torch.tensor([0]), torch.tensor([1]), torch.tensor([0])), "negative"),
        (lambda d_ap, *_: (torch.tensor([0]), torch.tensor([1])), "three"),
        (lambda d_ap, *_: (torch.tensor([0.0]), torch.tensor([1]), torch.tensor([2])), "three"),
        (lambda d_ap, *_: ([0], [1], [2]), "three"),
        (lambda d_ap, *_: (torch.zeros(1, 1).long(),) * 3, "three"),
        (lambda d_ap, *_: None, "three"),
    ],
)
@pytest.mark.parametrize("in_table", [False, True])
def test_what_a_strategy_chooses_is_checked(wrong, message, in_table, monkeypatch):
    if in_table:
        monkeypatch.setitem(STRATEGIES, "wrong", Strategy(wrong))
        wrong = "wrong"
    with pytest.raises(ValueError, match=message):
        mine_triplets(Z, Y, strategy=wrong)
    with pytest.raises(ValueError, match=message):
        triplet_loss(Z, Y, strategy=wrong)


def any_negative(d_ap, is_positive, d_an, margin, generator):
    anchor, positive, _ = easiest(d_ap, is_positive, d_an, margin, generator)
    weight = (d_an[anchor] < torch.inf).float()
    return anchor, positive, torch.multinomial(weight, 1).squeeze(1)


@pytest.mark.parametrize("mining", [*STRATEGIES, any_negative, Strategy(any_negative, draws=True)])
def test_a_strategy_that_draws_does_so_from_the_seed_of_the_fit(mining, iris):
    """From the generator that it gets, or from torch's global one, which is restored."""
    embedding = TripletEmbedding(2, mining=mining, max_iter=3, random_state=0)
    before = torch.get_rng_state()
    codes = clone(embedding).fit_transform(*iris)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(1)
    np.testing.assert_array_equal(clone(embedding).fit_transform(*iris), codes)
    torch.set_rng_state(before)


def test_fits_with_the_strategies_of_the_package_need_not_take_turns():
    for mining in STRATEGIES:
        assert not TripletEmbedding(mining=mining)._plan().runs_code_of_others
    assert not TripletEmbedding(mining=Strategy(easiest))._plan().runs_code_of_others


@pytest.mark.parametrize(
    ("mining", "message"),
    [
        ("random", r"mining='random' is for .* other triplets\.$"),
        (
            easiest,
            r"mining=Strategy\(easiest\) is for .* If it draws none, pass Strategy\(find\)\.$",
        ),
        (Strategy(easiest, draws=True), r"mining=Strategy\(easiest\) is for .* other triplets\.$"),
    ],
)
def test_several_processes_refuse_one_that_may_draw(mining, message):
    several = SimpleNamespace(is_joint=True)
    plan = TripletEmbedding(mining=mining)._plan().objective
    with pytest.raises(ValueError, match=message):
        plan.check(several)
    TripletEmbedding(mining=Strategy(easiest))._plan().objective.check(several)
