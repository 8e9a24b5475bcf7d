"""Labels of any container, read exactly."""

import datetime
import enum
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import DataConversionWarning

from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from sknca.metrics import (
    clustering_accuracy,
    entanglement_score,
    mean_average_precision_at_r,
    recall_at_k,
)
from sknca.tables import (
    classes_of,
    encode_portion,
    read_groups,
    read_labels,
    union,
    without_unlabeled,
)

X, Y = load_iris(return_X_y=True)
LARGE = 2**60

INT64 = st.integers(-(2**63), 2**63 - 1)
UINT64 = st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=3)


def as_list(values, dtype):
    return values


def as_objects(values, dtype):
    return np.array([*values, 0], dtype=object)[:-1]


def as_numpy(values, dtype):
    return np.array(values, dtype=dtype)


def as_masked(values, dtype):
    return np.ma.array([*values, values[0]], mask=[False] * len(values) + [True], dtype=dtype)


def as_pandas(values, dtype):
    return pd.Series(values, dtype={"i8": "Int64", "u8": "UInt64", "U3": "string"}[dtype])


def as_pandas_array(values, dtype):
    return as_pandas(values, dtype).array


def as_pandas_of_arrow(values, dtype):
    return pd.Series(as_arrow(values, dtype), dtype=pd.ArrowDtype(ARROW[dtype]))


def as_categories(values, dtype):
    categories = pd.Index(sorted({value for value in values if value is not None}))
    return pd.Series(pd.Categorical(values, categories=categories))


def as_polars(values, dtype):
    return pl.Series(values, dtype={"i8": pl.Int64, "u8": pl.UInt64, "U3": pl.String}[dtype])


def as_arrow(values, dtype):
    return pa.array(values, ARROW[dtype])


def as_chunks(values, dtype):
    return pa.chunked_array([as_arrow(values[:1], dtype), as_arrow(values[1:], dtype)])


def as_frame(values, dtype):
    return pl.DataFrame({"label": as_polars(values, dtype)})


ARROW = {"i8": pa.int64(), "u8": pa.uint64(), "U3": pa.string()}
WITH_MISSING = [
    as_list,
    as_objects,
    as_pandas,
    as_pandas_array,
    as_pandas_of_arrow,
    as_categories,
    as_polars,
    as_arrow,
    as_chunks,
]


@pytest.mark.parametrize("container", [as_numpy, as_masked, *WITH_MISSING])
@pytest.mark.parametrize(("dtype", "value"), [("i8", INT64), ("u8", UINT64), ("U3", TEXT)])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_classes_are_the_exact_values(container, dtype, value, data):
    values = data.draw(st.lists(value, min_size=1, max_size=8))
    labels = read_labels(container(values, dtype))
    assert labels.values.dtype.kind in ("U" if dtype == "U3" else "iu")
    assert labels.values.tolist() == values
    assert np.unique(labels.values).tolist() == sorted(set(values))


@pytest.mark.parametrize("container", WITH_MISSING)
@pytest.mark.parametrize(("dtype", "value"), [("i8", INT64), ("u8", UINT64), ("U3", TEXT)])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_and_so_they_are_if_some_are_missing(container, dtype, value, data):
    values = data.draw(st.lists(st.none() | value, min_size=2, max_size=8))
    labels = read_labels(container(values, dtype))
    assert labels.values.tolist() == [value for value in values if value is not None]
    assert labels.is_labeled.tolist() == [value is not None for value in values]


@settings(max_examples=50, deadline=None)
@given(st.lists(INT64, min_size=1, max_size=5), st.lists(UINT64, min_size=1, max_size=5))
def test_signed_beside_unsigned(signed, unsigned):
    parts = np.array(signed, dtype="i8"), np.array(unsigned, dtype="u8")
    together = sorted({*signed, *unsigned})
    if together[0] < 0 and together[-1] >= 2**63:
        with pytest.raises(ValueError, match="no dtype of 64 bits holds exactly"):
            union(*parts)
    else:
        assert union(*parts).tolist() == together


@pytest.mark.parametrize(
    ("y", "classes", "kind"),
    [
        (pd.Series([1, None, 2], dtype="Int8"), [1, 2], "i"),
        (pd.Series([True, None, False], dtype="boolean"), [False, True], "b"),
        ([2.0, 1, None, np.nan, pd.NA], [1, 2], "i"),
        ([1.0, None, 3.0], [1.0, 3.0], "f"),
        ([Decimal(2**60), Decimal(2**60 + 1)], [2**60, 2**60 + 1], "i"),
        (np.array([1, np.nan], dtype=np.float32), [1.0], "f"),
        (np.array(["a", "bcd"]), ["a", "bcd"], "U"),
        (np.array(["b", "a"], dtype=np.dtypes.StringDType()), ["a", "b"], "U"),
        (["a", np.str_("b"), np.nan, None, pd.NA], ["a", "b"], "U"),
        (pd.Series(["x", None, "y"]), ["x", "y"], "U"),
        (torch.tensor([2**60, 2**60 + 1]), [2**60, 2**60 + 1], "i"),
        (range(3), [0, 1, 2], "i"),
        (pa.array(["a", "b", None]).dictionary_encode(), ["a", "b"], "U"),
        (pl.Series(["a", "b", None], dtype=pl.Categorical), ["a", "b"], "U"),
    ],
)
def test_kinds_of_labels(y, classes, kind):
    found = np.unique(read_labels(y).values)
    assert found.tolist() == classes
    assert found.dtype.kind == kind


@pytest.mark.parametrize(
    "y",
    [
        np.array(["2020-01-02", "NaT", "2020-01-01"], dtype="datetime64[ns]"),
        pd.Series(pd.to_datetime(["2020-01-02", None, "2020-01-01"])),
        pl.Series([datetime.date(2020, 1, 2), None, datetime.date(2020, 1, 1)]),
        pa.array([datetime.datetime(2020, 1, 2), None, datetime.datetime(2020, 1, 1)]),
    ],
    ids=["numpy", "pandas", "polars", "pyarrow"],
)
def test_dates_are_classes_and_nat_is_missing(y):
    labels = read_labels(y)
    expected = np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[D]")
    assert labels.is_labeled.tolist() == [True, False, True]
    np.testing.assert_array_equal(classes_of(labels), expected)
    assert len(union(labels.values, expected)) == 2
    with pytest.raises(TypeError, match="uniformly"):
        union(labels.values, np.array([1]))


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (["a", 1], TypeError, r"y must be uniformly strings or numbers\. Got \['int', 'str'\]"),
        (np.array(["a", 1.5], dtype=object), TypeError, "uniformly strings or numbers"),
        ([["a"], ["b", "c"]], ValueError, "Several labels per sample"),
        ([["a", "b"], ["b", "c"]], ValueError, r"array of shape \(2, 2\)"),
        (pl.Series([["a"], ["b", "c"]]), ValueError, "Several labels per sample"),
        (np.eye(3), ValueError, r"shape \(3, 3\) instead.*\(multilabel-indicator\)"),
        (sparse.eye(3).tocsr(), ValueError, "Several labels per sample"),
        (pd.DataFrame({"a": [1, 2], "b": [0, 1]}), ValueError, "Several labels per sample"),
        (np.arange(6).reshape(2, 3), ValueError, r"\(multiclass-multioutput\)"),
        ([1.0, np.inf], ValueError, "Input y contains infinity"),
        ([1j, 2.0], ValueError, "Complex data not supported"),
        (list(enum.Enum("Color", "RED BLUE")), ValueError, r"Unknown label type: \['Color'\]"),
        (pa.array([{"a": 1}, {"a": 2}]), ValueError, r"Unknown label type: \['dict'\]"),
        (np.array([(1,), (2,)], dtype=[("a", int)]), ValueError, "Convert y to strings or numbers"),
        (np.rec.array([(1,), (2,)], dtype=[("a", int)]), ValueError, "Unknown label type"),
        ([-1, 2**63], ValueError, "no dtype of 64 bits holds exactly. Convert them to strings"),
        (["a\0", "a"], ValueError, "NUL"),
        (3, ValueError, r"y should be a 1d array, got an array of shape \(\)"),
        (iter([1, 2]), TypeError, "can be read only once"),
        (pl.LazyFrame({"a": [1]}), TypeError, "not in memory yet"),
    ],
)
def test_what_is_refused(y, error, message):
    with pytest.raises(error, match=message):
        read_labels(y)


def test_messages_name_the_parameter():
    with pytest.raises(
        ValueError, match=r"groups should be a 1d array, got an array of shape \(\)"
    ):
        read_labels(3, "groups")
    for groups in (np.array([[1], [2]]), pd.DataFrame({"a": [1, 2]})):
        with pytest.warns(DataConversionWarning, match="column-vector groups") as warned:
            read_labels(groups, "groups")
        assert len(warned) == 1


def test_numbers_in_arrays_of_no_dimension():
    assert read_labels([np.array(1), np.array(2)]).values.tolist() == [1, 2]


@pytest.mark.parametrize("y", [[0.5, 1.5], np.array([b"a", b"b"]), [datetime.date(2020, 1, 1)]])
def test_what_is_no_class(y):
    with pytest.raises((ValueError, TypeError), match="Unknown label type|represented as bytes"):
        classes_of(read_labels(y))


def test_the_marker_is_compared_exactly():
    labels = read_labels(np.array([LARGE, LARGE + 1]))
    assert without_unlabeled(labels, float(LARGE)).values.tolist() == [LARGE + 1]
    assert without_unlabeled(labels, np.uint64(LARGE + 1)).values.tolist() == [LARGE]
    with pytest.raises(ValueError, match="cannot mark samples"):
        without_unlabeled(labels, "?")


def test_strings_of_later_portions_are_not_cut():
    known = np.array(["a", "b"])
    found, classes = encode_portion(read_labels(["abcdef", "b"]), None, None, known, fixed=False)
    assert classes.tolist() == ["a", "abcdef", "b"]
    assert found.tolist() == [1, 2]


IDS = (LARGE + np.arange(3))[Y]
HIDDEN = np.arange(150) % 3 == 0
PARTLY = [None if hidden else int(label) for hidden, label in zip(HIDDEN, IDS, strict=True)]
CONTAINERS = {
    "uint64": IDS.astype("u8"),
    "list": IDS.tolist(),
    "pandas": pd.Series(IDS, dtype="Int64"),
    "pandas of Arrow": pd.Series(IDS, dtype="int64[pyarrow]"),
    "polars": pl.Series(IDS),
    "pyarrow": pa.chunked_array([IDS]),
}
PARTLY_LABELED = {
    "list": PARTLY,
    "pandas": pd.Series(PARTLY, dtype="Int64"),
    "pandas of Arrow": pd.Series(PARTLY, dtype="int64[pyarrow]"),
    "categories": as_categories(PARTLY, "i8"),
    "polars": pl.Series(PARTLY),
    "pyarrow": pa.array(PARTLY),
}


def each(cases):
    return pytest.mark.parametrize("y", [pytest.param(y, id=name) for name, y in cases.items()])


@each({**CONTAINERS, "categories": as_categories(IDS.tolist(), "i8")})
def test_groups(y):
    assert read_groups(y, X).tolist() == Y.tolist()


class TestScores:
    @each(CONTAINERS)
    def test_large_ids(self, y):
        for score in (recall_at_k, mean_average_precision_at_r):
            assert score(X, y) == score(X, Y) < 1
        assert entanglement_score(X, y) == entanglement_score(X, Y)
        assert clustering_accuracy(y, Y) == 1
        assert clustering_accuracy(Y, y) == 1

    @each(CONTAINERS)
    @pytest.mark.parametrize("score", [recall_at_k, mean_average_precision_at_r])
    def test_of_queries_and_of_a_gallery(self, score, y):
        X_gallery, of_gallery = X[::-1] + 0.5 * np.sin(np.arange(600)).reshape(150, 4), IDS[::-1]
        found = score(X, y, X_gallery=X_gallery, labels_gallery=of_gallery)
        assert found == score(X, Y, X_gallery=X_gallery, labels_gallery=Y[::-1]) < 1
        found = score(X, of_gallery, X_gallery=X_gallery, labels_gallery=y)
        assert found == score(X, Y, X_gallery=X_gallery, labels_gallery=Y[::-1])

    @pytest.mark.parametrize("labels", [Y, Y / 1])
    def test_numbers_are_not_searched_among_strings(self, labels):
        with pytest.raises(TypeError, match="labels and labels_gallery must be uniformly"):
            recall_at_k(X, labels, X_gallery=X, labels_gallery=Y.astype(str))

    @each(PARTLY_LABELED)
    def test_all_need_a_label(self, y):
        for score in (recall_at_k, mean_average_precision_at_r, entanglement_score):
            with pytest.raises(ValueError, match="Input labels contains NaN"):
                score(X, y)
        with pytest.raises(ValueError, match="Input labels_true contains NaN"):
            clustering_accuracy(y, Y)


@pytest.mark.parametrize("kind", [SNNLEmbedding, TripletEmbedding])
class TestEmbeddings:
    def new(self, kind, **parameters):
        return kind(max_iter=2, random_state=0, **parameters)

    @each(CONTAINERS)
    def test_large_ids(self, kind, y):
        embedding = self.new(kind).fit(X, y, X_val=X, y_val=IDS)
        expected = self.new(kind).fit(X, Y, X_val=X, y_val=Y)
        assert embedding.classes_.tolist() == np.unique(IDS).tolist()
        assert embedding.validation_loss_curve_ == expected.validation_loss_curve_
        embedding.fit(X, IDS, X_val=X, y_val=y)
        assert embedding.validation_loss_curve_ == expected.validation_loss_curve_

    @each(PARTLY_LABELED)
    def test_transduction_is_of_the_ids_that_were_given(self, kind, y):
        embedding = self.new(kind, unlabeled=np.nan).fit(X, y)
        assert embedding.classes_.tolist() == np.unique(IDS).tolist()
        assert embedding.transduction_.dtype.kind == "i"
        assert set(embedding.transduction_.tolist()) <= set(IDS.tolist())
        with pytest.raises(ValueError, match=r"Input y contains NaN.*unlabeled=numpy\.nan"):
            self.new(kind).fit(X, y)

    def test_large_ids_in_a_stream(self, kind):
        embedding = self.new(kind).partial_fit(X, IDS.astype("u8"))
        for y in CONTAINERS.values():
            embedding.partial_fit(X, y)
        assert embedding.classes_.tolist() == np.unique(IDS).tolist()

    @pytest.mark.parametrize("texts", [["a", "b", "c"], ["0", "1", "2"]])
    def test_numbers_and_strings(self, kind, texts):
        text = np.array(texts)[Y]
        for first, second in ((Y, text), (text, Y)):
            stream = self.new(kind).partial_fit(X, first)
            with pytest.raises(TypeError, match="y must be uniformly strings or numbers"):
                stream.partial_fit(X, second)
            assert stream.classes_.tolist() == np.unique(first).tolist()
            with pytest.raises(TypeError, match="y must be uniformly strings or numbers"):
                self.new(kind).partial_fit(X, first, classes=np.unique(second))
            with pytest.raises(TypeError, match="y and y_val must be uniformly strings or numbers"):
                self.new(kind).fit(X, first, X_val=X, y_val=second)
        for mixed in (["a", *Y[1:].tolist()], np.array(["a", *Y[1:].tolist()], dtype=object)):
            with pytest.raises(TypeError, match="y must be uniformly strings or numbers"):
                self.new(kind).fit(X, mixed)

    def test_held_out_targets_of_a_regression(self, kind):
        with pytest.raises(ValueError, match="Unknown label type: continuous"):
            self.new(kind).fit(X, Y, X_val=X, y_val=X[:, 0])

    @pytest.mark.parametrize("labels", [Y, Y.astype(float), Y.astype(str)])
    @pytest.mark.parametrize("nothing", [[None] * 150, np.full(150, np.nan), [pd.NA] * 150])
    def test_a_portion_without_a_label(self, kind, labels, nothing):
        stream = self.new(kind, unlabeled=np.nan).partial_fit(X, labels)
        before = stream.transform(X)
        for y in (nothing, pd.Series([None] * 150, dtype="Int64"), pl.Series([None] * 150)):
            stream.partial_fit(X, y)
            assert stream.n_iter_ == 1
            assert stream.classes_.tolist() == np.unique(labels).tolist()
            np.testing.assert_array_equal(stream.transform(X), before)
        assert stream.partial_fit(X, labels).n_iter_ == 2


@pytest.mark.parametrize("marker", [-1, np.nan, None])
def test_a_stream_that_starts_without_a_label(marker):
    stream = SNNLEmbedding(
        unlabeled=np.nan if marker is None else marker,
        primary_loss="reconstruction",
        random_state=0,
    )
    stream.partial_fit(X, [marker] * 150)
    labels = Y if marker == -1 else Y.astype(str)
    stream.partial_fit(X, labels)
    assert stream.classes_.tolist() == np.unique(labels).tolist()
    assert stream.partial_fit(X, [marker] * 150).n_iter_ == 3


def test_layer_entanglement_without_a_label():
    embedding = SNNLEmbedding(unlabeled=np.nan, max_iter=2, random_state=0).fit(X, IDS)
    found = embedding.layer_entanglement(X, pd.Series(PARTLY, dtype="Int64"))
    assert found == embedding.layer_entanglement(X[~HIDDEN], Y[~HIDDEN] + LARGE)


@each(CONTAINERS)
def test_soft_neighbors(y):
    classifier = SoftNeighborsClassifier().fit(X, y)
    assert classifier.classes_.tolist() == np.unique(IDS).tolist()
    assert classifier.predict(X).tolist() == [
        LARGE + label for label in SoftNeighborsClassifier().fit(X, Y).predict(X).tolist()
    ]


@each(CONTAINERS)
def test_the_accuracy_of_soft_neighbors_is_that_of_exact_labels(y):
    expected = SoftNeighborsClassifier().fit(X, Y).score(X, Y)
    assert SoftNeighborsClassifier().fit(X, y).score(X, y) == expected < 1


@each(PARTLY_LABELED)
def test_soft_neighbors_need_every_label(y):
    with pytest.raises(ValueError, match="Input y contains NaN"):
        SoftNeighborsClassifier().fit(X, y)


ESTIMATORS = [SNNLEmbedding(max_iter=1), TripletEmbedding(max_iter=1), SoftNeighborsClassifier()]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: type(estimator).__name__)
class TestTargetsOfARegression:
    @pytest.mark.parametrize("dtype", [int, float])
    def test_one_warning(self, estimator, dtype):
        X, y = load_diabetes(return_X_y=True)
        with pytest.warns(UserWarning, match="unique classes") as caught:
            estimator.fit(X, y.astype(dtype))
        (warning,) = caught
        assert "214 unique classes among 442 samples" in str(warning.message)
        words = "`y` could represent a regression problem, not a classification problem."
        assert words in str(warning.message)
        assert warning.filename == __file__

    @pytest.mark.parametrize(
        "y",
        [
            np.repeat(np.arange(75) * 977, 2),  # ids, two samples of each
            np.r_[np.arange(100), np.arange(50)],  # encoded labels, many of one sample
            np.r_[np.arange(100), np.arange(50)].astype(str) + np.array("id"),
            np.r_[np.arange(100), np.arange(50)] * 2**50 + 12345,  # snowflake ids
            np.arange(150) % 20 * 7,
        ],
        ids=["pairs", "encoded", "strings", "snowflakes", "twenty"],
    )
    def test_many_classes_are_nothing_to_warn_of(self, estimator, y):
        estimator.fit(X, y)

    def test_continuous(self, estimator):
        message = "Unknown label type: continuous.*expects discrete classes on a regression target"
        with pytest.raises(ValueError, match=message):
            estimator.fit(X, X[:, 0])

    def test_several_labels(self, estimator):
        with pytest.raises(ValueError, match=r"Several labels per sample \(multilabel-indicator\)"):
            estimator.fit(X, np.eye(3)[Y])


def test_a_stream_warns_of_its_first_portion():
    X, y = load_diabetes(return_X_y=True)
    stream = SNNLEmbedding()
    with pytest.warns(UserWarning, match="regression"):
        stream.partial_fit(X, y)
    stream.partial_fit(X, y)
