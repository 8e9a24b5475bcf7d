import math

import numpy as np
import pytest
import torch
from reference import spread_labels as expected_spread
from torch.testing import assert_close

from sknca.functional import _label_spreading, _neighbors
from sknca.functional._label_spreading import (
    NeighborGraph,
    confidence_of,
    spread_labels,
    spread_to_others,
)


def blobs(n=40, dtype=torch.float64):
    rows = torch.randn(n, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    rows[n // 2 :] += 4
    labels = torch.full((n,), -1)
    labels[[0, 1, n // 2]] = torch.tensor([0, 2, 1])
    return rows, labels


@pytest.mark.parametrize("n_neighbors", [3, 8])
@pytest.mark.parametrize("n_steps", [1, 30])
def test_follows_the_definition(n_neighbors, n_steps, monkeypatch):
    monkeypatch.setattr(_neighbors, "_BLOCK_ENTRIES", 100)  # several blocks
    rows, labels = blobs()
    got = spread_labels(NeighborGraph(rows, n_neighbors), labels, 3, n_steps)
    factor = math.exp(-_label_spreading._LESS_IF_ONE_SIDED)
    want = expected_spread(rows.tolist(), labels.tolist(), 3, n_neighbors, n_steps, factor)
    assert_close(got, torch.tensor(np.array(want)))


def test_given_labels_stay():
    rows, labels = blobs()
    got = spread_labels(NeighborGraph(rows, 5), labels, 3)
    assert_close(got[labels >= 0], torch.eye(3, dtype=got.dtype)[labels[labels >= 0]])


def test_rows_that_no_label_reaches_have_zeros():
    rows, labels = blobs()
    apart = torch.cat([rows, rows + 1000])
    labels = torch.cat([labels, torch.full_like(labels, -1)])
    got = spread_labels(NeighborGraph(apart, 5), labels, 3)
    assert (got[40:] == 0).all()
    assert (confidence_of(got)[40:] == 0).all()
    assert_close(got[:40], spread_labels(NeighborGraph(rows, 5), labels[:40], 3))


def test_equal_rows_and_few_rows():
    for rows in (torch.zeros(20, 2), torch.tensor([[0.0], [1.0]]), torch.full((12, 2), 1e-30)):
        labels = torch.full((len(rows),), -1)
        labels[0] = 1
        got = spread_labels(NeighborGraph(rows, 10), labels, 2)
        assert got.isfinite().all()
        assert got[:, 1].max() == 1


def test_an_offset_and_a_unit_change_nothing():
    rows, labels = blobs(dtype=torch.float32)
    expected = spread_labels(NeighborGraph(rows, 5), labels, 3)
    for moved in (rows + 300, 1e6 * rows, 1e-6 * rows):
        got = spread_labels(NeighborGraph(moved, 5), labels, 3)
        assert_close(got, expected, rtol=1e-2, atol=1e-2)


def test_rows_outside_the_graph():
    rows, labels = blobs()
    graph = NeighborGraph(rows, 5)
    probabilities = spread_labels(graph, labels, 3)
    neighbors, weights = graph.of_others(rows[:4] + 1e-9)
    assert neighbors[:, 0].tolist() == [0, 1, 2, 3]
    got = spread_to_others(probabilities, neighbors, weights)
    assert_close(got.sum(1), torch.ones(4, dtype=got.dtype))
    for i in range(4):
        mean = sum(w * probabilities[j] for w, j in zip(weights[i], neighbors[i], strict=True))
        assert_close(got[i], mean / mean.sum())
