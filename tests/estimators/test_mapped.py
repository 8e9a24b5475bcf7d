"""Rows that are mapped from a file are read batch by batch, and learned from as rows in memory."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sknca import SNNLEmbedding, TripletEmbedding
from sknca.tables import MappedTable, _dense, is_mapped, is_read_in_place

X, y = load_digits(return_X_y=True)
X, y = X[:300], y[:300]
WEIGHT = np.linspace(0, 1, len(y))
KINDS = {
    "default": {},
    "early stopping": {"early_stopping": True, "max_iter": 5},
    "reconstruction": {"primary_loss": "reconstruction", "max_iter": 3},
    "unlabeled": {"unlabeled": 3, "max_iter": 3},
    "linear": {"hidden_layer_sizes": (), "max_iter": 3},
    "triplets": {"cls": TripletEmbedding, "max_iter": 3},
}
pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations")


@pytest.fixture
def mapped(tmp_path):
    def make(array, mode="r"):
        path = tmp_path / f"{array.dtype}.npy"
        np.save(path, array)
        return np.load(path, mmap_mode=mode)

    return make


def make(cls=SNNLEmbedding, **parameters):
    return cls(**{"random_state": 0, "hidden_layer_sizes": (16,), **parameters})


@pytest.mark.parametrize("kind", KINDS)
def test_codes_are_those_of_rows_in_memory(kind, mapped):
    in_memory = make(**KINDS[kind]).fit(X, y, WEIGHT)
    from_file = make(**KINDS[kind]).fit(mapped(X), y, WEIGHT)
    assert from_file.history_ == in_memory.history_
    np.testing.assert_array_equal(from_file.transform(X), in_memory.transform(X))
    np.testing.assert_array_equal(from_file.transform(mapped(X)), in_memory.transform(X))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_arrays_are_read_in_place(kind, dtype, monkeypatch):
    array = X.astype(dtype)
    copied = make(**KINDS[kind]).fit(array, y, WEIGHT)
    monkeypatch.setattr(_dense, "_LARGEST_COPY", 0)
    in_place = make(**KINDS[kind]).fit(array, y, WEIGHT)
    assert in_place.history_ == copied.history_
    np.testing.assert_array_equal(in_place.transform(array), copied.transform(array))


def test_only_contiguous_samples_on_the_cpu_are_read_in_place(monkeypatch):
    cpu = torch.device("cpu")
    assert not is_read_in_place(X, cpu)
    monkeypatch.setattr(_dense, "_LARGEST_COPY", 4 * X.size - 1)
    assert is_read_in_place(X, cpu)
    assert not is_read_in_place(np.asfortranarray(X), cpu)
    assert not is_read_in_place(X, torch.device("cuda"))


@pytest.mark.parametrize(
    "dtype",
    ["float16", "float32", "float64", "uint8", "int64", "bool", ">f2", ">f4", ">f8", ">i4"],
)
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_dtypes_and_modes(dtype, mode, mapped):
    array = X.astype(dtype)
    embedding, expected = make(max_iter=2), make(max_iter=2)
    file = mapped(array, mode)
    codes = embedding.fit(file, y).transform(file)
    reference = expected.fit(array, y).transform(array)
    assert codes.dtype == reference.dtype
    np.testing.assert_allclose(codes, reference, rtol=2e-3, atol=2e-3 * abs(reference).max())
    np.testing.assert_array_equal(file, array)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4"])
def test_another_byte_order_is_read_in_place(dtype, mapped):
    file = mapped(X.astype(dtype))
    assert file.dtype == dtype
    assert is_mapped(file)
    table = MappedTable(file)
    assert table.dtype.isnative
    np.testing.assert_array_equal(table[5:9], X[5:9])
    embedding = make(max_iter=1).fit(file, y)
    same = X.astype(np.dtype(dtype).newbyteorder("="))
    assert embedding.transform(file).dtype == embedding.transform(same).dtype
    np.testing.assert_array_equal(embedding.transform(file), embedding.transform(same))


def test_views_are_mapped_too(mapped):
    file = mapped(X)
    for view in (file[10:], np.asarray(file), file[:, 3:20], file[::-2], file.T.T):
        assert is_mapped(view)
        np.testing.assert_array_equal(MappedTable(view)[3:9], np.array(view)[3:9])
    copies = [np.array(file), file + 0, file.copy(), file[[0, 5, 3]], file.take([0, 3], axis=0)]
    for array in (X, file[0], "text", None, *copies, file.astype(np.float32)):
        assert not is_mapped(array)
    expected = make(max_iter=2).fit(X[::-2, 3:20], y[::-2]).transform(X[:, 3:20])
    codes = make(max_iter=2).fit(file[::-2, 3:20], y[::-2]).transform(file[:, 3:20])
    np.testing.assert_array_equal(codes, expected)


def test_changes_to_a_private_copy_stay(mapped):
    file = mapped(X, "c")
    file[5] = 1.0
    make(max_iter=1).fit(file, y)
    assert (file[5] == 1.0).all()


def test_features_that_are_rarely_not_constant(mapped, monkeypatch):
    from sknca.tables import _features

    monkeypatch.setattr(_features, "ROWS_TO_START_FROM", 50)
    embedding = make(max_iter=1).fit(mapped(X), y)
    np.testing.assert_array_equal(embedding.network_.scale.numpy() > 0, X.std(0) > 0)


def test_in_a_pipeline_and_with_a_checkpoint(mapped, tmp_path):
    pipeline = make_pipeline(FunctionTransformer(), make(max_iter=3))
    path = tmp_path / "fit.ckpt"
    pipeline.fit(mapped(X), y, snnlembedding__checkpoint=path)
    again = make(max_iter=3).fit(X, y, checkpoint=path)  # the same rows
    np.testing.assert_array_equal(again.transform(X), pipeline.transform(mapped(X)))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_a_row_that_is_not_finite_is_named(value, mapped):
    bad = X.copy()
    bad[123, 7] = value
    embedding = make(max_iter=2, early_stopping=False)
    with pytest.raises(ValueError, match=r"Input X contains .* \(row 123\)"):
        embedding.fit(mapped(bad), y)
    assert not hasattr(embedding, "network_")
    embedding.fit(X, y)
    with pytest.raises(ValueError, match="Input X contains "):
        embedding.transform(mapped(bad))


def test_shapes_are_checked(mapped):
    file = mapped(X)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        make().fit(file, y[:-1])
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        make().fit(file[:1], y[:1])
    with pytest.raises(ValueError, match="Expected 2D array"):
        make().fit(file[0], y)
    with pytest.raises(ValueError, match="requires y to be passed"):
        make().fit(file)
    embedding = make(max_iter=1).fit(file, y)
    assert embedding.n_features_in_ == 64
    with pytest.raises(ValueError, match="X has 5 features"):
        embedding.transform(file[:, :5])


def test_a_truncated_file_is_an_error(tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, X)
    file = np.load(path, mmap_mode="r")
    embedding = make(max_iter=1).fit(file, y)
    os.truncate(path, os.path.getsize(path) - 50_000)
    for use in (lambda: make(max_iter=1).fit(file, y), lambda: embedding.transform(file)):
        with pytest.raises(ValueError, match=r"rows.npy'.*the file was truncated"):
            use()


MEMORY = """
import resource, sys
import numpy as np
from sknca import SNNLEmbedding

X = np.load(sys.argv[1], mmap_mode="r")
y = np.arange(len(X)) % 7

def resident():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1]) / 1024

SNNLEmbedding(max_iter=1, hidden_layer_sizes=(8,), n_components=2).fit(X[:2000], y[:2000])
before = resident()
SNNLEmbedding(max_iter=1, hidden_layer_sizes=(8,), n_components=2).fit(X, y).transform(X)
print(resident() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux")
@pytest.mark.parametrize("dtype", ["<f4", ">f4"])
def test_the_rows_do_not_stay_in_memory(dtype, tmp_path):
    rows = np.random.default_rng(0).random((50_000, 500), dtype=np.float32)  # 100 MB
    np.save(tmp_path / "rows.npy", rows.astype(dtype))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "rows.npy"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert float(done.stdout) < 40, done.stdout
