"""What the sum of the losses is divided by in a mean."""

import pytest
import torch

from sknca.functional import counted_weight

LABELS = torch.tensor([0, 0, 1, 2, 2, 2, -1])


@pytest.mark.parametrize(
    ("y", "weight", "neighbor_weight", "expected"),
    [
        (LABELS, None, None, 5.0),
        (LABELS, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0], None, 59.0),
        (LABELS, None, [1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0], 4.0),
        (LABELS, None, [0.0, 0.0, 1.0, 0.0, 0.0, 0.5, 1.0], 2.0),
        (LABELS, [1.0] * 7, [0.0] * 7, 1.0),
        (torch.arange(4), None, None, 1.0),
        (LABELS, [0.0] * 7, None, 1.0),
    ],
)
def test_samples_count_that_have_a_positive(y, weight, neighbor_weight, expected):
    weight = None if weight is None else torch.tensor(weight)
    neighbor_weight = None if neighbor_weight is None else torch.tensor(neighbor_weight)
    counted = counted_weight(y, weight, neighbor_weight)
    assert counted.dtype == torch.float32
    assert counted.item() == expected
