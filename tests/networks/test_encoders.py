import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from sknca._random import drawing_from
from sknca.networks import MLP, Dropout, SkipMLP, UnitCode, hidden_layers


def test_mlp_is_linear_without_hidden_layers():
    network = MLP(3, 2, hidden_layer_sizes=(), activation="relu", dropout=0.0)
    x = torch.randn(4, 3)
    torch.testing.assert_close(network(x), x @ network.output.weight.T + network.output.bias)


def test_unit_code():
    network = UnitCode(MLP(3, 2, hidden_layer_sizes=(5, 6), activation="relu", dropout=0.0))
    torch.testing.assert_close(network(torch.randn(9, 3)).norm(dim=1), torch.ones(9))


def started(network, x):
    """The network, started from rows `x` about their mean, in units of their deviation."""
    network.start_from(x, x.std(0, correction=0))
    return network


class TestSkipMLP:
    @pytest.fixture
    def x(self):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(200, 4, generator=generator) @ torch.randn(4, 6, generator=generator)
        return x - x.mean(0)

    @pytest.fixture
    def network(self, x):
        torch.manual_seed(0)
        network = SkipMLP(6, 3, hidden_layer_sizes=(8,), activation="relu", dropout=0.5)
        return started(network, x).eval()

    def test_starts_at_the_principal_components(self, network, x):
        spread = x / x.std(0, correction=0)
        squashed = (spread / (1 + (spread / 3) ** 2).sqrt()).numpy()
        expected = PCA(3).fit(squashed).components_ / 6**0.5  # (3, 6)
        found = network.skip.weight.detach().numpy()
        signs = np.sign((found * expected).sum(1, keepdims=True))
        np.testing.assert_allclose(found, signs * expected, atol=1e-4)

    def test_is_an_mlp_and_a_linear_map(self, network, x):
        squashed = network.squash(x)
        hidden = network.hidden[0](squashed)
        torch.testing.assert_close(network(x), network.output(hidden) + network.skip(squashed))
        assert hidden_layers(network) == ["hidden.0"]

    def test_gradient_in_the_rows(self, network, x):
        rows = x[:5].double().requires_grad_()
        assert torch.autograd.gradcheck(network.double(), rows)

    def test_far_out_values_stay_near(self, network, x):
        before = network.squash(x)
        x[0] = 1e18
        assert (network.squash(x)[0] - before[1:].mean(0)).abs().max() <= 3 * network.unit + 0.2

    def test_features_start_about_zero_and_at_their_usual_variance(self, network, x):
        for rows in (x, x.exp()):  # skewed too
            network.start_from(rows - rows.median(0).values, rows.std(0) / 2)
            features = network.squash(rows - rows.median(0).values)
            torch.testing.assert_close(features.mean(0), torch.zeros(6), atol=1e-5, rtol=0)
            assert features.var(0, correction=0).mean().item() == pytest.approx(0.79, rel=1e-4)

    def test_rare_features_keep_their_proportion(self):
        x = torch.zeros(400, 2)
        x[:100, 0] = 1.0
        x[:4, 1] = 1.0  # not raised to unit variance column by column
        network = SkipMLP(2, 2, hidden_layer_sizes=(8,), activation="relu", dropout=0.0)
        network.start_from(x, torch.full((2,), 0.5))
        features = network.squash(x)
        steps = features.amax(0) - features.amin(0)
        torch.testing.assert_close(steps[0], steps[1])

    @pytest.mark.parametrize("unit", [1e-44, 1e-30, 1e30])
    def test_extreme_units(self, unit):
        x = unit * torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
        network = SkipMLP(6, 3, hidden_layer_sizes=(8,), activation="relu", dropout=0.0)
        started(network, x)
        assert network(x).isfinite().all()

    @pytest.mark.parametrize(("n", "d", "k"), [(2, 6, 4), (50, 3, 5), (5, 1, 1)])
    def test_fewer_directions_than_components(self, n, d, k):
        network = SkipMLP(d, k, hidden_layer_sizes=(4,), activation="relu", dropout=0.0)
        started(network, torch.randn(n, d))
        assert (network.skip.weight[min(n, d) :] == 0).all()
        assert network(torch.randn(7, d)).isfinite().all()

    def test_constant_features_count_for_nothing(self, x):
        x[:, 2] = 0
        network = SkipMLP(6, 3, hidden_layer_sizes=(8,), activation="relu", dropout=0.0)
        started(network, x)
        other = x.clone()
        other[:, 2] = 5
        assert torch.equal(network(x), network(other))


class TestDropout:
    @pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
    def test_silences_with_its_probability(self, p):
        torch.manual_seed(0)
        x = torch.ones(300, 333, requires_grad=True)
        y = Dropout(p)(x)
        y.sum().backward()
        assert torch.equal(x.grad, y)
        rounded = round(p * 256) / 256 if p >= 1 / 16 else round(p * 65536) / 65536
        assert y.unique().tolist() == pytest.approx([0, 1 / (1 - rounded)], rel=1e-6)
        assert (y == 0).double().mean().item() == pytest.approx(p, abs=0.01)
        for line in (y[0], y[:, 0]):  # independent of the place
            assert (line == 0).double().mean().item() == pytest.approx(p, abs=0.1)

    def test_nearly_all(self):
        assert Dropout(1 - 1e-9)(torch.ones(10, 10)).isfinite().all()

    def test_does_nothing_after_training(self):
        x = torch.randn(5, 3)
        assert Dropout(0.5).eval()(x) is x
        assert Dropout(0)(x) is x

    def test_is_drawn_anew_and_by_the_seed(self):
        x, dropout = torch.ones(50, 7), Dropout(0.5)
        torch.manual_seed(0)
        first, second = dropout(x), dropout(x)
        torch.manual_seed(0)
        assert torch.equal(dropout(x), first)
        assert not torch.equal(first, second)


class TestFused:
    """In a fit on a CPU, networks with ReLU compute all layers in one autograd function."""

    @pytest.fixture(params=[(MLP, (7,), 0.3), (SkipMLP, (7, 6), 0.3), (SkipMLP, (7, 6), 0.0)])
    def network(self, request):
        kind, sizes, dropout = request.param
        torch.manual_seed(0)
        return kind(5, 3, hidden_layer_sizes=sizes, activation="relu", dropout=dropout).train()

    def run(self, network, fused):
        x = torch.randn(9, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
        network.zero_grad()
        with drawing_from(torch.Generator().manual_seed(2)):
            assert network._can_be_fused(x)
            if not fused:
                network._is_relu = False
            output = network(x)
            output.square().sum().backward()
        name = type(output.grad_fn).__name__
        assert ("FusedReLU" in name) == fused
        return [output.detach(), x.grad, *(p.grad for p in network.parameters())]

    def test_computes_what_the_modules_do(self, network):
        for found, expected in zip(self.run(network, True), self.run(network, False), strict=True):
            torch.testing.assert_close(found, expected)

    def test_not_outside_a_fit(self, network):
        assert "FusedReLU" not in type(network(torch.randn(9, 5)).grad_fn).__name__

    def test_not_if_it_was_changed(self, network):
        network.hidden[0][1] = torch.nn.Tanh()
        with drawing_from(torch.Generator()):
            assert not network.train()._can_be_fused(torch.randn(9, 5))

    def test_not_if_activations_are_taken(self, network):
        network.hidden[0].register_forward_hook(lambda *_: None)
        with drawing_from(torch.Generator()):
            assert not network._can_be_fused(torch.randn(9, 5))
