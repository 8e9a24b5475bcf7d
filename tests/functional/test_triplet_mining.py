import math

import pytest
import reference
import torch
from live_memory import LiveMemory
from pytorch_metric_learning import distances, miners

from sknca.functional import mine_negatives, mine_triplets, squared_l2_distance

METRICS = ("sqeuclidean", "euclidean", "cosine")

#: Labels of the batches: also one class alone, one row alone, and a class of one row.
LABELS = {
    "four classes": [0, 3, 1, 0, 2, 1, 3, 0, 2, 1, 0, 3],
    "singletons": [0, 1, 2, 3, 4, 0, 0, 5, 4, 6, 7, 8],
    "one class": [7] * 12,
    "all singletons": list(range(12)),
    "booleans": [True, False, False, True] * 3,
}


def batch(kind="four classes", dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.tensor(LABELS[kind])
    return torch.randn(len(y), 3, dtype=dtype, generator=generator), y


def as_set(triplets):
    found = list(zip(*(index.tolist() for index in triplets), strict=True))
    assert len(found) == len(set(found))
    return set(found)


class TestMineTriplets:
    @pytest.mark.parametrize("kind", LABELS)
    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("strategy", ["all", "semihard", "hard"])
    @pytest.mark.parametrize("margin", [0.0, 0.3, 2.0, math.inf])
    def test_matches_the_triple_loop(self, kind, metric, strategy, margin):
        z, y = batch(kind)
        mined = mine_triplets(z, y, margin=margin, strategy=strategy, metric=metric)
        expected = reference.triplets(z.tolist(), y.tolist(), margin, strategy, metric)
        assert as_set(mined) == set(expected)

    @pytest.mark.parametrize("strategy", ["all", "semihard"])
    def test_duplicates_and_ties(self, strategy):
        # On a grid all distances are exact, so that equal ones are equal.
        z = torch.tensor([[0, 0], [0, 0], [0, 1], [0, 0], [0, 1], [1, 1], [2, 0], [0, 0]])
        y = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])
        mined = mine_triplets(z.float(), y, strategy=strategy)
        assert as_set(mined) == set(
            reference.triplets(z.tolist(), y.tolist(), 1.0, strategy, "sqeuclidean")
        )

    @pytest.mark.parametrize("kind", LABELS)
    @pytest.mark.parametrize("strategy", ["all", "semihard", "hard"])
    def test_matches_pytorch_metric_learning(self, kind, strategy):
        z, y = batch(kind, torch.float32, seed=1)
        distance = distances.LpDistance(normalize_embeddings=False, p=2, power=2)
        miner = (
            miners.BatchHardMiner(distance=distance)
            if strategy == "hard"
            else miners.TripletMarginMiner(1.0, type_of_triplets=strategy, distance=distance)
        )
        expected = miner(z, y.long())
        assert as_set(mine_triplets(z, y, strategy=strategy)) == as_set(expected)

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("margin", [0.3, math.inf])
    def test_random_draws_one_violating_triplet_for_each_anchor(self, metric, margin):
        z, y = batch()
        violating = set(reference.triplets(z.tolist(), y.tolist(), margin, "all", metric))
        generator = torch.Generator().manual_seed(0)
        seen = set()
        for _ in range(300):
            mined = as_set(
                mine_triplets(
                    z, y, margin=margin, strategy="random", metric=metric, generator=generator
                )
            )
            assert sorted(a for a, _, _ in mined) == sorted({a for a, _, _ in violating})
            seen |= mined
        assert seen <= violating
        assert len(seen) > 0.9 * len(violating)

    def test_random_is_even_over_positives_and_then_over_negatives(self):
        z = torch.zeros(9, 2)
        y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1, 1])
        generator = torch.Generator().manual_seed(0)
        draws = [mine_triplets(z, y, strategy="random", generator=generator) for _ in range(4000)]
        of_first = torch.stack([torch.stack([p[a == 0], n[a == 0]]) for a, p, n in draws])
        for column, choices in ((0, [1, 2, 3]), (1, [4, 5, 6, 7, 8])):
            counts = of_first[:, column].flatten().bincount(minlength=9)[choices]
            # Five standard deviations of a count.
            share = 1 / len(choices)
            bound = 5 * math.sqrt(4000 * share * (1 - share))
            assert (counts - 4000 * share).abs().max() < bound

    def test_generator_decides(self):
        z, y = batch()
        draws = [
            mine_triplets(z, y, strategy="random", generator=torch.Generator().manual_seed(3))
            for _ in range(2)
        ]
        assert all(map(torch.equal, *draws))

    def test_permuting_rows_permutes_triplets(self):
        z, y = batch()
        new = torch.randperm(len(z), generator=torch.Generator().manual_seed(0))
        mined = as_set(tuple(new[i] for i in mine_triplets(z[new], y[new])))
        assert mined == as_set(mine_triplets(z, y))

    @pytest.mark.parametrize("strategy", ["hard", "random", "semihard"])
    def test_many_blocks_give_what_the_whole_matrix_gives(self, strategy):
        generator = torch.Generator().manual_seed(0)
        y = torch.randint(0, 400, (2000,), generator=generator)
        z = torch.randn(2000, 4, dtype=torch.float64, generator=generator)
        anchor, positive, negative = mine_triplets(z, y, margin=0.1, strategy=strategy)
        d = torch.cdist(z, z).square()
        same = y[:, None] == y
        d_ap, d_an = d[anchor, positive], d[anchor, negative]
        assert (anchor != positive).all()
        assert same[anchor, positive].all()
        assert not same[anchor, negative].any()
        if strategy == "hard":
            is_positive = same & ~torch.eye(len(z), dtype=bool)
            torch.testing.assert_close(d_ap, d.masked_fill(~is_positive, -1).amax(1)[anchor])
            torch.testing.assert_close(d_an, d.masked_fill(same, torch.inf).amin(1)[anchor])
        else:
            assert (d_an < d_ap + 0.1).all()
        if strategy == "semihard":
            assert (d_an > d_ap).all()
            pairs = (same & ~torch.eye(len(z), dtype=bool)).nonzero()
            d_ap, d_an = d[*pairs.T, None], d[pairs[:, 0]].masked_fill(same[pairs[:, 0]], torch.inf)
            assert len(anchor) == ((d_an > d_ap) & (d_an < d_ap + 0.1)).sum()

    @pytest.mark.parametrize("strategy", ["hard", "random"])
    def test_memory_grows_with_rows(self, strategy):
        peaks = []
        for n in (4096, 8192):
            z, y = torch.randn(n, 8), torch.arange(n) % 10
            with LiveMemory() as memory:
                mine_triplets(z, y, strategy=strategy)
            peaks.append(memory.peak)
        assert peaks[1] < 2.2 * peaks[0]

    @pytest.mark.parametrize("strategy", ["all", "semihard"])
    def test_memory_of_a_list_is_that_of_blocks_and_of_the_list(self, strategy):
        n = 1448
        z, y = torch.randn(n, 8), torch.arange(n) % 10
        z[:, 0] += 1e3 * y  # far apart: no triplet is active
        with LiveMemory() as memory:
            mined = mine_triplets(z, y, strategy=strategy)
        assert len(mined[0]) == 0
        assert memory.peak < 24 * 2**20  # n * n * n / 100 bytes would be 29 MiB

    def test_ties_do_not_violate_a_margin_of_zero(self):
        z = torch.tensor([[0.0], [1.0], [-1.0]])
        mined = mine_triplets(z, torch.tensor([0, 0, 1]), margin=0, strategy="random")
        assert [len(i) for i in mined] == [0, 0, 0]

    def test_nothing_to_mine(self):
        for n in (0, 1):
            mined = mine_triplets(torch.zeros(n, 2), torch.zeros(n, dtype=torch.long))
            assert [len(i) for i in mined] == [0, 0, 0]

    def test_errors(self):
        z, y = batch()
        with pytest.raises(ValueError, match="strategy must be one of .*, got 'easy'"):
            mine_triplets(z, y, strategy="easy")
        with pytest.raises(ValueError, match="margin must be a non-negative number.*, got 'soft'"):
            mine_triplets(z, y, margin="soft")
        with pytest.raises(ValueError, match="margin must be a non-negative number.*, got -1"):
            mine_triplets(z, y, margin=-1)
        with pytest.raises(ValueError, match="margin must be a non-negative number.*, got nan"):
            mine_triplets(z, y, margin=math.nan)
        with pytest.raises(ValueError, match="metric must be one of"):
            mine_triplets(z, y, metric="manhattan")
        with pytest.raises(ValueError, match="one label for each of the 12 samples"):
            mine_triplets(z, y[:3])


class TestMineNegatives:
    anchors = torch.tensor([[0.0], [10.0], [20.0], [3.0]])
    positives = torch.tensor([[1.0], [10.0], [22.0], [7.0]])
    negatives = torch.tensor([[4.0], [1.2], [22.1], [1.1], [10.0]])

    def mine(self, strategy, margin=1.0, **kwargs):
        return mine_negatives(
            self.anchors, self.positives, self.negatives, margin=margin, strategy=strategy, **kwargs
        )

    def test_by_hand(self):
        # Distances to the positives: 1, 0, 4, 16.
        assert self.mine("semihard").tolist() == [3, -1, 2, -1]
        assert self.mine("hard").tolist() == [3, 4, 2, 0]
        assert self.mine("semihard", margin=50.0).tolist() == [3, 0, 2, 4]
        assert self.mine("semihard", margin=0).tolist() == [-1] * 4

    def test_random(self):
        generator = torch.Generator().manual_seed(0)
        seen = [set(), set(), set(), set()]
        for _ in range(200):
            for found, index in zip(
                seen, self.mine("random", generator=generator).tolist(), strict=True
            ):
                found.add(index)
        assert seen == [{1, 3}, {4}, {2}, {0, 1, 3}]
        assert self.mine("random", margin=0).tolist()[:3] == [-1, -1, -1]

    @pytest.mark.parametrize("strategy", ["semihard", "hard"])
    def test_matches_the_margins(self, strategy):
        generator = torch.Generator().manual_seed(0)
        anchors, positives, negatives = (
            torch.randn(n, 5, dtype=torch.float64, generator=generator) for n in (300, 300, 5000)
        )
        found = mine_negatives(anchors, positives, negatives, margin=0.2, strategy=strategy)
        d_ap = squared_l2_distance(anchors, positives)
        d_an = torch.cdist(anchors, negatives).square()
        if strategy == "semihard":
            far = ~((d_an > d_ap[:, None]) & (d_an < d_ap[:, None] + 0.2))
            d_an = d_an.masked_fill(far, torch.inf)
        expected = torch.where(d_an.amin(1) < torch.inf, d_an.argmin(1), -1)
        assert torch.equal(found, expected)

    def test_ties_are_no_semihard_negatives(self):
        generator = torch.Generator().manual_seed(0)
        a, p = (torch.randn(50, 16, generator=generator) for _ in range(2))
        found = mine_negatives(a, p, p.clone(), margin=1e-3)
        assert not (found == torch.arange(50)).any()

    def test_a_positive_that_is_not_finite_spoils_its_anchor_only(self):
        positives = self.positives.clone()
        positives[0] = torch.nan
        found = mine_negatives(self.anchors, positives, self.negatives)
        assert found.tolist() == [-1, -1, 2, -1]

    def test_memory_is_that_of_blocks(self):
        anchors, negatives = torch.randn(4096, 8), torch.randn(16384, 8)
        with LiveMemory() as memory:
            mine_negatives(anchors, anchors, negatives)
        assert memory.peak < 0.2 * 4 * 4096 * 16384

    def test_memory_is_that_of_blocks_with_a_small_pool_too(self):
        anchors, negatives = torch.randn(20000, 8), torch.randn(3, 8)
        with LiveMemory() as memory:
            mine_negatives(anchors, anchors, negatives)
        assert memory.peak < 16 * 2**20

    def test_an_empty_pool(self):
        for strategy in ("semihard", "hard", "random"):
            found = mine_negatives(
                self.anchors, self.positives, torch.zeros(0, 1), strategy=strategy
            )
            assert found.tolist() == [-1] * 4

    def test_errors(self):
        with pytest.raises(ValueError, match="strategy must be .* to mine one negative.*'all'"):
            self.mine("all")
        with pytest.raises(ValueError, match="margin must be a non-negative number"):
            self.mine("hard", margin="soft")
        with pytest.raises(ValueError, match="positives must have one sample for each"):
            mine_negatives(self.anchors, self.positives[:2], self.negatives)
