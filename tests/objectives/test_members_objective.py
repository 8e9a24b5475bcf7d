"""The loss of several networks is the mean of their losses."""

import copy

import pytest
import torch

from sknca.data import Batch
from sknca.networks import CODE, MLP, UnitCode
from sknca.objectives import MembersObjective, SNNLObjective, TripletObjective


def network(metric):
    made = MLP(5, 3, hidden_layer_sizes=(8,), activation="relu", dropout=0.0)
    return UnitCode(made) if metric == "cosine" else made


def snnl(metric, **parameters):
    prefix = "encoder." if metric == "cosine" else ""
    given = {"temperatures": [0.5, 0.4], "q": [0.0, 0.7], "layers": [f"{prefix}hidden.0", CODE]}
    return SNNLObjective(network(metric), metric=metric, **given | parameters)


def triplet(metric):
    return TripletObjective(network(metric), metric=metric, margin=0.3, mining="all")


MAKERS = {
    "snnl": snnl,
    "learned": lambda metric: snnl(metric, learned=True, adapts_q=True, code_units=2),
    "triplet": triplet,
}


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return Batch(torch.randn(20, 5), torch.arange(20) % 3, torch.rand(20))


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("name", MAKERS)
def test_loss_and_gradients_are_those_of_separate_networks(name, metric, batch):
    members = [MAKERS[name](metric) for _ in range(4)]
    objective = MembersObjective(copy.deepcopy(members)).train()
    total, _ = objective(batch, 1)
    total.backward()
    losses = [member.train()(batch, 1)[0] for member in members]
    torch.testing.assert_close(total, torch.stack(losses).mean(), atol=1e-6, rtol=1e-6)
    for member, own in zip(objective.members, members, strict=True):
        own(batch, 1)[0].backward()
        for found, expected in zip(member.parameters(), own.parameters(), strict=True):
            torch.testing.assert_close(4 * found.grad, expected.grad, atol=1e-6, rtol=1e-6)
    held_out = [member.held_out(batch, batch) for member in members]
    torch.testing.assert_close(objective.held_out(batch, batch), torch.stack(held_out).mean())
    expected = torch.cat([member.codes(batch.x) for member in members], 1) / 2
    torch.testing.assert_close(objective.codes(batch.x), expected)


def test_its_tensors_have_one_name():
    members = [snnl("sqeuclidean") for _ in range(3)]
    names = MembersObjective(members).state_dict().keys()
    assert len(names) == 3 * len(members[0].state_dict())
    assert all(name.startswith("members.") for name in names)


def test_its_network_is_that_of_its_members():
    objective = copy.deepcopy(MembersObjective([snnl("cosine") for _ in range(2)]))
    assert [*objective.network.members] == [member.network for member in objective.members]
    assert objective.train().network.training
    assert not objective.eval().network.training


def test_settings_are_the_mean_of_the_members(batch):
    members = [MAKERS["learned"]("sqeuclidean") for _ in range(2)]
    objective = MembersObjective(members)
    assert objective.settings(1) == members[0].settings(1)
    members[0].log_temperatures.data[1] = 0.0
    temperature = objective.settings(0)["temperature"]
    assert temperature == pytest.approx([0.5, 0.75])
    objective.adapt_to(batch)
    again = MembersObjective([MAKERS["learned"]("sqeuclidean") for _ in range(2)])
    again.load_training_state(objective.training_state())
    assert [member.q for member in again.members] == [member.q for member in members]
    groups = objective.parameter_groups()
    assert [len(group["params"]) for group in groups] == [8, 2]
