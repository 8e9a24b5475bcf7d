"""export_onnx of pipelines for mixed tables: every graph is compared with its pipeline."""

import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from versions import needs_exporter

from sknca import SNNLEmbedding, SoftNeighborsClassifier, export_onnx
from sknca.persistence import _onnx_neighbors, _onnx_steps

pytestmark = needs_exporter


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pipeline.onnx"


@pytest.fixture(scope="module")
def table():
    """200 samples: numbers with gaps, counts, flags and texts with gaps and rare values."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": rng.normal(40, 12, 200),
            "fare": rng.lognormal(3, 1, 200),
            "count": rng.integers(0, 4, 200),
            "grade": rng.choice([0.5, 1.0, np.nan], 200),
            "flag": rng.random(200) < 0.5,
            "port": rng.choice(["S", "C", "Q"], 200).astype(object),
            "cabin": rng.choice(
                ["A", "B", "C", "rare", "rarer"], 200, p=[0.4, 0.3, 0.26, 0.02, 0.02]
            ),
        }
    )
    table.loc[rng.random(200) < 0.2, ["age"]] = np.nan
    table.loc[rng.random(200) < 0.1, ["port"]] = None
    return table


@pytest.fixture(scope="module")
def labels(table):
    return np.where(table.fare + 10 * (table.port == "C") > 25, "dear", "cheap")


def fed(session, table):
    """What a service feeds: a column for each input."""
    dtypes = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(int64)": "i8"}
    return {
        one.name: table[[one.name]].to_numpy(dtype=dtypes.get(one.type, object))
        for one in session.get_inputs()
    }


NUMBERS = make_column_selector(dtype_include="number")
TEXTS = make_column_selector(dtype_exclude="number")
IMPUTERS = {
    "indicator": SimpleImputer(strategy="median", add_indicator=True),
    "all indicators": SimpleImputer(strategy="mean", add_indicator=True),
    "constant": SimpleImputer(strategy="constant", fill_value=-1, add_indicator=True),
    "scaled": make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler()),
}
ENCODERS = {
    "ignore": OneHotEncoder(handle_unknown="ignore"),
    "error": OneHotEncoder(sparse_output=False),
    "infrequent": OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10),
    "few": OneHotEncoder(handle_unknown="ignore", max_categories=2, sparse_output=False),
    "first": OneHotEncoder(drop="first"),
    "binary": OneHotEncoder(drop="if_binary", handle_unknown="ignore", dtype=int),
    "both": OneHotEncoder(drop="first", min_frequency=10, handle_unknown="infrequent_if_exist"),
}


def pipeline_of(imputer, encoder, last=None):
    columns = make_column_transformer((imputer, NUMBERS), (encoder, TEXTS), sparse_threshold=0)
    embedding = SNNLEmbedding(2, hidden_layer_sizes=(8,), max_iter=2, random_state=0)
    return make_pipeline(columns, embedding, *([] if last is None else [last]))


@pytest.mark.parametrize(
    ("imputer", "encoder"),
    [
        *(("indicator", encoder) for encoder in ENCODERS),
        *((imputer, "infrequent") for imputer in [*IMPUTERS][1:]),
    ],
)
@pytest.mark.filterwarnings("ignore:Found unknown categories:UserWarning")
def test_the_documented_table(imputer, encoder, table, labels, path):
    pipeline = pipeline_of(IMPUTERS[imputer], ENCODERS[encoder]).fit(table, labels)
    dtype = "float64" if imputer == "scaled" else "float32"
    export_onnx(pipeline, path, X=table, input_dtype=dtype)
    session = onnxruntime.InferenceSession(path)
    assert [one.name for one in session.get_inputs()] == list(table)
    unseen = table.copy()
    if ENCODERS[encoder].handle_unknown != "error" and encoder != "first":
        unseen.loc[::2, "cabin"] = "never seen"
    (codes,) = session.run(None, fed(session, unseen))
    np.testing.assert_allclose(codes, pipeline.transform(unseen), atol=1e-4)


def test_numbers_as_categories(table, labels, path):
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=45)
    columns = make_column_transformer((encoder, ["count", "grade", "flag"]), sparse_threshold=0)
    pipeline = make_pipeline(columns, SNNLEmbedding(2, max_iter=1)).fit(table, labels)
    export_onnx(pipeline, path, X=table)
    session = onnxruntime.InferenceSession(path)
    unseen = table.assign(count=table["count"] + 2, grade=table["grade"] * 2)
    (codes,) = session.run(None, fed(session, unseen))
    np.testing.assert_allclose(codes, pipeline.transform(unseen), atol=1e-4)


def test_names_of_columns_are_names_of_inputs(table, labels, path):
    names = {"age": "years-old", "fare": "a b", "count": "a_b", "grade": "x.y/z", "port": "Größe"}
    renamed = table.rename(columns=names)
    first = make_column_transformer(
        (SimpleImputer(), ["years-old", "a b", "a_b", "x.y/z"]),
        (OneHotEncoder(handle_unknown="ignore"), ["Größe"]),
    )
    pipeline = make_pipeline(first, SNNLEmbedding(2, max_iter=1), KNeighborsClassifier()).fit(
        renamed, labels
    )
    export_onnx(pipeline, path, X=renamed)
    session = onnxruntime.InferenceSession(path)
    assert [one.name for one in session.get_inputs()] == list(renamed.columns)
    found = session.run(None, fed(session, renamed))[1]
    np.testing.assert_allclose(found, pipeline.predict_proba(renamed), atol=1e-6)


@pytest.mark.parametrize("name", ["codes", "label", "probabilities", "variable", "rows"])
def test_names_that_no_column_can_have(name, table, labels, path):
    renamed = table[["fare", "count"]].rename(columns={"fare": name})
    first = make_column_transformer((StandardScaler(), [name, "count"]))
    pipeline = make_pipeline(first, SNNLEmbedding(2, max_iter=1), KNeighborsClassifier()).fit(
        renamed, labels
    )
    with pytest.raises(ValueError, match=rf"X has columns named \['{name}'\]"):
        export_onnx(pipeline, path, X=renamed)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["mask", "mask of pandas", "slice of names", "from the end"])
def test_columns_that_are_chosen_otherwise(kind, table, labels, path):
    numbers = table[["port", "age", "fare", "count"]]
    columns = {
        "mask": [False, True, True, False],
        "mask of pandas": numbers.dtypes == np.float64,
        "slice of names": slice("age", "fare"),
        "from the end": [-2, -3],
    }
    first = make_column_transformer((make_pipeline(SimpleImputer()), columns[kind]))
    pipeline = make_pipeline(first, SNNLEmbedding(2, max_iter=1)).fit(numbers, labels)
    export_onnx(pipeline, path, X=numbers)
    session = onnxruntime.InferenceSession(path)
    (codes,) = session.run(None, fed(session, numbers))
    np.testing.assert_allclose(codes, pipeline.transform(numbers), atol=1e-4)


def test_numbers_beside_flags_are_numbers(table, labels, path):
    first = make_column_transformer(
        (StandardScaler(), ["fare"]), ("passthrough", ["count", "flag"])
    )
    pipeline = make_pipeline(first, SNNLEmbedding(2, max_iter=1), KNeighborsClassifier()).fit(
        table, labels
    )
    assert first.fit_transform(table).dtype == object
    export_onnx(pipeline, path, X=table)
    assert path.exists()


@pytest.mark.filterwarnings("ignore:Skipping features without any:UserWarning")
def test_a_matrix_with_gaps(path):
    X = np.random.default_rng(0).normal(size=(60, 4)) + 1e6
    X[::3, 1], X[:, 2], X[::7, 3] = -1, -1, -1
    y = np.arange(60) % 2
    for kept in (False, True):
        imputer = SimpleImputer(
            missing_values=-1,
            add_indicator=True,
            keep_empty_features=kept,
            strategy="most_frequent",
        )
        pipeline = make_pipeline(imputer, SNNLEmbedding(2, max_iter=1)).fit(X, y)
        export_onnx(pipeline, path, X=X, input_dtype="float64")
        (codes,) = onnxruntime.InferenceSession(path).run(None, {"X": X})
        np.testing.assert_allclose(codes, pipeline.transform(X), atol=1e-4)


def test_texts_are_imputed(table, labels, path):
    imputer = SimpleImputer(strategy="most_frequent")
    columns = make_column_transformer(
        (make_pipeline(imputer, OneHotEncoder(sparse_output=False)), ["port"])
    )
    pipeline = make_pipeline(columns, SNNLEmbedding(2, max_iter=1)).fit(table, labels)
    export_onnx(pipeline, path, X=table)


def test_nullable_numbers(table, labels, path):
    table = table.assign(count=table["count"].astype("Int64").mask(table["count"] == 3))
    pipeline = pipeline_of(IMPUTERS["indicator"], ENCODERS["ignore"]).fit(table, labels)
    export_onnx(pipeline, path, X=table)
    session = onnxruntime.InferenceSession(path)
    assert {one.name: one.type for one in session.get_inputs()}["count"] == "tensor(float)"


CLASSIFIERS = {
    "15 neighbors": KNeighborsClassifier(15),
    "by distance": KNeighborsClassifier(3, weights="distance"),
    "of another metric": KNeighborsClassifier(3, p=1),
    "scaled neighbors": make_pipeline(StandardScaler(), KNeighborsClassifier(3)),
    "soft": SoftNeighborsClassifier(),
    "scaled soft": make_pipeline(PCA(2), SoftNeighborsClassifier()),
    "linear": LogisticRegression(),
    "clusters": KMeans(3, random_state=0),
    "components": PCA(1),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.filterwarnings("ignore:KMeans is known:UserWarning")
def test_the_last_step(name, table, labels, path):
    last = CLASSIFIERS[name]
    steps = [step for _, step in last.steps] if hasattr(last, "steps") else [last]
    pipeline = pipeline_of(IMPUTERS["indicator"], ENCODERS["infrequent"])
    pipeline = make_pipeline(*(step for _, step in pipeline.steps), *steps).fit(table, labels)
    export_onnx(pipeline, path, X=table)
    session = onnxruntime.InferenceSession(path)
    first = session.run(None, fed(session, table))[0]
    if name == "components":
        np.testing.assert_allclose(first, pipeline.transform(table), atol=1e-4)
    else:
        assert np.mean(first == pipeline.predict(table)) > 0.98  # but for ties


def test_neighbors_that_are_the_same_sample(path):
    """Each sample is in the data 20 times, with several labels: which neighbors vote is open."""
    rng = np.random.default_rng(0)
    X, y = np.repeat(rng.normal(size=(10, 3)), 20, axis=0), rng.integers(0, 2, 200)
    for weights in ("uniform", "distance"):
        last = KNeighborsClassifier(5, weights=weights)
        pipeline = make_pipeline(SNNLEmbedding(2, max_iter=1, random_state=0), last).fit(X, y)
        export_onnx(pipeline, path, X=X)


def test_features_far_from_zero_need_float64(path):
    X = np.random.default_rng(0).normal((1.7e9, 0), size=(60, 2))
    pipeline = make_pipeline(StandardScaler(), SNNLEmbedding(2, max_iter=1))
    pipeline.fit(X, np.arange(60) % 2)
    with pytest.raises(ValueError, match="'standardscaler'.*differ.*use input_dtype='float64'"):
        export_onnx(pipeline, path, X=X)
    assert not path.exists()
    export_onnx(pipeline, path, X=X, input_dtype="float64")
    embedding = SNNLEmbedding(2, max_iter=1).fit(X, np.arange(60) % 2)
    with pytest.raises(ValueError, match="'SNNLEmbedding', .*differ.*use input_dtype='float64'"):
        export_onnx(embedding, path, X=X)
    export_onnx(embedding, path, X=X, input_dtype="float64")


class Doubled(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return 2 * np.asarray(X)


def test_the_step_that_cannot_be_exported_is_named(table, labels, path):
    path.write_bytes(b"before")
    numbers = make_pipeline(SimpleImputer(), Doubled())
    pipeline = pipeline_of(numbers, ENCODERS["ignore"]).fit(table, labels)
    message = "'columntransformer__pipeline', Pipeline, .*Unable to find a shape"
    with pytest.raises(ValueError, match=message):
        export_onnx(pipeline, path, X=table)
    strange = make_column_transformer(
        (SimpleImputer(strategy="most_frequent", add_indicator=True), ["port"])
    )
    pipeline = make_pipeline(strange, OrdinalEncoder(), SNNLEmbedding(2, max_iter=1))
    with pytest.raises(ValueError, match="'columntransformer__simpleimputer', SimpleImputer, can"):
        export_onnx(pipeline.fit(table, labels), path, X=table)
    between = make_pipeline(SNNLEmbedding(2, max_iter=1), Doubled(), KNeighborsClassifier())
    with pytest.raises(ValueError, match="cannot be exported: Unable to find a shape calculator"):
        export_onnx(between.fit(table[["fare", "count"]], labels), path)
    assert path.read_bytes() == b"before"


def test_a_graph_that_computes_something_else_is_not_written(table, labels, path, monkeypatch):
    imputer = IMPUTERS["indicator"]
    pipeline = pipeline_of(imputer, ENCODERS["ignore"], KNeighborsClassifier(3)).fit(table, labels)
    kept = _onnx_steps._kept
    with monkeypatch.context() as patch:
        patch.setattr(_onnx_steps, "_kept", lambda imputer: kept(imputer)[::-1].copy())
        with pytest.raises(ValueError, match="'columntransformer__simpleimputer'.*differ by up to"):
            export_onnx(pipeline, path, X=table)
    samples = _onnx_neighbors.samples_of_neighbors
    with monkeypatch.context() as patch:
        patch.setattr(
            _onnx_neighbors, "samples_of_neighbors", lambda one: (samples(one)[0], 1 - one._y)
        )
        with pytest.raises(ValueError, match="'kneighborsclassifier', .* of 200 samples differ"):
            export_onnx(pipeline, path, X=table)
    assert not path.exists()


def test_columns_by_name_need_the_table(table, labels, path):
    pipeline = pipeline_of(IMPUTERS["indicator"], ENCODERS["ignore"]).fit(table, labels)
    with pytest.raises(ValueError, match="fitted on a table. Pass some of its rows .* as X=table"):
        export_onnx(pipeline, path)
    assert not path.exists()
    export_onnx(pipeline, path, X=table[:0])  # names and types only


def test_onnxruntime_is_missing(path, monkeypatch):
    embedding = SNNLEmbedding(2, max_iter=1).fit([[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="needs onnxruntime. The extra 'onnx' of sknca"):
        export_onnx(embedding, path)
