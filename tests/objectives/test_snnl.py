import math

import pytest
import torch
from torch import nn

from sknca.data import Batch
from sknca.functional import soft_nearest_neighbor_loss
from sknca.networks import CODE, MLP
from sknca.objectives import Classification, Reconstruction, SNNLObjective

N = 30


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MLP(4, 3, hidden_layer_sizes=(6, 5), activation="tanh", dropout=0.0)


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(N, 4, generator=generator), torch.arange(N) % 3


WEIGHT = torch.linspace(0.5, 2, N)


def layer_outputs(network, x):
    """What each layer outputs, by hooks set here by hand."""
    outputs = []
    layers = [*network.hidden, network]
    handles = [m.register_forward_hook(lambda _, __, out: outputs.append(out)) for m in layers]
    network(x)
    for handle in handles:
        handle.remove()
    return outputs


@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cosine"])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("code_units", [None, 2, 100])
def test_all_layers_are_summed(network, rows, metric, weight, code_units):
    x, y = rows
    objective = SNNLObjective(
        network,
        metric=metric,
        temperatures=[0.5, 2.0],
        layers=["hidden.0", "hidden.1", CODE],
        code_units=code_units,
    )
    total, parts = objective(Batch(x, y, weight), 1)
    expected = sum(
        soft_nearest_neighbor_loss(
            output[:, :code_units], y, 2.0, metric=metric, sample_weight=weight
        )
        for output in layer_outputs(network, x)
    )
    torch.testing.assert_close(total, expected)
    assert parts == {}
    assert objective.settings(1) == {"temperature": 2.0, "q": 0.0}


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("snnl_weight", [2.0, -0.5, 0.0])
def test_total_of_reconstruction(network, rows, weight, snnl_weight):
    x, y = rows
    decoder = nn.Linear(3, 4)
    objective = SNNLObjective(
        network,
        metric="cosine",
        temperatures=[0.3],
        primary=Reconstruction(decoder),
        snnl_weight=snnl_weight,
    )
    total, parts = objective(Batch(x, y, weight), 0)
    errors = ((decoder(network(x)) - x) ** 2).mean(1)
    share = torch.ones(N) if weight is None else weight
    reconstruction = (share * errors).sum() / share.sum()
    snnl = soft_nearest_neighbor_loss(network(x), y, 0.3, metric="cosine", sample_weight=weight)
    torch.testing.assert_close(parts["reconstruction"], reconstruction)
    torch.testing.assert_close(total, reconstruction + snnl_weight * snnl)
    assert ("snnl" in parts) == (snnl_weight != 0)


def test_moved_rows_are_to_become_what_they_were(network, rows):
    x, y = rows
    decoder = nn.Linear(3, 4)
    objective = SNNLObjective(
        network, metric="cosine", temperatures=[0.3], primary=Reconstruction(decoder)
    )
    moved = x + 0.1
    _, parts = objective(Batch(moved, y, target=x), 0)
    error = ((decoder(network(moved)) - x) ** 2).mean()
    torch.testing.assert_close(parts["reconstruction"], error)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_total_of_classification(network, rows, weight):
    x, y = rows
    y = torch.where(torch.arange(N) < 6, -1, y)
    objective = SNNLObjective(
        network,
        metric="cosine",
        temperatures=[0.3],
        primary=Classification(3, 3),
        partly_labeled=True,
    )
    _, parts = objective(Batch(x, y, weight), 0)
    losses = nn.functional.cross_entropy(
        objective.primary.head(network(x[6:])), y[6:], reduction="none"
    )
    share = torch.ones(N) if weight is None else weight
    torch.testing.assert_close(
        parts["classification"], (share[6:] * losses).sum() / share[6:].sum()
    )


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_rows_without_label_leave_the_loss_as_it_is(network, rows, weight):
    x, y = rows
    y = torch.where(torch.arange(N) % 5 == 0, -1, y)
    labeled = y >= 0
    objective = SNNLObjective(
        network, metric="sqeuclidean", temperatures=[1.0], partly_labeled=True
    )
    total, _ = objective(Batch(x, y, weight), 0)
    some = Batch(x[labeled], y[labeled], None if weight is None else weight[labeled])
    of_labeled, _ = objective(some, 0)
    torch.testing.assert_close(total, of_labeled)

    held_out = objective.held_out(Batch(x, y, weight), Batch(x, y, weight))
    of_labeled = soft_nearest_neighbor_loss(
        network(x[labeled]),
        y[labeled],
        sample_weight=None if weight is None else weight[labeled],
        neighbors=network(x[labeled]),
        neighbor_labels=y[labeled],
        neighbor_weight=None if weight is None else weight[labeled],
    )
    torch.testing.assert_close(held_out, of_labeled)


def test_a_batch_without_any_label_is_a_differentiable_zero(network, rows):
    x, _ = rows
    objective = SNNLObjective(
        network,
        metric="cosine",
        temperatures=[1.0],
        primary=Classification(3, 2),
        partly_labeled=True,
    )
    total, _ = objective(Batch(x, torch.full((N,), -1)), 0)
    total.backward()
    assert total.item() == 0
    assert all((p.grad == 0).all() for p in network.parameters())


def test_validation_goes_by_the_last_temperature(network, rows):
    x, y = rows
    objective = SNNLObjective(network, metric="cosine", temperatures=[1.0, 0.7, 0.2])
    loss = objective.held_out(Batch(x[:9], y[:9]), Batch(x[9:], y[9:]))
    expected = soft_nearest_neighbor_loss(
        network(x[:9]), y[:9], 0.2, metric="cosine", neighbors=network(x[9:]), neighbor_labels=y[9:]
    )
    torch.testing.assert_close(loss, expected.detach())


def test_validation_is_in_evaluation_mode(network, rows):
    x, y = rows
    decoder = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 4))
    objective = SNNLObjective(
        network, metric="cosine", temperatures=[1.0], primary=Reconstruction(decoder)
    ).train()
    losses = {objective.held_out(Batch(x, y), Batch(x, y)).item() for _ in range(5)}
    assert len(losses) == 1


class TestLearnedTemperature:
    def objective(self, network, **parameters):
        return SNNLObjective(
            network,
            metric="cosine",
            temperatures=[0.5],
            learned=True,
            layers=["hidden.0", CODE],
            **parameters,
        )

    def test_starts_where_it_is_told_and_gets_a_gradient(self, network, rows):
        objective = self.objective(network)
        assert objective.settings(0)["temperature"] == pytest.approx([0.5, 0.5])
        objective(Batch(*rows), 0)[0].backward()
        assert (objective.log_temperatures.grad != 0).all()

    @pytest.mark.parametrize("log_temperature", [-1e4, 1e4])
    def test_stays_finite_and_positive(self, network, rows, log_temperature):
        objective = self.objective(network)
        with torch.no_grad():
            objective.log_temperatures.fill_(log_temperature)
        total, _ = objective(Batch(*rows), 0)
        assert total.isfinite()
        assert all(0 < t < math.inf for t in objective.settings(0)["temperature"])

    def test_does_not_decay(self, network):
        network_group, temperature_group = self.objective(network).parameter_groups()
        assert len(network_group["params"]) == len(list(network.parameters()))
        assert temperature_group["weight_decay"] == 0
        assert len(temperature_group["params"]) == 1


@pytest.mark.cuda
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("metric", ["sqeuclidean", "euclidean", "cosine"])
def test_cuda_step_waits_for_nothing(network, rows, metric):
    x, y, weight = (t.cuda() for t in (*rows, WEIGHT))
    objective = SNNLObjective(network, metric=metric, temperatures=[0.5]).cuda()
    objective(Batch(x, y, weight), 0)[0].backward()  # loads the libraries
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        objective(Batch(x, y, weight), 0)[0].backward()
    finally:
        torch.cuda.set_sync_debug_mode(before)


def test_without_training_rows_held_out_rows_look_among_themselves():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 3, generator=generator), torch.arange(20) % 3
    objective = SNNLObjective(nn.Identity(), metric="sqeuclidean", temperatures=[1.0, 0.5])
    loss = objective.held_out(Batch(x, y), None)
    torch.testing.assert_close(loss, soft_nearest_neighbor_loss(x, y, 0.5))  # of the last epoch
    assert not torch.allclose(loss, objective.held_out(Batch(x, y), Batch(x, y)))


def test_a_recorded_step_reads_q_from_the_same_memory_before_and_after_it_is_adapted(network):
    objective = SNNLObjective(
        network, metric="sqeuclidean", temperatures=[1.0] * 3, q=[0.0, 0.3, 0.6], adapts_q=True
    )
    epoch = torch.tensor([2])
    before = objective._q(epoch)
    assert before.item() == pytest.approx(0.6)
    objective.adapt_to(None)
    after = objective._q(epoch)
    assert isinstance(after, torch.Tensor)
    assert after.item() == pytest.approx(0, abs=1e-5)
    assert objective._q(2) == 0
