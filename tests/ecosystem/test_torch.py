"""Modules of torch, and of what is built on it, as encoders."""

import copy

import numpy as np
import pytest
import torch
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn
from versions import needs_torch

from sknca import SNNLEmbedding, SNNLoss, TripletEmbedding


class Backbone(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 8)
        )


@pytest.fixture
def pretrained(iris):
    """A backbone that has been trained with a classifier behind it."""
    X, y = iris
    torch.manual_seed(0)
    network = nn.Sequential(Backbone(), nn.Linear(8, 3))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(10):
        optimizer.zero_grad()
        outputs = network(torch.tensor(X, dtype=torch.float32))
        nn.functional.cross_entropy(outputs, torch.tensor(y)).backward()
        optimizer.step()
    return network[0]


def same_state(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@needs_torch("2.11", "a pretrained network with these bits")
@pytest.mark.parametrize("embedding", [SNNLEmbedding, TripletEmbedding])
@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine"])
@pytest.mark.parametrize("evaluation", [False, True])
def test_frozen_but_for_the_last_layer(embedding, metric, evaluation, pretrained, iris):
    pretrained.requires_grad_(False)
    if evaluation:  # as some do, or not: it comes to the same
        pretrained.eval()
    module = nn.Sequential(pretrained, nn.Linear(8, 2))
    embedding = embedding(encoder=module, metric=metric, max_iter=5, warm_start=True)
    for _ in range(2):
        embedding.fit(*iris)
        network = embedding.network_.encoder if metric == "cosine" else embedding.network_
        assert same_state(network[0], pretrained)  # the running statistics too
        assert not torch.equal(network[1].weight, module[1].weight)
    assert embedding.loss_ < embedding.loss_curve_[0] or metric == "cosine"


def test_a_frozen_part_has_no_dropout(pretrained, iris):
    X, y = iris
    module = nn.Sequential(pretrained.requires_grad_(False), nn.Linear(8, 2))
    settings = {"learning_rate_init": 1e-12, "batch_size": 150, "max_iter": 2, "random_state": 0}
    settings["q"] = 0.0  # the same loss in both epochs
    losses = SNNLEmbedding(encoder=module, **settings).fit(X, y).loss_curve_
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_what_is_not_frozen_learns_as_ever(pretrained, iris):
    module = nn.Sequential(pretrained.eval(), nn.Linear(8, 2))
    network = SNNLEmbedding(encoder=module, max_iter=2).fit(*iris).network_
    assert not torch.equal(network[0][0].weight, pretrained[0].weight)
    assert not torch.equal(network[0][1].running_mean, pretrained[1].running_mean)


def test_a_frozen_decoder(iris):
    decoder = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4)).requires_grad_(False)
    before = copy.deepcopy(decoder)
    embedding = SNNLEmbedding(2, primary_loss="reconstruction", decoder=decoder, max_iter=2)
    assert same_state(embedding.fit(*iris).decoder_, before)


def test_module_of_a_skorch_net_as_encoder(iris):
    X, y = iris
    X = X.astype(np.float32)
    net = NeuralNetClassifier(
        nn.Sequential(Backbone(), nn.Linear(8, 3)),
        criterion=nn.CrossEntropyLoss,
        max_epochs=3,
        train_split=None,
        verbose=0,
    ).fit(X, y)
    embedding = SNNLEmbedding(encoder=net.module_[0], max_iter=3, random_state=0)
    assert embedding.fit(X, y).transform(X).shape == (150, 8)


def test_loss_as_the_criterion_of_a_skorch_net(iris):
    X, y = iris
    X = X.astype(np.float32)
    torch.manual_seed(0)
    net = NeuralNet(
        Backbone,
        criterion=SNNLoss,
        criterion__metric="cosine",
        criterion__learn_temperature=True,
        optimizer=torch.optim.Adam,
        lr=0.01,
        max_epochs=20,
        batch_size=-1,  # all rows
        train_split=None,
        verbose=0,
    ).fit(X, y)
    losses = net.history[:, "train_loss"]
    assert losses[-1] < losses[0]
    assert net.predict(X).shape == (150, 8)
    assert net.criterion_.temperature != 1  # skorch trains what the criterion has to train
