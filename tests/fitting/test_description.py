"""What tells a fit from others: values are compared, not how they are written down."""

import enum
from fractions import Fraction
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sknca.fitting._description import (
    Description,
    describe_arrays,
    describe_parameters,
    stored_otherwise,
)
from sknca.tables import SparseTable

nan = float("nan")


class Name(enum.StrEnum):
    COSINE = "cosine"


def differences(before, now):
    before, now = (Description(describe_parameters({"a": v}, but=()), {}) for v in (before, now))
    return [name for name, *_ in now.differences(before.entries)]


@pytest.mark.parametrize(
    "values",
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {np.str_("b"): np.int64(2), "a": 1.0}),
        ({0: 1.5, 1: nan}, {np.int64(1): np.float64(nan), 0: 1.5}),
        (0, np.int64(0), 0.0, np.uint8(0), np.float32(0), -0.0),
        (1e300, np.float64(1e300)),
        (0.5, np.float32(0.5), Fraction(1, 2)),
        (True, np.True_),
        ("cosine", np.str_("cosine"), Name.COSINE),
        ([16, 8], (16, 8), np.array([16, 8]), [np.int64(16), 8.0], pd.Series([16, 8])),
        (range(2), [0, 1]),
        (["a", "b"], np.array(["a", "b"]), np.array(["a", "b"], dtype=object)),
        (nan, np.float64(nan)),
        (None, None),
    ],
)
def test_equal_values_are_alike(values):
    for one in values:
        for other in values:
            assert not differences(one, other), (one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0, 1),
        (1, "1"),
        (None, "None"),
        (True, "True"),
        (0.1, np.float32(0.1)),
        (2**53, 2**53 + 1),
        ([16, 8], [8, 16]),
        ([16], 16),
        ({"a": 1}, {"a": 2}),
        ({"1": 1}, {1: 1}),
        ({"1.0": 1}, {"1": 1}),
        ("1", "1.0"),
        (nan, None),
        ("os.getcwd()", "os.getpid()"),
    ],
)
def test_other_values_differ(one, other):
    assert differences(one, other) == ["a"]


def described(**arrays):
    older = describe_arrays(stored_otherwise(arrays), as_stored=True)
    return Description({}, describe_arrays(arrays), older)


def test_equal_arrays_are_alike():
    X = np.arange(12, dtype="<f4").reshape(4, 3)
    plain = describe_arrays({"X": X})
    equal = {
        "by columns": np.asfortranarray(X),
        "every second": np.repeat(X, 2, axis=0)[::2],
        "backwards": X[::-1].copy()[::-1],
        "the highest byte first": X.astype(">f4"),
        "read-only": np.frombuffer(X.tobytes(), "<f4").reshape(4, 3),
    }
    for what, array in equal.items():
        assert not [*described(X=array).differences(plain)], what


def test_equal_sparse_arrays_are_alike():
    X = sparse.csr_array(np.eye(20, 9) + 2 * np.eye(20, 9, 2))
    wide, unsorted = X.copy(), X[:, ::-1][:, ::-1]
    wide.indices, wide.indptr = wide.indices.astype("i8"), wide.indptr.astype("i8")
    plain = describe_arrays({"X": SparseTable(X)})
    for what in (wide, unsorted, X.tocoo(), X.tocsc()):
        assert not [*described(X=SparseTable(what.tocsr())).differences(plain)]
    # Those of version 0.2 had checksums of the indices as they were.
    older = describe_arrays({"X": SparseTable(wide)}, as_stored=True)
    assert older != plain
    assert not [*described(X=SparseTable(wide)).differences(older)]


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (np.arange(12.0).reshape(3, 4), ["X.shape"]),
        (np.arange(12).reshape(4, 3), ["X.dtype", "the checksum of X"]),
        (np.where(np.arange(12) == 7, 8, np.arange(12.0)).reshape(4, 3), ["the checksum of X"]),
        (None, ["X.shape", "X.dtype", "the checksum of X"]),
    ],
)
def test_other_arrays_differ_by_name(other, what):
    before = describe_arrays({"X": np.arange(12.0).reshape(4, 3)})
    assert [name for name, *_ in described(X=other).differences(before)] == what


def test_checksums_and_versions_are_no_numbers():
    """Texts that are equal as literals, and yet are two."""
    others = {"the checksum of X": "00000000000000e1", "the version of torch": "2.10"}
    before = {"the checksum of X": "00000000000000e2", "the version of torch": "2.1"}
    assert len([*Description({}, others).differences(before)]) == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array([16, 8]), "[np.int64(16), np.int64(8)]"),
        ({np.int64(0): np.float64(2.0)}, "{np.int64(0): np.float64(2.0)}"),
        ({np.str_("a(b)"): 1}, "{np.str_('a(b)'): 1}"),
        ({"b": 1, "a": 2}, "{'b': 1, 'a': 2}"),
        ("cosine", "'cosine'"),
        (nan, "nan"),
        (differences, "differences"),
    ],
)
def test_the_texts_of_version_0_2_are_read(value, text):
    now = Description(describe_parameters({"a": value}, but=()), {})
    assert not [*now.differences({"a": text})]


@pytest.mark.parametrize("text", ["[" * 5000, "(" * 99 + "1", "1" * 9999, "\0", "a" * 10**6, 7, {}])
def test_any_text_of_a_file_may_be_compared(text):
    now = Description(describe_parameters({"a": 1}, but=()), {})
    assert [*now.differences({"a": text})] == [("a", text, "1")]


def test_a_partial_is_described_with_its_arguments():
    def of(**given):
        return partial(np.linspace, 0, **given)

    assert not differences(of(stop=1, num=3), of(num=3, stop=1))
    assert differences(of(stop=1), of(stop=2)) == ["a"]
    assert differences(of(stop=1), partial(np.logspace, 0, stop=1)) == ["a"]
    in_0_2, now = Description({"a": "partial"}, {}), describe_parameters({"a": of()}, but=())
    assert not [*Description(now, {}).differences(in_0_2.entries)]
