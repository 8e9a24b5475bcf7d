"""Errors about tables name the column, and what to do first."""

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sknca import SNNLEmbedding, SoftNeighborsClassifier
from sknca.metrics import entanglement_score, recall_at_k_score

X, y = load_iris(return_X_y=True)
NAMES = list("abcd")
FRAMES = ["pandas", "polars", "pyarrow"]
CLIP = FunctionTransformer(np.clip, kw_args={"a_min": -1e9, "a_max": 1e9})
pytestmark = pytest.mark.filterwarnings("ignore:Maximum iterations")


def make(**parameters):
    return SNNLEmbedding(max_iter=1, hidden_layer_sizes=(8,), random_state=0, **parameters)


def frame(package, rows=X):
    module = pytest.importorskip(package)
    columns = dict(zip(NAMES, rows.T, strict=True))
    return module.table(columns) if package == "pyarrow" else module.DataFrame(columns)


@pytest.mark.parametrize("package", FRAMES)
@pytest.mark.parametrize("value", [np.inf, 1e300, np.nan])
def test_columns_that_are_not_finite_are_named(package, value):
    rows = X.copy()
    rows[3, 1], rows[4, 3] = value, -value
    good, bad = frame(package), frame(package, rows)
    fitted = make().fit(good, y)
    uses = {
        "fit": lambda: make().fit(bad, y),
        "X_val": lambda: make().fit(good, y, X_val=bad, y_val=y),
        "partial_fit": lambda: make().partial_fit(bad, y),
        "transform": lambda: fitted.transform(bad),
        "layer_entanglement": lambda: fitted.layer_entanglement(bad, y),
    }
    if value != 1e300:  # which double precision holds
        uses["SoftNeighborsClassifier"] = lambda: SoftNeighborsClassifier().fit(bad, y)
    for use, call in uses.items():
        name = "X_val" if use == "X_val" else "X"
        step = "SimpleImputer()" if np.isnan(value) else "FunctionTransformer(numpy.clip, .*)"
        estimator = use if use == "SoftNeighborsClassifier" else "SNNLEmbedding"
        with pytest.raises(ValueError, match=f"Input {name} contains ") as raised:
            call()
        assert "in the columns 'b', 'd'." in str(raised.value), use
        assert step.split("(")[0] in str(raised.value), use
        assert str(raised.value).endswith(f"{estimator}())."), use


@pytest.mark.parametrize("package", FRAMES)
def test_infinities_of_single_precision(package):
    rows = X.astype(np.float32)
    rows[3, 1] = np.inf
    with pytest.raises(ValueError, match="in the columns 'b'"):
        make().fit(frame(package, rows), y)


def test_missing_values_beside_single_precision():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=NAMES).astype("Float32")
    table.iloc[3, 1] = pd.NA
    with pytest.raises(ValueError, match="in the columns 'b'"):
        make().fit(table, y)


def test_the_step_that_the_error_names_helps():
    rows = X.copy()
    rows[3, 1] = np.inf
    for package in ("pandas", "polars"):
        codes = make_pipeline(CLIP, make()).fit_transform(frame(package, rows), y)
        assert np.isfinite(codes).all()


def unread(kind):
    if kind == "LazyFrame":
        return frame("polars").lazy(), "collect"
    if kind == "RecordBatchReader":
        return frame("pyarrow").to_reader(), "read_all"
    if kind == "InMemoryDataset":
        dataset = pytest.importorskip("pyarrow.dataset")
        return dataset.dataset(frame("pyarrow")), "to_table"
    return map(list, X), None


@pytest.mark.parametrize(
    "kind",
    ["LazyFrame", "RecordBatchReader", "InMemoryDataset", "map"],
)
def test_what_has_not_been_read_is_refused_by_what_reads_it(kind):
    fitted, classifier = make().fit(X, y), SoftNeighborsClassifier().fit(X, y)
    uses = [
        ("X", lambda given: make().fit(given, y)),
        ("X", lambda given: make().partial_fit(given, y)),
        ("X", lambda given: SoftNeighborsClassifier().fit(given, y)),
        ("X", fitted.transform),
        ("X", classifier.predict),
        ("X", lambda given: fitted.layer_entanglement(given, y)),
        ("X_val", lambda given: make().fit(X, y, X_val=given, y_val=y)),
        ("sample_weight", lambda given: make().fit(X, y, given)),
    ]
    for name, use in uses:
        given, method = unread(kind)
        what = "can be read only once" if method is None else rf"Call \.{method}\(\) on it first"
        with pytest.raises(TypeError, match=rf"^{name} is a {kind}, .*{what}"):
            use(given)
        if method is not None and kind != "RecordBatchReader":
            assert len(getattr(given, method)()) == len(X)


@pytest.mark.parametrize("kind", ["<f4", ">f4", ">f8", ">f2"])
def test_floats_of_another_byte_order_are_floats(kind):
    from scipy import sparse

    rows, same = X.astype(kind), X.astype(np.dtype(kind).newbyteorder("="))
    expected = make().fit(same, y)
    embedding = make().fit(rows, y, X_val=rows, y_val=y)
    codes = make().fit(rows, y).transform(rows)
    assert codes.dtype == same.dtype
    np.testing.assert_array_equal(codes, expected.transform(same))
    assert len(embedding.validation_loss_curve_) == 1
    if kind != ">f2":  # scipy has none
        matrix = sparse.csr_array(same)
        matrix.data = matrix.data.astype(kind)
        native = sparse.csr_array(same)
        found, wanted = make().fit(matrix, y), make().fit(native, y)
        codes = found.transform(matrix)
        assert codes.dtype == same.dtype
        np.testing.assert_array_equal(codes, wanted.transform(native))
    probabilities = SoftNeighborsClassifier().fit(rows, y).predict_proba(rows)
    assert probabilities.dtype == SoftNeighborsClassifier().fit(same, y).predict_proba(same).dtype


def test_columns_of_another_byte_order():
    frames = pytest.importorskip("pandas")
    same, table = X.astype("<f4"), frames.DataFrame(X.astype(">f4"))
    codes = make().fit(table, y).transform(table)
    assert codes.dtype == np.dtype("<f4")
    np.testing.assert_array_equal(codes, make().fit(same, y).transform(same))
    for score in (entanglement_score, recall_at_k_score):
        assert score(table, y) == score(same, y)
