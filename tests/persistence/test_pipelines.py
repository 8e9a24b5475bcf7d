"""save and load of whole pipelines: what comes back bit for bit, and what is refused."""

import re

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.feature_selection import SelectKBest
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from torch import nn

import sknca
from sknca import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding, _file
from sknca.persistence import _step_tables


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pipeline.safetensors"


@pytest.fixture(scope="module")
def table():
    """90 samples: numbers with gaps, counts, flags, and texts with gaps and rare values."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": rng.normal(40, 12, 90),
            "fare": rng.lognormal(3, 1, 90),
            "count": rng.integers(0, 4, 90),
            "grade": rng.choice([0.5, 1.0, np.nan], 90),
            "flag": rng.random(90) < 0.5,
            "port": rng.choice(["S", "C", None], 90),
            "cabin": rng.choice(["A", "B", "C", "rare"], 90, p=[0.5, 0.3, 0.15, 0.05]),
        }
    )
    table.loc[::7, "age"] = np.nan
    return table.astype({"port": object, "cabin": object})


@pytest.fixture(scope="module")
def labels(table):
    return np.where(table.fare > 20, "dear", "cheap").astype(object)


def embedding(**parameters):
    return SNNLEmbedding(2, hidden_layer_sizes=(8,), max_iter=2, random_state=0, **parameters)


NUMBERS = make_column_selector(dtype_include="number")
OTHERS = make_column_selector(dtype_exclude=np.number)
GAPS = SimpleImputer(strategy="median", add_indicator=True)
RARE = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=6)

TABLES = {
    "documented": make_column_transformer((GAPS, NUMBERS), (RARE, OTHERS), sparse_threshold=0),
    "by name": make_column_transformer(
        (make_pipeline(SimpleImputer(), RobustScaler()), ["age", "fare"]),
        (OneHotEncoder(drop="if_binary", dtype=np.float32), ["flag", "cabin", "port"]),
        ("drop", ["grade"]),
        remainder="passthrough",
    ),
    "by place": ColumnTransformer(
        [
            ("scaled", MinMaxScaler(clip=True), slice(1, 3)),
            ("kept", "passthrough", [2]),
            ("ordered", OrdinalEncoder(encoded_missing_value=-1, dtype=int), [5, 6]),
            ("masked", MaxAbsScaler(), [False, True] + [False] * 5),
        ],
        remainder="drop",
        transformer_weights={"kept": 2.0},
        n_jobs=1,
    ),
    "by slices of names": ColumnTransformer(
        [("scaled", StandardScaler(), slice("fare", "count")), ("nothing", GAPS, [])],
        remainder=OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
        ),
        verbose_feature_names_out=False,
    ),
    "texts with gaps": make_column_transformer(
        (
            make_pipeline(
                SimpleImputer(strategy="most_frequent"),
                OneHotEncoder(categories=[["C", "S"]], sparse_output=False),
            ),
            ["port"],
        ),
        (SimpleImputer(strategy="constant", fill_value=-1.0, keep_empty_features=True), ["grade"]),
    ),
    "infrequent": make_column_transformer(
        (OneHotEncoder(drop="first", max_categories=2, sparse_output=False), ["cabin", "count"]),
        (OrdinalEncoder(min_frequency=10, dtype=np.int32), ["cabin"]),
        (OneHotEncoder(handle_unknown="ignore"), ["grade", "flag"]),
    ),
}
LAST = {
    "neighbors": [KNeighborsClassifier(3, weights="distance")],
    "soft": [SoftNeighborsClassifier(temperature=0.5)],
    "clusters": [PCA(whiten=True, random_state=0), KMeans(3, random_state=0)],
    "normalized": [Normalizer(), TruncatedSVD(1, random_state=0), KNeighborsClassifier(5, p=1)],
    "codes": [],
}


def round_trip(pipeline, path, **own):
    sknca.save(pipeline, path)
    return sknca.load(path, **own)


def outputs(pipeline, X):
    names = ("transform", "predict", "predict_proba", "predict_log_proba", "get_feature_names_out")
    for name in names:
        if hasattr(pipeline, name) and (
            name != "get_feature_names_out" or hasattr(pipeline[-1], name)
        ):
            yield name, getattr(pipeline, name)(*([] if name.startswith("get") else [X]))


def text_of(value):
    """How a value is printed, but for the addresses of objects."""
    return re.sub(r"0x\w+", "", repr(value))


def assert_equal_outputs(pipeline, again, X):
    found = dict(outputs(again, X))
    for name, expected in outputs(pipeline, X):
        assert type(found[name]) is type(expected)
        if isinstance(expected, pd.DataFrame):
            pd.testing.assert_frame_equal(found[name], expected, check_exact=True)
        else:
            assert found[name].dtype == expected.dtype
            np.testing.assert_array_equal(found[name], expected)


@pytest.mark.parametrize("columns", TABLES)
@pytest.mark.filterwarnings("ignore:KMeans is known:UserWarning")
def test_tables(columns, table, labels, path):
    last = [*LAST][[*TABLES].index(columns) % len(LAST)]
    steps = [TABLES[columns], embedding(), *LAST[last]]
    pipeline = make_pipeline(*steps).fit(table, labels)
    again = round_trip(pipeline, path)
    assert_equal_outputs(pipeline, again, table)
    assert_equal_outputs(pipeline[:1], again[:1], table)
    assert text_of(again) == text_of(pipeline)
    assert text_of(clone(again).get_params()) == text_of(clone(pipeline).get_params())
    if columns == "documented":
        unseen = table.assign(cabin="never seen")
        np.testing.assert_array_equal(again.predict(unseen), pipeline.predict(unseen))
    with pytest.raises(ValueError, match="columns are missing"):
        again.predict(table[["age"]]) if last != "codes" else again.transform(table[["age"]])


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.filterwarnings("ignore:KMeans is known:UserWarning")
def test_arrays(last, dtype, path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)).astype(dtype), np.arange(60) % 3
    steps = [StandardScaler(), PCA(4, random_state=0), TripletEmbedding(3, max_iter=2), *LAST[last]]
    pipeline = Pipeline([(str(i), step) for i, step in enumerate(steps)], verbose=False).fit(X, y)
    again = round_trip(pipeline, path)
    assert_equal_outputs(pipeline, again, X)
    data = path.read_bytes()
    sknca.save(again, path)
    assert path.read_bytes() == data
    again.fit(X, y)


LABELS = [
    np.array([3, -1, 7], "int8"),
    np.array(["a", "", "ü"]),
    np.array(["a", "b", "c"], dtype=object),
    np.array([0.0, 1.0, 2.0]),
    np.array([True, False, True]),
    np.array([0, 2**64 - 1, 2**63], dtype="uint64"),
]


@pytest.mark.parametrize("classes", LABELS, ids=lambda one: str(one.dtype))
def test_labels_of_every_kind(classes, path):
    X, y = np.random.default_rng(0).normal(size=(30, 2)), classes[np.arange(30) % 3]
    pipeline = make_pipeline(StandardScaler(), KNeighborsClassifier(3)).fit(X, y)
    again = round_trip(pipeline, path)
    assert_equal_outputs(pipeline, again, X)
    assert again.classes_.dtype == pipeline.classes_.dtype


def test_set_output(table, labels, path):
    pipeline = make_pipeline(
        make_column_transformer(
            (GAPS, NUMBERS), (OneHotEncoder(sparse_output=False), ["cabin", "flag"])
        ),
        embedding(),
    )
    pipeline.set_output(transform="pandas").fit(table, labels)
    again = round_trip(pipeline, path)
    assert_equal_outputs(pipeline, again, table)
    assert_equal_outputs(pipeline[:1], again[:1], table)
    pipeline = make_pipeline(*(step for _, step in pipeline.steps), KNeighborsClassifier())
    again = round_trip(pipeline.fit(table, labels), path)
    assert_equal_outputs(pipeline, again, table)
    np.testing.assert_array_equal(again[-1].feature_names_in_, ["snnlembedding0", "snnlembedding1"])


def test_steps_that_do_nothing_and_pipelines_within(path):
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 2
    inner = Pipeline([("none", None), ("scaler", StandardScaler(with_mean=False, with_std=False))])
    pipeline = Pipeline(
        [("inner", inner), ("identity", FunctionTransformer()), ("last", "passthrough")],
        memory="a cache of later fits",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)
        pipeline.set_params(memory=None).fit(X, y).set_params(memory="a cache of later fits")
    again = round_trip(pipeline, path)
    assert_equal_outputs(pipeline, again, X)
    assert again.memory is None


def own_encoder(n_features, n_components):
    return nn.Sequential(nn.Linear(n_features, n_components))


class Derived(SNNLEmbedding):
    pass


def test_modules_and_classes_of_the_user(path):
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 2
    own = Derived(2, encoder=own_encoder, max_iter=1)
    pipeline = make_pipeline(StandardScaler(), own, SoftNeighborsClassifier()).fit(X, y)
    given = {"encoder": own_encoder, "estimator_class": Derived}
    assert_equal_outputs(pipeline, round_trip(pipeline, path, **given), X)
    with pytest.raises(ValueError, match="its encoder was a custom one, .* as encoder="):
        sknca.load(path, estimator_class=Derived)
    with pytest.raises(ValueError, match="temperature_schedule was given, but no step had"):
        sknca.load(path, **given, temperature_schedule=len)


class Doubled(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return 2 * X


class Scaler(StandardScaler):
    pass


REFUSED = {
    "a class of the user": (Doubled(), "'doubled', Doubled, cannot be saved: files contain Pipe"),
    "a subclass": (Scaler(), "'scaler', Scaler, cannot be saved: files contain Pipeline, Stand"),
    "a function": (
        FunctionTransformer(np.abs),
        "'functiontransformer', FunctionTransformer, cannot be saved: func=<ufunc 'absolute'>",
    ),
    "another step": (KNNImputer(), "'knnimputer', KNNImputer, cannot be saved: .* joblib saves"),
    "within": (
        make_column_transformer((make_pipeline(SelectKBest(k=1)), [0, 1])),
        "'columntransformer__pipeline__selectkbest', SelectKBest, cannot be saved",
    ),
    "a random state": (
        PCA(random_state=np.random.RandomState(0)),
        "'pca', PCA, cannot be saved: random_state=RandomState",
    ),
    "a selection by a function": (
        ColumnTransformer([("scaler", StandardScaler(), lambda X: [0, 1])]),
        "'columntransformer', ColumnTransformer, cannot be saved: transformers",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(what, path):
    step, message = REFUSED[what]
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 2
    pipeline = make_pipeline(step, KNeighborsClassifier(3)).fit(X, y)
    with pytest.raises(ValueError, match=f"The step {message}"):
        sknca.save(pipeline, path)
    assert not path.exists()


def test_columns_as_pandas_chooses_them_and_places_from_the_end(table, labels, path):
    columns = ColumnTransformer(
        [
            ("index", SimpleImputer(), table.columns[:2]),
            ("mask", StandardScaler(), table.dtypes == np.int64),
            ("tuple", MinMaxScaler(), ("fare", "count")),
            ("numpy", MaxAbsScaler(), [np.int64(2)]),
            ("end", OneHotEncoder(), [-1, -2]),
        ]
    )
    pipeline = make_pipeline(columns, embedding(), KNeighborsClassifier()).fit(table, labels)
    sknca.save(pipeline, path)
    again = sknca.load(path)
    expected = pipeline.predict_proba(table)
    np.testing.assert_array_equal(again.predict_proba(table), expected)
    np.testing.assert_array_equal(clone(again).fit(table, labels).predict_proba(table), expected)


def test_nothing_is_written_that_cannot_be_loaded(table, labels, path):
    columns = make_column_transformer((StandardScaler(), ["fare"]))
    pipeline = make_pipeline(columns, embedding()).fit(table, labels)
    columns.transformers_[0] = ("standardscaler", columns.transformers_[0][1], [("fare",)])
    with pytest.raises(ValueError, match="'columntransformer'.*columns .* do not exist") as raised:
        sknca.save(pipeline, path)
    assert type(raised.value) is ValueError
    assert not path.exists()


def test_attributes_that_are_not_known_are_refused(path):
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 2
    pipeline = make_pipeline(StandardScaler(), KNeighborsClassifier(3)).fit(X, y)
    pipeline[0].threshold_ = 1
    with pytest.raises(ValueError, match=r"'standardscaler'.*its attributes \['threshold_'\]"):
        sknca.save(pipeline, path)
    several = make_pipeline(StandardScaler(), KNeighborsClassifier(3)).fit(X, np.c_[y, y])
    with pytest.raises(ValueError, match="'kneighborsclassifier', .* with one label"):
        sknca.save(several, path)
    assert not path.exists()


def test_another_version_of_scikit_learn(path, monkeypatch):
    X, y = np.random.default_rng(0).normal(size=(30, 3)), np.arange(30) % 2
    pipeline = make_pipeline(StandardScaler(), KNeighborsClassifier(3)).fit(X, y)
    with monkeypatch.context() as patch:
        patch.setattr(sklearn, "__version__", "1.5.9")
        sknca.save(pipeline, path)
    with pytest.warns(InconsistentVersionWarning, match="Pipeline from version 1.5.9") as caught:
        again = sknca.load(path)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert_equal_outputs(pipeline, again, X)


@pytest.fixture
def saved(table, labels, path):
    """The path of a file with the documented table, an ordinal encoder, clusters and neighbors."""
    columns = make_column_transformer(
        (GAPS, NUMBERS), (RARE, OTHERS), (OrdinalEncoder(), ["cabin"]), sparse_threshold=0
    )
    scaler = StandardScaler(with_mean=False, with_std=False)
    within = make_pipeline(scaler, embedding())
    pipeline = make_pipeline(columns, PCA(3), within, KNeighborsClassifier(3))
    sknca.save(pipeline.fit(table, labels), path)
    return path


def step_in(content, *places):
    """The description of a step, by the places of the steps that it is in."""
    for place in places:
        section, name = ("parameters", "steps") if place < 10 else ("fitted", "transformers_")
        content = content[section][name][place % 10]["tuple"][1]["estimator"]
    return content


def put(*places, **fitted):
    return lambda content: step_in(content, *places)["fitted"].update(fitted)


def put_parameter(*places, **parameters):
    return lambda content: step_in(content, *places)["parameters"].update(parameters)


def put_class(name, *places):
    return lambda content: step_in(content, *places).update({"class": name})


_OF_COLUMNS = "steps[0][1].transformers_"
ONES = {"array": "steps[3][1]._y", "dtype": "<i8"}
FORGERIES = {
    "an unknown class": (put_class("os.system", 0), "a step of an unknown class, 'os.system'"),
    "a class of scikit-learn": (put_class("SelectKBest", 1), "a step of an unknown class"),
    "another class": (put_class("KMeans", 1), "unexpected keyword"),
    "no version": (lambda content: content.update(sklearn=1), "which version of scikit-learn"),
    "a function": (put_parameter(3, weights={"type": "float"}), "its parameter weights is a type"),
    "an unknown type": (put_parameter(0, 11, dtype={"type": "os.system"}), "KeyError"),
    "an unknown dtype": (put(0, 10, _fit_dtype={"dtype of": "V10000000"}), "unknown kind"),
    "a cache": (put_parameter(memory="/tmp/cache"), "a pipeline with a cache"),
    "many jobs": (put_parameter(3, n_jobs=10**6), "its n_jobs is 1000000"),
    "a parameter out of range": (put_parameter(3, n_neighbors=0), "'n_neighbors' parameter"),
    "weights that are none": (
        put_parameter(0, transformer_weights={"dict": {"onehotencoder": "x"}}),
        "transformer_weights are not numbers",
    ),
    "no steps": (put_parameter(steps=[]), "without steps"),
    "a step that is none": (
        put_parameter(steps=[{"tuple": ["a", "drop"]}]),
        "the step 'a', which is no step",
    ),
    "an unknown output": (
        put(1, _sklearn_output_config={"dict": {"transform": "os"}}),
        "its output is",
    ),
    "an attribute of another shape": (put(1, mean_=ONES), "mean_ of PCA has a wrong type or shape"),
    "an attribute of another type": (put(1, components_="x"), "components_ of PCA has a wrong"),
    "parameters against attributes": (
        put_parameter(2, 0, with_std=True),
        "NoneType|divide",
    ),
    "labels that do not exist": (
        put(
            3, _y={"array": "steps[0][1].transformers_[0][1].indicator_.features_", "dtype": "<i8"}
        ),
        "its labels are not those of its samples",
    ),
    "infrequent categories that do not exist": (
        put(0, 11, _default_to_infrequent_mappings=[ONES, ONES, ONES]),
        "its infrequent categories do not exist",
    ),
    "other widths": (put(0, 11, _n_features_outs=[2, 3, 400]), "_n_features_outs are not the"),
    "dropped categories": (
        put(0, 11, drop_idx_={"objects": [1, 1, 1]}),
        "dropped categories|drop_idx_",
    ),
    "missing categories": (put(0, 12, _missing_indices={"items": [[0, 99]]}), "_missing_indices"),
    "columns that do not exist": (
        lambda content: content["parameters"]["steps"][0]["tuple"][1]["estimator"]["fitted"][
            "transformers_"
        ][2]["tuple"].__setitem__(2, ["x"]),
        "its columns .* do not exist",
    ),
    "places that do not exist": (
        put(0, _transformer_to_input_indices={"dict": {}}),
        "its _transformer_to_input_indices do not exist",
    ),
    "a number of features": (put(1, n_features_in_=-1), "its n_features_in_ is -1"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forgeries(forgery, saved):
    change, message = FORGERIES[forgery]
    content, arrays = _file.unpack(saved.read_bytes())
    del content["sha256"]
    change(content)
    saved.write_bytes(_file.pack(content, arrays))
    with pytest.raises(ValueError, match=f"cannot be loaded: .*({message})"):
        sknca.load(saved)


def test_nothing_of_a_file_is_set_but_what_is_known(saved):
    content, arrays = _file.unpack(saved.read_bytes())
    del content["sha256"]
    put(1, transform="x", _tree="x")(content)
    saved.write_bytes(_file.pack(content, arrays))
    again = sknca.load(saved)
    assert callable(again[1].transform)
    assert not hasattr(again[1], "_tree")


def test_every_step_is_tried():
    """The tables above contain every class of step."""
    tried = {type(step).__name__ for columns in TABLES.values() for _, step in walk(columns)}
    tried |= {type(step).__name__ for steps in LAST.values() for step in steps}
    named = {one.__name__ for one in _step_tables.STEPS}
    assert named - tried <= {"ColumnTransformer", "MissingIndicator", "FunctionTransformer"}


def walk(columns):
    for name, step, *_ in [*columns.transformers, ("remainder", columns.remainder)]:
        yield name, step
        yield from getattr(step, "steps", [])
