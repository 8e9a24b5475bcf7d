"""A recorded step is the step."""

import pytest
import torch

from sknca.data import Batch
from sknca.networks import SkipMLP
from sknca.objectives import SNNLObjective
from sknca.training import AdamW
from sknca.training._adversarial import AdversarialGradient
from sknca.training._step import GraphRecorder, ReplayedStep, Step, replayed_if_it_pays

TEMPERATURES = [1.0, 0.5, 0.25]


def make(device, dropout=0.0):
    torch.manual_seed(0)
    encoder = SkipMLP(5, 3, hidden_layer_sizes=(16,), activation="relu", dropout=dropout)
    objective = SNNLObjective(encoder, metric="sqeuclidean", temperatures=TEMPERATURES)
    objective.to(device).train()
    optimizer = AdamW(objective.parameter_groups(), lr=0.0, weight_decay=0.01)
    return objective, optimizer


def batches(device):
    """Of two sizes, with and without perturbations, at other rates and temperatures."""
    generator = torch.Generator().manual_seed(0)
    for i in range(24):
        n = 16 + i % 2
        x = torch.randn(n, 5, generator=generator).to(device)
        y = torch.randint(0, 3, (n,), generator=generator).to(device)
        weight = torch.rand(n, generator=generator).to(device)
        yield Batch(x, y, weight), i // 8, i % 3 == 0, 0.01 / (1 + i)


def learn(device, record=None):
    objective, optimizer = make(device)
    steps = [Step(objective, optimizer), Step(objective, optimizer, AdversarialGradient(0.5))]
    if record is not None:
        steps = [ReplayedStep(step, torch.device(device), record) for step in steps]
    losses = []
    for batch, epoch, is_adversarial, rate in batches(device):
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses.append(steps[is_adversarial](batch, epoch)["loss"].clone())
    # The loss does not depend on the last bias, whose gradient is nothing but rounding.
    learned = [p for name, p in objective.named_parameters() if name != "network.output.bias"]
    return [*learned, torch.stack(losses)]


@pytest.mark.parametrize(
    ("device", "recorder"),
    [
        ("cpu", lambda: lambda function: function),
        pytest.param("cuda", GraphRecorder, marks=pytest.mark.cuda),
    ],
    ids=["cpu", "cuda"],
)
def test_replays_learn_what_the_steps_learn(device, recorder):
    """Whatever changes from step to step comes to a record by its own memory."""
    for expected, got in zip(learn(device), learn(device, recorder()), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_each_kind_of_step_is_recorded_once():
    recorded = []

    def record(function):
        recorded.append(function)
        return function

    learn("cpu", record)
    assert len(recorded) == 4  # two sizes, with and without perturbations


def test_on_the_cpu_nothing_is_recorded():
    objective, optimizer = make("cpu")
    step = Step(objective, optimizer)
    assert replayed_if_it_pays([step], torch.device("cpu"), 16) == [step]


@pytest.mark.cuda
def test_cuda_records_the_packages_own_networks():
    device = torch.device("cuda", 0)
    objective, optimizer = make(device)
    step = Step(objective, optimizer)
    assert isinstance(replayed_if_it_pays([step], device, 16)[0], ReplayedStep)
    objective.network.register_forward_hook(lambda *_: None)
    assert replayed_if_it_pays([step], device, 16) == [step]


@pytest.mark.parametrize("custom", [torch.nn.GELU(approximate="tanh"), torch.nn.Dropout(0.5)])
def test_only_modules_of_the_package_have_fixed_steps(custom):
    objective, _ = make("cpu")
    assert objective.has_fixed_steps
    objective.network.hidden[0][1] = custom
    assert objective.has_fixed_steps == isinstance(custom, torch.nn.GELU)
