"""Networks side by side are the same as networks one by one."""

import math

import pytest
import torch
from torch import nn

from sknca._random import drawing_from
from sknca._sparse_rows import SparseRows
from sknca.networks import (
    CODE,
    MLP,
    Members,
    SkipMLP,
    UnitCode,
    apply_layers,
    choose_layers,
    describe_layer,
    hidden_layers,
    is_plain,
    joined,
    largest_product,
    members_of,
    parted,
)


def make(kind=SkipMLP, n=3, **parameters):
    torch.manual_seed(0)
    parameters = {"hidden_layer_sizes": (8, 7), "activation": "relu", "dropout": 0.3} | parameters
    return [kind(5, 2, **parameters) for _ in range(n)]


@pytest.fixture
def x():
    return torch.randn(9, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("unit_code", [False, True])
@pytest.mark.parametrize("in_fit", [False, True])
def test_outputs_and_gradients_are_those_of_each(x, unit_code, in_fit):
    members = [UnitCode(m) if unit_code else m for m in make()]
    network = Members(members).train()
    results = []
    for run in (lambda x: network(x), lambda x: torch.cat([m(x) for m in members], 1) / 3**0.5):
        rows = x.clone().requires_grad_()
        network.zero_grad()
        with drawing_from(torch.Generator().manual_seed(2) if in_fit else None):
            torch.manual_seed(2)
            output = run(rows)
        output.sin().sum().backward()
        results.append([output.detach(), rows.grad, *(p.grad for p in network.parameters())])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_the_squared_distance_is_the_mean_of_the_members(x):
    members = [m.eval() for m in make()]
    z = Members(members)(x)
    expected = torch.stack([torch.cdist(m(x), m(x)).square() for m in members]).mean(0)
    torch.testing.assert_close(torch.cdist(z, z).square(), expected)
    for part, member in zip(parted(z, 3), members, strict=True):
        torch.testing.assert_close(part, member(x))


def test_normalized_members_give_a_normalized_code(x):
    codes = Members([UnitCode(m).eval() for m in make()])(x)
    torch.testing.assert_close(codes.norm(dim=1), torch.ones(9))


def test_it_starts_and_is_scaled_as_its_members(x):
    members = make()
    network = Members(members)
    network.set_scale(x, x.std(0))
    for member in members:
        torch.testing.assert_close(member.spread, network.spread)
    assert torch.equal(network.squash(x), members[2].squash(x))


def test_layers_are_joined(x):
    for members in (make(), [UnitCode(m) for m in make()]):
        network = Members(members).eval()
        names = hidden_layers(network)
        assert names == hidden_layers(members[0])
        assert choose_layers(network, "all") == [*names, CODE]
        shown = [describe_layer(network, name) for name in names]
        assert shown == ["hidden.0", "hidden.1"]
        outputs = apply_layers(network, x, [*names, CODE])
        each = [apply_layers(member, x, [*names, CODE]) for member in members]
        for name in (*names, CODE):
            expected = joined([some[name] for some in each])
            torch.testing.assert_close(outputs[name], expected)


def test_it_reads_sparse_rows_if_all_do(x):
    assert not Members(make()).reads_sparse
    network = Members(make(sparse=True)).eval()
    assert network.reads_sparse
    starts = torch.arange(0, 50, 5)
    rows = SparseRows(x.flatten(), torch.arange(5).repeat(9), starts, 5)
    torch.testing.assert_close(network(rows), network(x))


def test_what_is_known_of_it():
    network = Members(make(MLP))
    assert is_plain(network)
    assert network.gpu_chunk_rows == 4096
    assert largest_product(network, 10) == 10 * 8 * 7
    assert not is_plain(Members([nn.Bilinear(2, 2, 2)]))
    assert largest_product(Members([nn.Bilinear(2, 2, 2)]), 1) == math.inf
    assert members_of(network) == [*network.members]
    assert members_of(network.members[0]) == [network.members[0]]
