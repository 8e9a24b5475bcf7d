"""What a notebook shows of an estimator."""

import html
import re

import pytest
import torch
from torch import nn
from versions import needs_sklearn

from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding

ESTIMATORS = [
    SNNLEmbedding(max_iter=2),
    SNNLEmbedding(encoder=nn.Sequential(*[nn.Linear(4, 4) for _ in range(50)]), max_iter=2),
    SNNLEmbedding(primary_loss="reconstruction", max_iter=2),
    TripletEmbedding(max_iter=2),
    SoftNeighborsClassifier(),
]

pytestmark = needs_sklearn("1.9", "a picture with tooltips")


def rows(table):
    """The text of each row, with the tooltip of its name: what the name means."""
    return re.findall(r'class="param">(.*?)</tr>', table, re.DOTALL)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("fit", [False, True])
def test_tooltips(estimator, fit, iris):
    if fit:
        estimator.fit(*iris)
    shown = estimator._repr_html_()
    parameters, *fitted = shown.split("<summary>Fitted attributes</summary>")
    assert len(fitted) == fit
    names = [*estimator.get_params()]
    if fit:
        names += [name for name in dir(estimator) if name[0] != "_" and name[-1] == "_"]
    tooltips = [html.unescape(row) for row in rows(parameters) + rows("".join(fitted))]
    assert len(tooltips) == len(names)
    for name in names:
        assert any(f"{name}: " in tooltip and "<br><br>" in tooltip for tooltip in tooltips), name


def test_a_network_is_not_written_out(iris):
    deep = nn.Sequential(*[nn.Linear(4, 4) for _ in range(500)])
    embedding = SNNLEmbedding(encoder=deep, max_iter=1).fit(*iris)
    shown = embedding._repr_html_()
    assert len(shown) < len(SNNLEmbedding(max_iter=1).fit(*iris)._repr_html_()) + 5000
    assert "Linear" in shown


def test_nothing_is_computed(iris, monkeypatch):
    embedding = SNNLEmbedding(max_iter=1).fit(*iris)

    def forward(*_):
        raise AssertionError("a network ran")

    monkeypatch.setattr(nn.Module, "__call__", forward)
    monkeypatch.setattr(torch.Tensor, "cpu", forward)
    assert "network_" in embedding._repr_html_()
