"""The functional losses on odd tensors, against the loops in double precision."""

import math
import os

import numpy as np
import pytest
import reference
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sknca.functional import (
    cosine_distances,
    mine_triplets,
    soft_nearest_neighbor_loss,
    squared_distances,
    triplet_loss,
)
from sknca.functional._checks import check_pair
from sknca.functional._metrics import METRICS

#: How many are tried here, of each loss. SKNCA_CASES=3000 was tried too.
N_CASES = int(os.environ.get("SKNCA_CASES", "300")) // 3

#: What a loss may differ by, relative to the largest distance that it is made of.
_TOLERANCES = {
    torch.float64: 1e-12,
    torch.float32: 2e-5,
    torch.float16: 1e-3,
    torch.bfloat16: 8e-3,
}

generated = settings(
    max_examples=N_CASES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def strided(z):
    wide = torch.zeros(2 * len(z), 2 * z.shape[1] + 1, dtype=z.dtype)
    wide[1::2, 1::2] = z
    return wide[1::2, 1::2]


LAYOUTS = {
    "contiguous": lambda z: z,
    "transposed": lambda z: z.T.contiguous().T,
    "strided": strided,
    "broadcast": lambda z: z[:1].expand(z.shape),
}


@st.composite
def codes_and_labels(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    n, d = draw(st.integers(1, 12)), draw(st.integers(1, 5))
    dtype = draw(st.sampled_from(list(_TOLERANCES)))
    largest = 1e3 if dtype == torch.float16 else 1e15
    scale = draw(st.sampled_from([1.0, 1e-8, 1e-3, 30.0, 1e3, 1e8, 1e15]))
    offset = draw(st.sampled_from([0.0, 0.0, 1.0, 1e3, 1e6]))
    z = rng.normal(size=(n, d)) * min(scale, largest) + min(offset, largest)
    if draw(st.booleans()):
        z[rng.random(n) < 0.4] = z[0]  # copies
    z = torch.from_numpy(z).to(dtype)
    z = LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))](z)
    y = torch.from_numpy(rng.integers(0, draw(st.sampled_from([1, 2, 3, 9])), n))
    weight = None
    if draw(st.booleans()):
        weight = torch.from_numpy(rng.random(n) * (rng.random(n) < 0.7)).to(dtype)
    return z, y, weight


def in_double(tensor):
    return None if tensor is None else tensor.detach().double().numpy()


def largest_distance(z, dtype):
    """What squared distances round relative to. Rows that are equal are centered to within the
    rounding of their size, and of a unit.
    """
    rounding = torch.finfo(dtype).eps * np.abs(z).max()
    far = max(reference.distance(a, b, "sqeuclidean") for a in z for b in z)
    return max(far or 1.0, z.shape[1] * rounding**2)


def size_of(z, dtype, metric):
    """What distances round relative to."""
    if metric == "cosine":
        return 1.0
    largest = largest_distance(z, dtype)
    # What is left of a squared distance by rounding is the square of what is left of its root.
    return largest if metric == "sqeuclidean" else math.sqrt(largest / _TOLERANCES[dtype])


def is_clear(rows, labels, margin, strategy, metric, tolerance):
    """Whether rounding cannot change which triplets are active."""
    of_all = reference.triplets(rows, labels, np.inf, "all", metric)
    d = [[reference.distance(a, b, metric) for b in rows] for a in rows]
    gaps = np.array([d[a][p] - d[a][n] for a, p, n in of_all])
    clear = (np.abs(gaps + margin) >= tolerance).all()
    return clear and (strategy != "semihard" or (np.abs(gaps) >= tolerance).all())


class TestLosses:
    @generated
    @given(
        codes_and_labels(),
        st.sampled_from(["sqeuclidean", "euclidean", "cosine"]),
        st.sampled_from([1.0, 1e-6, 0.05, 30.0, 1e6]),
        st.sampled_from([0.0, 0.3, 1.0]),
        st.sampled_from([None, 1, 3]),
    )
    def test_soft_nearest_neighbor_loss(self, case, metric, temperature, q, block_size):
        z, y, weight = case
        rows = in_double(z)
        size = size_of(rows, z.dtype, metric)
        assume(size / temperature < 1e28)  # a neighbor that is farther counts as none
        z = z.detach().requires_grad_()
        loss = soft_nearest_neighbor_loss(
            z, y, temperature, q=q, metric=metric, sample_weight=weight, block_size=block_size
        )
        loss.backward()
        assert loss.dtype == torch.promote_types(z.dtype, torch.float32)
        assert z.grad.isfinite().all() or z.dtype == torch.float16  # which ends at 65504
        expected = reference.soft_nearest_neighbor_loss(
            rows, y.numpy(), temperature, metric, in_double(weight), q=q
        )
        tolerance = _TOLERANCES[z.dtype] * (1 + abs(expected) + size / temperature)
        assert loss.item() == pytest.approx(expected, rel=0, abs=tolerance)

    @generated
    @given(
        codes_and_labels(),
        st.sampled_from(["sqeuclidean", "euclidean", "cosine"]),
        st.sampled_from([0.0, 1.0, 1e6, "soft"]),
        st.sampled_from(["all", "semihard", "hard"]),
    )
    def test_triplet_loss(self, case, metric, margin, strategy):
        z, y, weight = case
        z = z.detach().requires_grad_()
        assume(margin != "soft" or strategy != "semihard")
        loss = triplet_loss(
            z, y, margin=margin, metric=metric, strategy=strategy, sample_weight=weight
        )
        loss.backward()
        assert loss.dtype == torch.promote_types(z.dtype, torch.float32)
        assert loss.isfinite()
        assert z.grad.isfinite().all()
        rows, labels, weights = in_double(z), y.numpy(), in_double(weight)
        if weights is not None:  # samples of weight 0 are excluded
            rows, labels, weights = (some[weights > 0] for some in (rows, labels, weights))
        size = size_of(in_double(z), z.dtype, metric)
        far = 0.0 if margin == "soft" else margin
        tolerance = 8 * _TOLERANCES[z.dtype] * (size + far)
        assume(margin == "soft" or is_clear(rows, labels, far, strategy, metric, 2 * tolerance))
        expected = reference.triplet_loss(rows, labels, margin, strategy, metric, weights)
        tolerance += _TOLERANCES[z.dtype] * abs(expected)
        assert loss.item() == pytest.approx(expected, rel=0, abs=tolerance)
        if margin == "soft" or strategy == "hard" or weight is not None:
            return  # which one of equally near samples is mined, is not promised
        mined = mine_triplets(z.detach(), y, margin=margin, strategy=strategy, metric=metric)
        mined = sorted(zip(*(some.tolist() for some in mined), strict=True))
        assert mined == sorted(reference.triplets(rows, labels, margin, strategy, metric))

    @generated
    @given(codes_and_labels())
    def test_distances(self, case):
        z = case[0]
        rows = in_double(z)
        for metric, distances in (
            ("sqeuclidean", squared_distances(z, z)),
            ("euclidean", METRICS["euclidean"].distances(*check_pair(z, z, ("z", "z")))),
            ("cosine", cosine_distances(z, z)),
        ):
            expected = [[reference.distance(a, b, metric) for b in rows] for a in rows]
            size = size_of(rows, z.dtype, metric)
            tolerance = 8 * _TOLERANCES[z.dtype] * size
            np.testing.assert_allclose(in_double(distances), expected, rtol=0, atol=tolerance)
