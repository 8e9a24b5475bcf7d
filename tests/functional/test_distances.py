import numpy as np
import pytest
import torch
from live_memory import LiveMemory
from reference import distance

from sknca.functional import cosine_distances, squared_distances

DISTANCES = {"sqeuclidean": squared_distances, "cosine": cosine_distances}

#: The article's worked example.
ARTICLE = torch.tensor(
    [
        [1.0999, -0.9438, 0.7996, -0.4247],
        [1.2150, -0.2953, 0.0417, -1.2913],
        [1.3218, 0.4214, -0.1541, 0.0961],
        [-0.7253, 1.1685, -0.1070, 1.3683],
    ]
)


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(7, 3, dtype=torch.float64, generator=generator)
    b = torch.randn(5, 3, dtype=torch.float64, generator=generator)
    return a, b


@pytest.mark.parametrize("metric", DISTANCES)
def test_matches_the_loop(rows, metric):
    a, b = rows
    expected = [[distance(x, y, metric) for y in b.tolist()] for x in a.tolist()]
    np.testing.assert_allclose(DISTANCES[metric](a, b), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("metric", DISTANCES)
def test_gradient(rows, metric):
    a, b = (z.requires_grad_() for z in rows)
    assert torch.autograd.gradcheck(DISTANCES[metric], (a, b))


def test_article_cosine_distances():
    printed = {
        (0, 1): 0.28502,
        (0, 2): 0.62687,
        (0, 3): 1.7732,
        (1, 2): 0.46293,
        (1, 3): 1.8581,
        (2, 3): 1.1171,
    }
    distances = cosine_distances(ARTICLE, ARTICLE)
    for (i, j), value in printed.items():
        assert distances[i, j].item() == pytest.approx(value, abs=1e-4)
        assert distances[j, i].item() == pytest.approx(value, abs=1e-4)


def test_complex_cosine_is_the_real_part_of_the_hermitian_product():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 3, dtype=torch.complex128, generator=generator) for n in (7, 5))
    unit_a, unit_b = (z / z.norm(dim=1, keepdim=True) for z in (a, b))
    torch.testing.assert_close(cosine_distances(a, b), 1 - (unit_a @ unit_b.conj().T).real)
    torch.testing.assert_close(cosine_distances(a, b.real), cosine_distances(a, b.real + 0j))
    assert torch.autograd.gradcheck(cosine_distances, (a.requires_grad_(), b.requires_grad_()))


@pytest.mark.parametrize("metric", DISTANCES)
def test_never_negative_and_bounded(metric):
    z = torch.randn(300, 40, generator=torch.Generator().manual_seed(0))
    z = torch.cat([z, z, -z])  # duplicates and opposites, where rounding would show
    distances = DISTANCES[metric](z, z)
    assert distances.min() >= 0
    if metric == "cosine":
        assert distances.max() <= 2


def test_offset_costs_no_more_than_rounding():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(50, 8, generator=generator) + 1e4 for _ in range(2))
    exact = torch.cdist(a.double(), b.double()).square()
    torch.testing.assert_close(squared_distances(a, b).double(), exact, rtol=1e-5, atol=1e-5)


def test_zero_row_is_at_cosine_distance_one():
    a = torch.zeros(1, 3, requires_grad=True)
    distances = cosine_distances(a, torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]))
    assert distances.tolist() == [[1.0, 1.0]]
    (grad,) = torch.autograd.grad(distances.sum(), a)
    assert grad.tolist() == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [
        (torch.float32, 1e-36),
        (torch.float32, 1e36),
        (torch.float64, 1e-300),
        (torch.float64, 1e300),
    ],
)
def test_cosine_of_tiny_and_huge_rows(dtype, scale):
    z = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=dtype)
    torch.testing.assert_close(cosine_distances(scale * z, z), cosine_distances(z, z))


@pytest.mark.parametrize("metric", DISTANCES)
def test_mixed_dtypes_are_promoted(rows, metric):
    a, b = rows
    mixed = DISTANCES[metric](a.float(), b)
    assert mixed.dtype == torch.float64
    torch.testing.assert_close(mixed, DISTANCES[metric](a.float().double(), b))


@pytest.mark.parametrize("metric", DISTANCES)
def test_holds_no_three_dimensional_tensor(metric):
    a, b = torch.randn(400, 64), torch.randn(300, 64)
    with LiveMemory() as memory:
        DISTANCES[metric](a, b)
    assert memory.peak < 4 * (4 * 400 * 300 + 4 * 700 * 64)


@pytest.mark.parametrize("metric", DISTANCES)
def test_half_precision_is_raised(metric):
    a = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).half()
    assert DISTANCES[metric](a, a).dtype == torch.float32


@pytest.mark.parametrize("metric", DISTANCES)
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.ones(3), torch.ones(3, 1), "a must have 2 dimensions"),
        (torch.ones(3, 1), torch.ones(3, 1, 1), "b must have 2 dimensions"),
        (torch.ones(3, 1), torch.ones(3, 2), "got 1 and 2"),
        (torch.ones(3, 0), torch.ones(3, 0), r"and at least one feature, got shape \(3, 0\)"),
        (torch.ones(3, 1).long(), torch.ones(3, 1), "a must have a floating-point dtype"),
    ],
)
def test_refuses(metric, a, b, message):
    with pytest.raises(ValueError, match=message):
        DISTANCES[metric](a, b)


@pytest.mark.parametrize("metric", DISTANCES)
def test_refuses_numpy_arrays(metric):
    with pytest.raises(TypeError, match=r"a must be a torch.Tensor, got ndarray"):
        DISTANCES[metric](np.ones((2, 2)), torch.ones(2, 2))


def test_squared_distances_refuse_complex_rows():
    with pytest.raises(ValueError, match="a must have a floating-point dtype, got torch.complex64"):
        squared_distances(torch.ones(2, 2) + 0j, torch.ones(2, 2))
