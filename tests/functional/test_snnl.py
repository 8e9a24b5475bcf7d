import math

import numpy as np
import pytest
import reference
import torch
from live_memory import LiveMemory
from sklearn.datasets import load_iris
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from functional.test_distances import ARTICLE
from sknca.functional import (
    _problem,
    cosine_distances,
    soft_nearest_neighbor_loss,
    soft_neighbor_probabilities,
)

METRICS = ["sqeuclidean", "euclidean", "cosine"]
N = 12


@pytest.fixture
def batch():
    """Twelve rows of four classes, one of them with a single row."""
    z = torch.randn(N, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 1, 3, 0, 2])
    return z, y


@pytest.fixture
def weight():
    return torch.tensor([1.0, 2.0, 0.5, 0.0, 3.0, 1.0, 1.0, 0.1, 1.0, 1.0, 2.0, 1.0]).double()


class TestAgainstTheLoop:
    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("temperature", [0.01, 0.3, 1.0, 50.0])
    @pytest.mark.parametrize("block_size", [None, 1, 5, N, N + 7])
    def test_value(self, batch, metric, temperature, block_size):
        z, y = batch
        loss = soft_nearest_neighbor_loss(z, y, temperature, metric=metric, block_size=block_size)
        expected = reference.soft_nearest_neighbor_loss(z.numpy(), y.numpy(), temperature, metric)
        assert loss.item() == pytest.approx(expected, rel=1e-10)

    @pytest.mark.parametrize("metric", METRICS)
    def test_rows(self, batch, metric):
        z, y = batch
        losses = soft_nearest_neighbor_loss(z, y, 0.5, metric=metric, reduction="none")
        expected = reference.row_losses(z.numpy(), y.numpy(), 0.5, metric)
        np.testing.assert_allclose(losses, np.nan_to_num(expected), rtol=1e-10)
        total = soft_nearest_neighbor_loss(z, y, 0.5, metric=metric, reduction="sum")
        assert total.item() == pytest.approx(np.nansum(expected), rel=1e-10)

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("block_size", [None, 5])
    def test_weights(self, batch, weight, metric, block_size):
        z, y = batch
        loss = soft_nearest_neighbor_loss(
            z, y, 0.7, metric=metric, sample_weight=weight, block_size=block_size
        )
        expected = reference.soft_nearest_neighbor_loss(
            z.numpy(), y.numpy(), 0.7, metric, weight.numpy()
        )
        assert loss.item() == pytest.approx(expected, rel=1e-10)

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("block_size", [None, 1, 4])
    def test_neighbors_elsewhere(self, batch, weight, metric, block_size):
        keys, key_labels = batch
        z = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        y = torch.tensor([5, 0, -7, 3, 2, 1])  # 5 and -7 have no positive there
        losses = soft_nearest_neighbor_loss(
            z,
            y,
            0.7,
            metric=metric,
            reduction="none",
            block_size=block_size,
            neighbors=keys,
            neighbor_labels=key_labels,
            neighbor_weight=weight,
        )
        expected = reference.row_losses(
            z.numpy(),
            y.numpy(),
            0.7,
            metric,
            neighbors=(keys.numpy(), key_labels.numpy(), weight.numpy()),
        )
        np.testing.assert_allclose(losses, np.nan_to_num(expected), rtol=1e-10)


class TestFamily:
    """(1 - p^q) / q, between -log p at 0 and 1 - p at 1."""

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("q", [0.2, 0.7, 1.0])
    @pytest.mark.parametrize("block_size", [None, 5])
    def test_value(self, batch, weight, metric, q, block_size):
        z, y = batch
        loss = soft_nearest_neighbor_loss(
            z, y, 0.5, q=q, metric=metric, sample_weight=weight, block_size=block_size
        )
        expected = reference.soft_nearest_neighbor_loss(
            z.numpy(), y.numpy(), 0.5, metric, weight.numpy(), q=q
        )
        assert loss.item() == pytest.approx(expected, rel=1e-10)

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("q", [0.3, 1, torch.tensor(0.7, dtype=torch.float64)])
    @pytest.mark.parametrize("reduction", ["mean", "none"])
    @pytest.mark.parametrize("block_size", [None, 5])
    def test_gradient(self, batch, weight, metric, q, reduction, block_size):
        z, y = batch

        def loss(z, temperature):
            return soft_nearest_neighbor_loss(
                z,
                y,
                temperature,
                q=q,
                metric=metric,
                sample_weight=weight,
                reduction=reduction,
                block_size=block_size,
            )

        temperature = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(loss, (z.clone().requires_grad_(), temperature))

    def test_a_linear_map_at_1_is_nca(self):
        X, y = load_iris(return_X_y=True)
        X = (X - X.mean(0)) / X.std(0)
        nca = NeighborhoodComponentsAnalysis(n_components=2, init="pca", max_iter=1)
        matrix = nca.fit(X, y).components_  # (2, 4)
        nca.n_iter_ = 0
        negated, gradient = nca._loss_grad_lbfgs(matrix.ravel(), X, y[:, None] == y[None, :], -1.0)
        A = torch.tensor(matrix, requires_grad=True)
        loss = soft_nearest_neighbor_loss(
            torch.from_numpy(X) @ A.T, torch.from_numpy(y), q=1.0, reduction="sum"
        )
        loss.backward()
        assert len(X) - loss.item() == pytest.approx(-negated, rel=1e-8)
        np.testing.assert_allclose(A.grad.ravel(), gradient, rtol=1e-6, atol=1e-9)

    def test_tends_to_the_logarithm(self, batch):
        z, y = batch
        exact = soft_nearest_neighbor_loss(z, y, 0.01)
        for q in (1e-12, torch.tensor(1e-12, dtype=torch.float64)):  # where 1 - p^q cancels
            loss = soft_nearest_neighbor_loss(z, y, 0.01, q=q)
            assert loss.item() == pytest.approx(exact.item(), rel=1e-9)

    def test_is_bounded_where_the_logarithm_is_not(self):
        z = torch.tensor([[0.0], [900.0], [0.1], [900.1]], requires_grad=True)
        losses = soft_nearest_neighbor_loss(z, torch.tensor([0, 0, 1, 1]), q=0.5, reduction="none")
        assert losses.tolist() == pytest.approx([2.0] * 4)
        losses.sum().backward()
        assert torch.equal(z.grad, torch.zeros(4, 1))  # too far to be pulled

    def test_a_row_pulls_by_p_to_the_q(self, batch):
        z, y = batch
        p = soft_neighbor_probabilities(z, 0.5, y).sum(1)
        for row in range(3):
            gradients = []
            for q in (0.0, 0.6):
                leaf = z.clone().requires_grad_()
                soft_nearest_neighbor_loss(leaf, y, 0.5, q=q, reduction="none")[row].backward()
                gradients.append(leaf.grad)
            torch.testing.assert_close(gradients[1], p[row] ** 0.6 * gradients[0])

    @pytest.mark.parametrize("q", [-0.1, 1.5, math.nan, "0.5", None])
    def test_refused(self, batch, q):
        with pytest.raises(ValueError, match=f"q must be a number from 0 to 1, got {q!r}"):
            soft_nearest_neighbor_loss(*batch, q=q)


def test_weights_as_neighbors_of_the_rows_themselves(batch, weight):
    z, y = batch
    losses = soft_nearest_neighbor_loss(z, y, neighbor_weight=weight, reduction="none")
    expected = reference.row_losses(z.numpy(), y.numpy(), 1.0, "sqeuclidean", weight.numpy())
    np.testing.assert_allclose(losses, np.nan_to_num(expected), rtol=1e-10)
    mean = soft_nearest_neighbor_loss(z, y, neighbor_weight=weight)  # in which all weigh the same
    assert mean.item() == pytest.approx(np.nanmean(expected), rel=1e-10)


class TestGradient:
    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    @pytest.mark.parametrize("block_size", [1, 5, N, N + 7])
    def test_in_codes_and_temperature(self, batch, weight, metric, reduction, block_size):
        z, y = batch
        temperature = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

        def loss(z, temperature):
            return soft_nearest_neighbor_loss(
                z,
                y,
                temperature,
                metric=metric,
                sample_weight=weight,
                reduction=reduction,
                block_size=block_size,
            )

        assert torch.autograd.gradcheck(loss, (z.requires_grad_(), temperature))

    @pytest.mark.parametrize("metric", METRICS)
    def test_in_neighbors(self, batch, metric):
        keys, key_labels = batch
        z = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        y = torch.tensor([0, 1, 2, 3, 9])

        def loss(z, keys):
            return soft_nearest_neighbor_loss(
                z, y, 0.7, metric=metric, neighbors=keys, neighbor_labels=key_labels
            )

        assert torch.autograd.gradcheck(loss, (z.requires_grad_(), keys.requires_grad_()))

    @pytest.mark.parametrize("metric", METRICS)
    def test_in_float32_is_that_of_float64(self, batch, metric):
        z, y = batch
        grads = [
            torch.autograd.grad(soft_nearest_neighbor_loss(c, y, 0.1, metric=metric), c)[0].double()
            for c in (z.requires_grad_(), z.detach().float().requires_grad_())
        ]
        torch.testing.assert_close(grads[1], grads[0], rtol=1e-4, atol=1e-6)

    def test_survives_rows_that_are_all_but_perfect(self):
        # 1 - p is far below the rounding of p here; a loss that subtracts would say 0.
        z = torch.tensor([[0.0], [0.1], [6.0], [6.1]], requires_grad=True)
        y = torch.tensor([0, 0, 1, 1])
        loss = soft_nearest_neighbor_loss(z, y)
        outer, inner = 6.1**2, 5.9**2
        others = [math.exp(-(6**2)) + math.exp(-outer), math.exp(-(6**2)) + math.exp(-inner)]
        expected = sum(others) / math.exp(-(0.1**2)) / 2  # log(1 + x) = x, for such an x
        assert loss.item() == pytest.approx(expected, rel=1e-4)
        loss.backward()
        assert (z.grad != 0).all()

    def test_no_second_derivative_is_claimed(self, batch):
        z, y = batch
        for reduction in ("mean", "none"):
            loss = soft_nearest_neighbor_loss(z.requires_grad_(), y, reduction=reduction).sum()
            with pytest.raises(RuntimeError, match="no second derivative"):
                torch.autograd.grad(loss, z, create_graph=True)

    def test_reaches_only_what_wants_one(self, batch):
        z, y = batch
        with torch.no_grad():
            assert not soft_nearest_neighbor_loss(z.requires_grad_(), y).requires_grad
        temperature = torch.tensor(1.0, requires_grad=True)
        soft_nearest_neighbor_loss(z.detach(), y, temperature).backward()
        assert temperature.grad.isfinite()


class TestComplex:
    def test_value_and_gradient(self, batch):
        z, y = batch[0] + 1j * batch[0].flip(0), batch[1]
        losses = soft_nearest_neighbor_loss(z, y, 0.3, metric="cosine", reduction="none")
        p = soft_neighbor_probabilities(z, 0.3, y, metric="cosine").sum(1)
        torch.testing.assert_close((-losses[y != 3]).exp(), p[y != 3])
        logits = (-cosine_distances(z, z) / 0.3).fill_diagonal_(-math.inf)
        torch.testing.assert_close(p, (logits.softmax(1) * (y[:, None] == y)).sum(1))
        assert torch.autograd.gradcheck(
            lambda z: soft_nearest_neighbor_loss(z, y, 0.3, metric="cosine", block_size=5),
            z.requires_grad_(),
        )

    def test_turning_all_codes_changes_nothing(self, batch):
        z, y = batch[0] + 1j * batch[0].flip(0), batch[1]
        turn = torch.polar(torch.ones(1).double(), torch.ones(1).double())
        torch.testing.assert_close(
            soft_nearest_neighbor_loss(turn * z, y, metric="cosine"),
            soft_nearest_neighbor_loss(z, y, metric="cosine"),
        )

    def test_neighbors(self, batch):
        z, y = batch
        torch.testing.assert_close(
            soft_nearest_neighbor_loss(
                z + 0j, y, metric="cosine", neighbors=z[:8], neighbor_labels=y[:8]
            ),
            soft_nearest_neighbor_loss(
                z, y, metric="cosine", neighbors=z[:8], neighbor_labels=y[:8]
            ),
        )


class TestLaws:
    @pytest.mark.parametrize("metric", METRICS)
    def test_permutation(self, batch, metric):
        z, y = batch
        order = torch.randperm(N, generator=torch.Generator().manual_seed(2))
        losses = soft_nearest_neighbor_loss(z, y, metric=metric, reduction="none", block_size=5)
        permuted = soft_nearest_neighbor_loss(
            z[order], y[order], metric=metric, reduction="none", block_size=5
        )
        torch.testing.assert_close(permuted, losses[order])

    @pytest.mark.parametrize("metric", METRICS)
    def test_renamed_labels(self, batch, metric):
        z, y = batch
        renamed = torch.tensor([10**12, -3, 0, 7])[y]
        torch.testing.assert_close(
            soft_nearest_neighbor_loss(z, renamed, metric=metric, block_size=5),
            soft_nearest_neighbor_loss(z, y, metric=metric, block_size=5),
        )

    @pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean"])
    def test_translation(self, batch, metric):
        z, y = batch
        torch.testing.assert_close(
            soft_nearest_neighbor_loss(z + 1e4, y, metric=metric),
            soft_nearest_neighbor_loss(z, y, metric=metric),
        )

    @pytest.mark.parametrize(("metric", "power"), [("sqeuclidean", 2), ("euclidean", 1)])
    @pytest.mark.parametrize("c", [1e-3, 7.0])
    def test_scaling_codes_is_scaling_temperature(self, batch, c, metric, power):
        z, y = batch
        torch.testing.assert_close(
            soft_nearest_neighbor_loss(c ** (1 / power) * z, y, c * 0.3, metric=metric),
            soft_nearest_neighbor_loss(z, y, 0.3, metric=metric),
        )

    def test_cosine_knows_no_length(self, batch):
        z, y = batch
        lengths = torch.linspace(0.1, 100, N, dtype=torch.float64)[:, None]
        torch.testing.assert_close(
            soft_nearest_neighbor_loss(lengths * z, y, metric="cosine"),
            soft_nearest_neighbor_loss(z, y, metric="cosine"),
        )

    @pytest.mark.parametrize("metric", METRICS)
    def test_an_integer_weight_is_that_many_neighbors(self, batch, metric):
        z, y = batch
        counts = torch.tensor([1, 2, 3, 0, 1, 2, 1, 1, 4, 1, 1, 2])
        query, label = z[:1] + 0.5, y[:1]
        weighted = soft_nearest_neighbor_loss(
            query, label, metric=metric, neighbors=z, neighbor_labels=y, neighbor_weight=counts
        )
        repeated = soft_nearest_neighbor_loss(
            query,
            label,
            metric=metric,
            neighbors=z.repeat_interleave(counts, 0),
            neighbor_labels=y.repeat_interleave(counts),
        )
        torch.testing.assert_close(weighted, repeated)


class TestAgainstNCA:
    """With squared Euclidean distance and T = 1, exp(-loss) of a row is NCA's p_i."""

    def test_objective_and_gradient(self):
        rng = np.random.RandomState(0)
        X, y = rng.randn(40, 5), rng.randint(0, 3, 40)
        components = 0.5 * rng.randn(2, 5)
        nca = NeighborhoodComponentsAnalysis()
        nca.n_iter_ = 1
        objective, gradient = nca._loss_grad_lbfgs(
            components.ravel(), X, y[:, None] == y[None, :], 1.0
        )

        linear = torch.tensor(components, requires_grad=True)
        z = torch.tensor(X) @ linear.T
        losses = soft_nearest_neighbor_loss(z, torch.tensor(y), reduction="none", block_size=7)
        p = (-losses).exp().sum()
        p.backward()
        assert p.item() == pytest.approx(objective, rel=1e-10)
        np.testing.assert_allclose(linear.grad.ravel(), gradient, rtol=1e-8, atol=1e-10)


class DenormalNumbers(TorchDispatchMode):
    """Notes, while entered, which operations gave a denormal number."""

    def __init__(self):
        super().__init__()
        self.found_after = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if "empty" in str(func) or func.is_view:  # nothing was written
            return result
        for t in tree_leaves(result):
            if isinstance(t, torch.Tensor) and t.is_floating_point():
                tiny = torch.finfo(t.dtype).tiny
                if ((t != 0) & (t.abs() < tiny)).any():
                    self.found_after.append(str(func))
        return result


class TestHardCases:
    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("temperature", [1e-4, 1e-2, 1.0, 1e2, 1e4])
    def test_temperatures(self, batch, metric, dtype, temperature):
        z, y = batch
        z = z.to(dtype).requires_grad_()
        t = torch.tensor(temperature, dtype=dtype, requires_grad=True)
        loss = soft_nearest_neighbor_loss(z, y, t, metric=metric)
        loss.backward()
        expected = reference.soft_nearest_neighbor_loss(
            z.detach().double().numpy(), y.numpy(), temperature, metric
        )
        assert loss.item() == pytest.approx(expected, rel=1e-4 if dtype == torch.float32 else 1e-9)
        assert z.grad.isfinite().all()
        assert t.grad.isfinite()

    def test_underflow_keeps_value_and_gradient(self):
        # The positive is 21 away, someone else next door: every same-class sum underflows in
        # float32 unless it has a maximum of its own.
        z = torch.tensor([[0.0], [0.5], [21.0], [21.5]], requires_grad=True)
        loss = soft_nearest_neighbor_loss(z, torch.tensor([0, 1, 0, 1]))
        assert loss.item() == pytest.approx(21**2 - 0.5**2, rel=1e-6)
        loss.backward()
        assert (z.grad.abs() > 1).all()

    @pytest.mark.parametrize("metric", METRICS)
    def test_offset(self, metric):
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(60, 5, generator=generator) + 1000
        y = torch.randint(0, 4, (60,), generator=generator)
        loss = soft_nearest_neighbor_loss(z, y, metric=metric)
        exact = soft_nearest_neighbor_loss(z.double(), y, metric=metric)
        assert loss.item() == pytest.approx(exact.item(), rel=1e-4)

    def test_singletons_cost_nothing(self):
        z = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
        y = torch.arange(100) % 10
        y[90:] = torch.arange(100, 110)
        losses = soft_nearest_neighbor_loss(z, y, reduction="none")
        assert (losses[90:] == 0).all()
        assert soft_nearest_neighbor_loss(z, y).item() == pytest.approx(losses[:90].mean().item())

    @pytest.mark.parametrize("metric", METRICS)
    def test_duplicates(self, metric):
        z = torch.ones(6, 2, requires_grad=True)
        loss = soft_nearest_neighbor_loss(z, torch.tensor([0, 0, 0, 1, 1, 1]), metric=metric)
        assert loss.item() == pytest.approx(math.log(5 / 2), rel=1e-6)
        loss.backward()
        assert z.grad.abs().max() < 1e-6

    @pytest.mark.parametrize("metric", METRICS)
    def test_one_class_is_perfect(self, metric):
        z = torch.randn(5, 2, requires_grad=True)
        loss = soft_nearest_neighbor_loss(z, torch.zeros(5).long(), metric=metric)
        loss.backward()
        assert loss.item() == 0
        assert (z.grad == 0).all()

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    @pytest.mark.parametrize("y", [[], [0], [0, 1], [2, 0, 1]])
    def test_no_valid_row_is_a_differentiable_zero(self, metric, reduction, y):
        z = torch.randn(len(y), 2, requires_grad=True)
        loss = soft_nearest_neighbor_loss(
            z, torch.tensor(y, dtype=torch.long), metric=metric, reduction=reduction
        )
        assert (loss == 0).all()
        loss.sum().backward()
        assert (z.grad == 0).all()

    def test_two_rows_of_one_class(self):
        loss = soft_nearest_neighbor_loss(torch.randn(2, 3), torch.tensor([4, 4]))
        assert loss.item() == 0

    def test_zero_weights(self):
        z = torch.randn(4, 2, requires_grad=True)
        y = torch.tensor([0, 0, 1, 1])
        loss = soft_nearest_neighbor_loss(z, y, sample_weight=torch.zeros(4))
        loss.backward()
        assert loss.item() == 0
        assert (z.grad == 0).all()

    def test_zero_codes_under_cosine(self):
        z = torch.zeros(4, 3, requires_grad=True)
        loss = soft_nearest_neighbor_loss(z, torch.tensor([0, 0, 1, 1]), metric="cosine")
        loss.backward()
        assert loss.item() == pytest.approx(math.log(3), rel=1e-6)
        assert z.grad.isfinite().all()

    @pytest.mark.parametrize("metric", METRICS)
    def test_nan_is_not_hidden(self, batch, metric):
        z, y = batch
        z[3, 1] = math.nan
        assert soft_nearest_neighbor_loss(z, y, metric=metric).isnan()

    def test_boolean_labels(self, batch):
        z, y = batch
        torch.testing.assert_close(
            soft_nearest_neighbor_loss(z, y > 0), soft_nearest_neighbor_loss(z, (y > 0).long())
        )

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    def test_autocast_computes_in_float32(self, dtype, reduction):
        z = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
        y = torch.arange(30) % 3
        results = []
        for enabled in (True, False):
            leaf = z.clone().requires_grad_()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
                loss = soft_nearest_neighbor_loss(leaf, y, reduction=reduction)
                loss.sum().backward()
            assert loss.dtype == torch.float32
            results.append((loss.detach(), leaf.grad))
        assert torch.equal(results[0][0], results[1][0])
        assert torch.equal(results[0][1], results[1][1])

    @pytest.mark.parametrize("block_size", [None, 5])
    def test_more_rows_than_float32_tells_apart(self, monkeypatch, block_size):
        z, y = torch.randn(40, 3), torch.arange(40) % 7
        expected = soft_nearest_neighbor_loss(z, y, block_size=block_size)
        monkeypatch.setattr(_problem, "_WHOLE_IN_FLOAT32", 1)
        loss = soft_nearest_neighbor_loss(z, y, block_size=block_size)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected)

    @pytest.mark.parametrize(("metric", "far"), [("sqeuclidean", 1e3), ("euclidean", 1e4)])
    def test_an_overflow_is_not_a_missing_positive(self, metric, far):
        z = torch.tensor([[0.0], [far], [2 * far]])
        loss = soft_nearest_neighbor_loss(z, torch.tensor([0, 0, 1]), 1e-35, metric=metric)
        assert not loss.isfinite()

    @pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_far_apart_classes_leave_no_denormal_number(self, metric, dtype):
        # Processors are a hundred times slower with them.
        centers = torch.arange(4, dtype=dtype)[:, None] * torch.logspace(-1, 4, 30)  # (4, 30)
        z = (centers.T.reshape(-1, 1) + torch.randn(120, 1, dtype=dtype)).requires_grad_()
        with DenormalNumbers() as denormal:
            soft_nearest_neighbor_loss(z, torch.arange(120) % 4, metric=metric).backward()
        assert not denormal.found_after


class TestMemory:
    def test_peak_is_linear_in_n(self):
        peaks = []
        for n in (8192, 16384):
            z = torch.randn(n, 8, requires_grad=True)
            y = torch.arange(n) % 10
            with LiveMemory() as memory:
                soft_nearest_neighbor_loss(z, y).backward()
            peaks.append(memory.peak)
        assert peaks[1] < 2.2 * peaks[0]
        assert peaks[1] < 0.05 * 4 * 16384**2

    def test_the_counter_sees_a_square_matrix(self):
        z = torch.randn(500, 8)
        with LiveMemory() as memory:
            soft_neighbor_probabilities(z)
        assert memory.peak >= 4 * 500**2


class TestProbabilities:
    def test_article(self):
        printed = torch.tensor(
            [
                [0, 0.7520, 0.5343, 0.1698],
                [0.7520, 0, 0.6294, 0.1560],
                [0.5343, 0.6294, 0, 0.3272],
                [0.1698, 0.1560, 0.3272, 0],
            ]
        )
        off_diagonal = 1 - torch.eye(4)
        exponentials = (-cosine_distances(ARTICLE, ARTICLE)).exp() * off_diagonal
        torch.testing.assert_close(exponentials, printed, rtol=0, atol=1e-4)

        probabilities = soft_neighbor_probabilities(ARTICLE, metric="cosine")
        expected = printed / printed.sum(1, keepdim=True)
        torch.testing.assert_close(probabilities, expected, rtol=0, atol=1e-4)

        y = torch.tensor([0, 0, 1, 1])
        p = soft_neighbor_probabilities(ARTICLE, y=y, metric="cosine").sum(1)
        masked = (expected * (y[:, None] == y)).sum(1)
        torch.testing.assert_close(p, masked, rtol=0, atol=1e-4)
        loss = soft_nearest_neighbor_loss(ARTICLE, y, metric="cosine")
        assert loss.item() == pytest.approx(-masked.log().mean().item(), abs=1e-4)

    @pytest.mark.parametrize("metric", METRICS)
    @pytest.mark.parametrize("temperature", [1e-3, 1.0, 1e3])
    def test_rows_sum_to_one(self, batch, metric, temperature):
        z, _ = batch
        probabilities = soft_neighbor_probabilities(z, temperature, metric=metric)
        assert (probabilities.diagonal() == 0).all()
        torch.testing.assert_close(probabilities.sum(1), torch.ones(N, dtype=torch.float64))

    @pytest.mark.parametrize("metric", METRICS)
    def test_masked_rows_sum_to_p(self, batch, metric):
        z, y = batch
        p = soft_neighbor_probabilities(z, 0.5, y, metric=metric).sum(1)
        losses = soft_nearest_neighbor_loss(z, y, 0.5, metric=metric, reduction="none")
        has_positive = y != 3
        torch.testing.assert_close(p[has_positive], (-losses[has_positive]).exp())
        assert (p[~has_positive] == 0).all()

    def test_a_single_row_has_nobody(self):
        assert soft_neighbor_probabilities(torch.ones(1, 2)).tolist() == [[0.0]]


class TestRefuses:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"z": torch.ones(4)}, "z must have 2 dimensions"),
            ({"z": torch.ones(4, 2).long()}, "z must have a floating-point dtype, got torch.int64"),
            ({"y": torch.ones(3).long()}, r"one label for each of the 4 samples, got shape \(3,\)"),
            ({"y": torch.ones(4)}, "y must contain integer class labels, got torch.float32"),
            ({"temperature": 0.0}, "temperature must be positive, got 0.0"),
            ({"temperature": -1.0}, "temperature must be positive, got -1.0"),
            ({"temperature": math.nan}, "temperature must be positive, got nan"),
            ({"temperature": math.inf}, "temperature must be positive, got inf"),
            ({"temperature": torch.ones(2)}, "temperature must be one number"),
            ({"metric": "manhattan"}, "metric must be one of .* got 'manhattan'"),
            ({"reduction": "max"}, "reduction must be one of .* got 'max'"),
            ({"block_size": 0}, "block_size must be an integer of at least 1, got 0"),
            ({"block_size": 2.5}, "block_size must be an integer of at least 1, got 2.5"),
            ({"sample_weight": torch.ones(3)}, "one weight for each of the 4 samples"),
            ({"sample_weight": -torch.ones(4)}, "sample_weight must not be negative, got -1"),
            ({"neighbors": torch.ones(3, 2)}, "neighbors was given, but neighbor_labels was not"),
            ({"neighbor_labels": torch.ones(3).long()}, "but neighbors was not"),
            (
                {"neighbors": torch.ones(3, 5), "neighbor_labels": torch.ones(3).long()},
                "got 2 and 5",
            ),
        ],
    )
    def test_bad_arguments(self, arguments, message):
        good = {"z": torch.ones(4, 2), "y": torch.tensor([0, 0, 1, 1])}
        with pytest.raises(ValueError, match=message):
            soft_nearest_neighbor_loss(**{**good, **arguments})


@pytest.mark.cuda
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("block_size", [None, 5])
def test_cuda_is_cpu(batch, weight, metric, dtype, block_size):
    results = []
    for device in ("cpu", "cuda"):
        z = batch[0].detach().to(device, dtype).requires_grad_()
        loss = soft_nearest_neighbor_loss(
            z,
            batch[1].to(device),
            0.3,
            metric=metric,
            sample_weight=weight.to(device),
            block_size=block_size,
        )
        loss.backward()
        results.append((loss.detach().cpu(), z.grad.cpu()))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("block_size", [None, 3])
def test_parts_of_a_batch_among_all_of_it_make_the_whole(metric, weighted, block_size):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(4, (20,), generator=generator)
    y[7] = 9  # without a positive
    weight = torch.rand(20, generator=generator, dtype=torch.float64) if weighted else None
    if weighted:
        weight[3] = 0
    how = {"metric": metric, "reduction": "sum", "q": 0.3, "block_size": block_size}
    whole, shared = z.clone().requires_grad_(), z.clone().requires_grad_()
    expected = soft_nearest_neighbor_loss(whole, y, 0.5, sample_weight=weight, **how)
    parts = [
        soft_nearest_neighbor_loss(
            shared[part],
            y[part],
            0.5,
            sample_weight=None if weight is None else weight[part],
            neighbors=shared,
            neighbor_labels=y,
            neighbor_weight=weight,
            first_neighbor=part.start,
            **how,
        )
        for part in (slice(0, 0), slice(0, 8), slice(8, 9), slice(9, 20))
    ]
    total = sum(parts)
    torch.testing.assert_close(total, expected)
    total.backward()
    expected.backward()
    torch.testing.assert_close(shared.grad, whole.grad)


@pytest.mark.parametrize("first", [-1, 3, 0.0])
def test_a_place_among_the_neighbors_must_be_one(first):
    z, y = torch.eye(4), torch.tensor([0, 0, 1, 1])
    with pytest.raises(ValueError, match=f"first_neighbor must be an integer from 0 to 2.*{first}"):
        soft_nearest_neighbor_loss(
            z[:2], y[:2], neighbors=z, neighbor_labels=y, first_neighbor=first
        )
    with pytest.raises(ValueError, match="first_neighbor was given, but neighbors was not"):
        soft_nearest_neighbor_loss(z, y, first_neighbor=0)
