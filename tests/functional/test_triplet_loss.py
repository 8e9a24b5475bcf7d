import warnings

import pytest
import reference
import torch
from live_memory import LiveMemory
from pytorch_metric_learning import distances, losses, miners

from functional.test_triplet_mining import LABELS, METRICS, batch
from sknca.functional import _anchor_blocks, _every_triplet, mine_triplets, triplet_loss

CASES = [
    (margin, strategy)
    for margin in (0.0, 0.3, 2.0, "soft")
    for strategy in ("all", "semihard", "hard")
    if (margin, strategy) != ("soft", "semihard")
]


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("margin", "strategy"), CASES)
def test_matches_the_triple_loop(kind, metric, margin, strategy):
    z, y = batch(kind)
    loss = triplet_loss(z, y, margin=margin, strategy=strategy, metric=metric)
    expected = reference.triplet_loss(z.tolist(), y.tolist(), margin, strategy, metric)
    assert loss.item() == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("margin", "strategy"), CASES)
def test_weights_match_the_triple_loop(metric, margin, strategy):
    z, y = batch()
    weight = torch.rand(len(z), dtype=z.dtype, generator=torch.Generator().manual_seed(1))
    loss = triplet_loss(z, y, margin=margin, strategy=strategy, metric=metric, sample_weight=weight)
    expected = reference.triplet_loss(z.tolist(), y.tolist(), margin, strategy, metric, weight)
    assert loss.item() == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("margin", "strategy"), CASES)
def test_gradient(metric, weighted, margin, strategy):
    z, y = batch()
    weight = torch.rand(len(z), generator=torch.Generator().manual_seed(1)) if weighted else None

    def loss(z):
        return triplet_loss(
            z, y, margin=margin, strategy=strategy, metric=metric, sample_weight=weight
        )

    assert torch.autograd.gradcheck(loss, z.requires_grad_())


@pytest.mark.parametrize("strategy", ["random"])
@pytest.mark.parametrize("margin", [0.5, "soft"])
def test_random_is_the_mean_over_what_is_mined(strategy, margin):
    z, y = batch()
    z.requires_grad_()
    draws = [torch.Generator().manual_seed(5) for _ in range(2)]
    loss = triplet_loss(z, y, margin=margin, strategy=strategy, generator=draws[0])
    a, p, n = mine_triplets(
        z,
        y,
        margin=torch.inf if margin == "soft" else margin,
        strategy=strategy,
        generator=draws[1],
    )
    gap = (z[a] - z[p]).square().sum(1) - (z[a] - z[n]).square().sum(1)
    expected = (torch.nn.functional.softplus(gap) if margin == "soft" else gap + margin).mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, z)[0], torch.autograd.grad(expected, z)[0])


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize(("margin", "strategy"), CASES)
def test_matches_pytorch_metric_learning(kind, margin, strategy):
    z, y = batch(kind, torch.float32, seed=2)
    z[0] = z[3]  # duplicates: of one class in some of the batches, of two in others
    z.requires_grad_()
    distance = distances.LpDistance(normalize_embeddings=False, p=2, power=2)
    soft = margin == "soft"
    peer = losses.TripletMarginLoss(0 if soft else margin, smooth_loss=soft, distance=distance)
    triplets = None
    if strategy == "semihard":
        triplets = miners.TripletMarginMiner(
            margin, type_of_triplets="semihard", distance=distance
        )(z, y.long())
    elif strategy == "hard":
        triplets = miners.BatchHardMiner(distance=distance)(z, y.long())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = peer(z, y.long(), triplets)
    loss = triplet_loss(z, y, margin=margin, strategy=strategy)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)
    torch.testing.assert_close(
        torch.autograd.grad(loss, z)[0],
        torch.autograd.grad(expected, z, allow_unused=True, materialize_grads=True)[0],
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("margin", "strategy"), CASES)
def test_blocks_do_not_matter(monkeypatch, metric, margin, strategy):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(70, 3, dtype=torch.float64, generator=generator).requires_grad_()
    y = torch.randint(0, 9, (70,), generator=generator)

    def loss_and_gradient():
        loss = triplet_loss(z, y, margin=margin, strategy=strategy, metric=metric)
        return loss, *torch.autograd.grad(loss, z)

    whole = loss_and_gradient()
    monkeypatch.setattr(_anchor_blocks, "_BLOCK_ENTRIES", 1)  # blocks of the fewest rows
    for entries in (1, 100, 5000):
        monkeypatch.setattr(_every_triplet, "_TRIPLET_ENTRIES", entries)
        for part, expected in zip(loss_and_gradient(), whole, strict=True):
            torch.testing.assert_close(part, expected)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("margin", "strategy"), CASES)
def test_laws(metric, margin, strategy):
    z, y = batch()
    options = {"margin": margin, "strategy": strategy, "metric": metric}
    loss = triplet_loss(z, y, **options)
    new = torch.randperm(len(z), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(triplet_loss(z[new], y[new] * -5 + 3, **options), loss)
    if metric == "cosine":
        scale = torch.rand(len(z), 1, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(triplet_loss(z * (scale + 0.1), y, **options), loss)
    else:
        torch.testing.assert_close(triplet_loss(z + 1e4, y, **options), loss)
        if margin != "soft":
            c = 2 if metric == "euclidean" else 4
            options["margin"] = c * margin
            torch.testing.assert_close(triplet_loss(2 * z, y, **options), c * loss)


@pytest.mark.parametrize(("margin", "strategy"), CASES)
def test_rows_of_no_weight_are_no_rows(margin, strategy):
    z, y = batch()
    kept = torch.ones(len(z), dtype=torch.bool)
    kept[[3, 8]] = False
    expected = triplet_loss(z[kept], y[kept], margin=margin, strategy=strategy)
    z[3], z[8] = torch.nan, z[0]
    loss = triplet_loss(z, y, margin=margin, strategy=strategy, sample_weight=kept.float())
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("scale", [1e-30, 1e-14, 1e13])
@pytest.mark.parametrize(("margin", "strategy"), CASES)
def test_only_ratios_of_weights_count(margin, strategy, scale):
    z, y = batch(dtype=torch.float32)
    z.requires_grad_()
    weight = torch.rand(len(z), generator=torch.Generator().manual_seed(1))
    losses = [
        triplet_loss(z, y, margin=margin, strategy=strategy, sample_weight=w)
        for w in (weight, weight * scale)
    ]
    torch.testing.assert_close(*losses)
    torch.testing.assert_close(*(torch.autograd.grad(loss, z)[0] for loss in losses))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("strategy", ["all", "semihard"])
def test_a_heavy_row_does_not_drown_the_others(strategy, seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.cat([3 * torch.randn(60, 4, generator=generator), torch.zeros(1, 4)])
    y = torch.arange(61) % 3
    y[-1] = 9
    weight = torch.full((61,), 1e-6).index_fill(0, torch.tensor([60]), 1)
    options = {"margin": 0.1, "strategy": strategy, "sample_weight": weight}
    loss = triplet_loss(z, y, **options)
    torch.testing.assert_close(loss, triplet_loss(z.double(), y, **options).float())


def test_large_distances_have_a_finite_mean():
    z, y = batch(dtype=torch.float32)
    for strategy in ("all", "hard"):
        assert triplet_loss(z * 1e18, y, strategy=strategy).isfinite()


@pytest.mark.parametrize("strategy", ["all", "semihard", "hard", "random"])
def test_weights_that_are_no_numbers_are_no_zeros(strategy):
    z, y = batch()
    weight = torch.ones(len(z)).index_fill(0, torch.tensor([3]), torch.nan)
    assert triplet_loss(z, y, strategy=strategy, sample_weight=weight).isnan()


@pytest.mark.parametrize("strategy", ["all", "semihard", "hard", "random"])
@pytest.mark.parametrize("kind", ["one class", "all singletons"])
def test_no_triplet_is_a_differentiable_zero(strategy, kind):
    z, y = batch(kind)
    loss = triplet_loss(z.requires_grad_(), y, strategy=strategy)
    loss.backward()
    assert loss.item() == 0
    assert z.grad.count_nonzero() == 0


@pytest.mark.parametrize("strategy", ["all", "semihard", "hard", "random"])
def test_no_active_triplet_is_a_differentiable_zero(strategy):
    z = torch.tensor([[0.0], [1.0], [100.0], [101.0]], requires_grad=True)
    loss = triplet_loss(z, torch.tensor([0, 0, 1, 1]), strategy=strategy)
    loss.backward()
    assert loss.item() == 0
    assert z.grad.count_nonzero() == 0


def test_a_margin_below_rounding_makes_no_triplets_of_ties():
    z = torch.tensor([[0.0], [4096.0], [-4096.0]], requires_grad=True)
    loss = triplet_loss(z, torch.tensor([0, 0, 1]), margin=1e-3)
    loss.backward()
    assert loss.item() == 0
    assert z.grad.count_nonzero() == 0


@pytest.mark.parametrize("strategy", ["all", "semihard", "hard", "random"])
def test_codes_that_are_not_finite_are_no_zero_loss(strategy):
    z, y = batch()
    z[4, 1] = torch.nan
    assert triplet_loss(z, y, strategy=strategy).isnan()
    z = torch.tensor([[0.0, 0.0], [1e20, 0.0], [0.0, 3e20], [1e20, 1e20]])
    assert not triplet_loss(z, torch.tensor([0, 0, 1, 1]), strategy=strategy).isfinite()


def test_soft_is_exact_far_out():
    for scale in (1e-3, 1.0, 1e3):
        z, y = batch()
        z = scale * z
        for strategy in ("all", "hard"):
            loss = triplet_loss(z, y, margin="soft", strategy=strategy)
            expected = reference.triplet_loss(
                z.tolist(), y.tolist(), "soft", strategy, "sqeuclidean"
            )
            assert loss.item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("strategy", ["all", "semihard"])
def test_float32_is_close(strategy):
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, 10, (600,), generator=generator)
    z = torch.randn(600, 16, dtype=torch.float64, generator=generator) + 30
    loss = triplet_loss(z, y, strategy=strategy)
    assert triplet_loss(z.float(), y, strategy=strategy).item() == pytest.approx(
        loss.item(), rel=1e-4
    )
    assert triplet_loss(z.float(), y).dtype == torch.float32
    assert triplet_loss(z.half(), y).dtype == torch.float32


@pytest.mark.parametrize("strategy", ["all", "semihard", "hard", "random"])
def test_memory_grows_with_rows(strategy):
    peaks = []
    # Those that go through every triplet take n * n * n, and blocks of one size: two tenths of a
    # block are less than what n * n numbers would add.
    is_cubic = strategy in ("all", "semihard")
    sizes, most = ((1024, 2048), 1.2) if is_cubic else ((2048, 4096), 2.2)
    for n in sizes:
        z, y = torch.randn(n, 8, requires_grad=True), torch.arange(n) % 10
        with LiveMemory() as memory:
            triplet_loss(z, y, strategy=strategy).backward()
        peaks.append(memory.peak)
    assert peaks[1] < most * peaks[0]


def test_the_default_device_and_dtype_do_not_matter():
    z, y = batch(dtype=torch.float32)
    expected = [triplet_loss(z, y, strategy=s) for s in ("all", "hard")]
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            found = [triplet_loss(z, y, strategy=s) for s in ("all", "hard")]
            triplet_loss(z, y, strategy="random")
    finally:
        torch.set_default_dtype(torch.float32)
    assert found == expected


@pytest.mark.parametrize("strategy", ["all", "hard"])
def test_autocast_is_left_out(strategy):
    z, y = batch(dtype=torch.float32)
    expected = triplet_loss(z, y, strategy=strategy)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert triplet_loss(z, y, strategy=strategy) == expected


def test_no_second_derivative():
    z, y = batch()
    loss = triplet_loss(z.requires_grad_(), y)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(loss, z, create_graph=True)


def test_errors():
    z, y = batch()
    with pytest.raises(ValueError, match="strategy='semihard' needs a number as margin"):
        triplet_loss(z, y, margin="soft")
    with pytest.raises(ValueError, match="margin must be finite or 'soft', got inf"):
        triplet_loss(z, y, margin=torch.inf)
    with pytest.raises(ValueError, match="margin must be a non-negative number.*, got 'hard'"):
        triplet_loss(z, y, margin="hard")
    with pytest.raises(ValueError, match="strategy must be one of .*, got 'batch'"):
        triplet_loss(z, y, strategy="batch")
    with pytest.raises(ValueError, match="metric must be one of"):
        triplet_loss(z, y, metric="l2")
    with pytest.raises(ValueError, match="sample_weight must not be negative"):
        triplet_loss(z, y, sample_weight=-torch.ones(len(z)))
    with pytest.raises(TypeError, match="sample_weight must be a torch.Tensor, got ndarray"):
        triplet_loss(z, y, sample_weight=torch.ones(len(z)).numpy())
    with pytest.raises(TypeError, match="z must be a torch.Tensor"):
        triplet_loss(z.numpy(), y)


@pytest.mark.cuda
@pytest.mark.parametrize(("margin", "strategy"), CASES)
def test_cuda_agrees(margin, strategy):
    z, y = batch()
    z.requires_grad_()
    weight = torch.rand(len(z), generator=torch.Generator().manual_seed(1))
    for w in (None, weight):
        options = {"margin": margin, "strategy": strategy, "sample_weight": w}
        loss = triplet_loss(z, y, **options)
        on_gpu = triplet_loss(z.cuda(), y.cuda(), **options)
        torch.testing.assert_close(on_gpu.cpu(), loss)
        torch.testing.assert_close(
            torch.autograd.grad(on_gpu, z)[0], torch.autograd.grad(loss, z)[0]
        )
