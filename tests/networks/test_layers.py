import pytest
import torch
from torch import nn

from sknca.networks import (
    CHUNK_ROWS,
    CODE,
    MLP,
    UnitCode,
    apply,
    apply_layers,
    choose_layers,
    describe_layer,
    hidden_layers,
    run_layers,
)


def mlp(sizes=(5, 6), dropout=0.0):
    return MLP(3, 2, hidden_layer_sizes=sizes, activation="relu", dropout=dropout)


def custom():
    return nn.Sequential(
        nn.Linear(3, 5), nn.ReLU(), nn.Sequential(nn.Linear(5, 4), nn.Tanh()), nn.Linear(4, 2)
    )


class TestLayers:
    @pytest.mark.parametrize(
        ("network", "expected"),
        [
            (mlp(), ["hidden.0", "hidden.1"]),
            (mlp(()), []),
            (custom(), ["0", "1", "2"]),
            (nn.Linear(3, 2), []),
        ],
    )
    def test_hidden_layers(self, network, expected):
        assert hidden_layers(network) == expected
        inside = UnitCode(network)
        assert hidden_layers(inside) == [f"encoder.{name}" for name in expected]
        assert [describe_layer(inside, name) for name in hidden_layers(inside)] == expected

    @pytest.mark.parametrize("wrap", [lambda network: network, UnitCode])
    def test_choose(self, wrap):
        network = wrap(custom())
        every = [*hidden_layers(network), CODE]
        assert choose_layers(network, "last") == [CODE]
        assert choose_layers(network, "all") == every
        assert choose_layers(network, [0, -1]) == [every[0], CODE]
        chosen = choose_layers(network, ["2.0", "code", 1])
        assert [describe_layer(network, name) for name in chosen] == ["2.0", "code", "1"]

    @pytest.mark.parametrize("layers", [[4], [-5], ["3.1"], ["nowhere"], []])
    def test_choose_refuses(self, layers):
        with pytest.raises(ValueError, match="layers"):
            choose_layers(custom(), layers)

    def test_outputs_are_those_of_the_run(self):
        network, x = custom(), torch.randn(4, 3)
        outputs = run_layers(network, x, ["1", "2.0", CODE])
        first = network[0](x).relu()
        torch.testing.assert_close(outputs["1"], first)
        torch.testing.assert_close(outputs["2.0"], network[2][0](first))
        torch.testing.assert_close(outputs[CODE], network(x))
        assert not any(module._forward_hooks for module in network.modules())

    def test_dropout_falls_once(self):
        network, x = mlp(dropout=0.5).train(), torch.randn(50, 3)
        outputs = run_layers(network, x, ["hidden.1", CODE])
        torch.testing.assert_close(network.output(outputs["hidden.1"]), outputs[CODE])

    def test_images_are_flattened(self):
        network = nn.Sequential(
            nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 4, 2), nn.Flatten(), nn.Linear(8, 2)
        )
        assert run_layers(network, torch.randn(5, 3), ["1"])["1"].shape == (5, 8)

    def test_a_module_in_two_places_has_no_output(self):
        act = nn.ReLU()
        network = nn.Sequential(nn.Linear(3, 5), act, nn.Linear(5, 4), act, nn.Linear(4, 2))
        assert hidden_layers(network) == ["0", "2"]
        with pytest.raises(ValueError, match="'3' of the encoder must be called once"):
            run_layers(network, torch.randn(4, 3), choose_layers(network, ["3"]))

    def test_a_module_that_is_never_called(self):
        network = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
        network[0].spare = nn.Linear(3, 3)
        with pytest.raises(ValueError, match="'0.spare' of the encoder is never called"):
            run_layers(network, torch.randn(4, 3), ["0.spare"])

    def test_no_hook_stays_after_an_error(self):
        network = mlp()
        with pytest.raises(RuntimeError):
            run_layers(network, torch.randn(4, 9), ["hidden.0"])
        assert not network.hidden[0]._forward_hooks


@pytest.mark.parametrize("n", [1, CHUNK_ROWS, 2 * CHUNK_ROWS + 3])
def test_apply_is_the_network_in_evaluation_mode(n):
    network, x = mlp(dropout=0.5).train(), torch.randn(n, 3)
    codes = apply(network, x)
    assert not codes.requires_grad
    assert not network.training
    torch.testing.assert_close(codes, network(x))
    outputs = apply_layers(network, x, ["hidden.0"])
    assert list(outputs) == ["hidden.0"]
    torch.testing.assert_close(outputs["hidden.0"], network.hidden[0](x))


def convolutional():
    layers = nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(12, 2)
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    ("network", "n", "n_seen"),
    [
        (mlp(), 1, 16),  # cheap, and the bits are those of the row in any company
        (mlp(), 40, 48),
        (mlp(), CHUNK_ROWS, CHUNK_ROWS),
        (custom(), 17, 32),
        (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)), 1, 16),
        (convolutional(), 1, 1),  # a row more costs as much again
        (convolutional(), 40, 40),
    ],
)
def test_few_rows_are_no_more_work_than_they_must(network, n, n_seen):
    seen = []
    network.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    width = 3 if network.state_dict().get("1.weight", torch.empty(0)).ndim < 4 else 16
    assert apply(network, torch.randn(n, width)).shape == (n, 2)
    assert seen == [n_seen]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_raised(dtype):
    class Half(nn.Linear):
        def forward(self, x):
            return super().forward(x).to(dtype)

    network = nn.Sequential(Half(3, 4), nn.Identity(), nn.Identity())
    for name, output in apply_layers(network, torch.randn(5, 3), ["0", "1", CODE]).items():
        assert output.dtype == torch.float32, name
