"""Dense, mapped and sparse tables are one protocol: the same rows, features, batches and codes."""

import numpy as np
import pytest
import torch
from scipy import sparse

from sknca._sparse_rows import dense
from sknca.distributed import Alone
from sknca.tables import DenseTable, MappedTable, SparseTable, Table, read_table, relative_weight

CPU = torch.device("cpu")
ROWS = np.random.default_rng(0).integers(-2, 4, (30, 5)).clip(0).astype(np.float32)
CENTER = np.array([1.0, 2.0, 0.0, 1.0, 3.0])
KINDS = ["dense", "mapped", "sparse"]


@pytest.fixture
def table(request, tmp_path):
    if request.param == "sparse":
        return SparseTable(sparse.csr_array(ROWS))
    if request.param == "dense":
        return DenseTable(ROWS)
    np.save(tmp_path / "rows.npy", ROWS)
    return MappedTable(np.load(tmp_path / "rows.npy", mmap_mode="r"))


@pytest.mark.parametrize("table", KINDS, indirect=True)
class TestAnyTable:
    def test_shape_and_rows(self, table):
        assert isinstance(table, Table)
        assert (len(table), table.shape, table.dtype) == (30, (30, 5), np.float32)
        for which in (slice(3, 9), slice(None, None, 4), np.array([7, 2, 2]), slice(0)):
            np.testing.assert_array_equal(table[which], ROWS[which])
            np.testing.assert_array_equal(table.take(which)[:], ROWS[which])
            np.testing.assert_array_equal(table.rows(which, None), ROWS[which])
            np.testing.assert_array_equal(table.rows(which, CENTER), ROWS[which] - CENTER)

    def test_rows_in_given_memory(self, table):
        memory = torch.full((10, 5), torch.nan)
        rows = table.rows(slice(4, 10), None, out=memory)
        assert rows.data_ptr() == memory.data_ptr()
        np.testing.assert_array_equal(rows, ROWS[4:10])

    @pytest.mark.parametrize("reads_sparse", [False, True])
    def test_a_source_of_batches(self, table, reads_sparse):
        stays = reads_sparse and table.is_sparse
        center = None if stays else CENTER
        source = table.source(CPU, center, sparse=stays)
        assert tuple(source.shape) == (30, 5)
        rows = torch.tensor([8, 1, 20])
        expected = ROWS[rows] - (0 if stays else CENTER)
        np.testing.assert_array_equal(dense(source.take(rows, rows)), expected)
        np.testing.assert_array_equal(dense(source.take_at_home(rows)), expected)
        everything = table.to_device(CPU, center, sparse=stays)
        np.testing.assert_array_equal(dense(everything), ROWS - (0 if stays else CENTER))

    def test_features(self, table):
        generator = torch.Generator().manual_seed(0)
        center, spread = table.center_and_spread(np.arange(30), generator, Alone())
        assert spread.shape == (5,)
        assert (center is None) == table.is_sparse

    @pytest.mark.parametrize("other", [DenseTable, SparseTable])
    def test_rows_of_two_tables(self, table, other):
        more = ROWS[:4] + 7
        joined = table.joined(other(more), np.array([0, 31, 5, 33]))
        assert joined.is_sparse == table.is_sparse
        np.testing.assert_array_equal(joined[:], np.vstack([ROWS, more])[[0, 31, 5, 33]])

    def test_without_empty_columns(self, table):
        rows = table.take(np.flatnonzero(ROWS[:, 2] == 0)).without_empty_columns()
        assert rows.shape[1] == (4 if table.is_sparse else 5)

    def test_what_is_not_finite_is_named_by_its_parameter(self, table):
        bad = table.joined(type(table.take(slice(1)))(np.full((1, 5), 1e300)), np.arange(31))
        bad.name = "X_val"
        with pytest.raises(ValueError, match=r"Input X_val contains .* \(row 30\)"):
            bad.reader(None)(torch.tensor([3, 30]))
        with pytest.raises(ValueError, match="Input X_val contains"):
            bad.rows(slice(None), None, sparse=bad.is_sparse)


class Estimator:
    def __sklearn_tags__(self):
        from sklearn.base import BaseEstimator

        return BaseEstimator().__sklearn_tags__()


@pytest.mark.parametrize("given", [ROWS.tolist(), ROWS, sparse.coo_array(ROWS)])
def test_an_estimator_reads_a_table(given):
    estimator = Estimator()
    table = read_table(estimator, given, np.arange(30), reset=True)
    assert estimator.n_features_in_ == 5
    assert table.is_sparse == sparse.issparse(given)
    np.testing.assert_array_equal(table[:], ROWS)
    with pytest.raises(ValueError, match="X has 4 features"):
        read_table(estimator, ROWS[:, 1:])


def test_weights_are_relative():
    weight, rows = relative_weight([2, 0, 4], DenseTable(ROWS[:3]), Alone())
    np.testing.assert_array_equal(weight, [0.5, 0, 1])
    np.testing.assert_array_equal(rows, [0, 2])
