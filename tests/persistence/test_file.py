"""Files that save did not write, or that are no longer what it wrote."""

import hashlib
import json
import stat
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import sknca
from sknca import SNNLEmbedding, SoftNeighborsClassifier, _file


@pytest.fixture
def path(small, tmp_path):
    path = tmp_path / "model.safetensors"
    sknca.save(small, path)
    return path


def refused(path, data, match="model.safetensors cannot be loaded: "):
    path.write_bytes(data)
    with pytest.raises(ValueError, match=match):
        sknca.load(path)


def forged(path, change):
    """The file's bytes with other content, under a checksum that is right."""
    content, arrays = _file.unpack(path.read_bytes())
    del content["sha256"]
    change(content, arrays)
    return _file.pack(content, arrays)


def resealed(data):
    data = bytearray(data)
    data[_file._CHECKSUM] = _file._NO_CHECKSUM
    data[_file._CHECKSUM] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def test_other_programs_read_it(path, small):
    with safetensors.safe_open(path, "np") as file:
        content = json.loads(file.metadata()["sknca"])
        weight = file.get_tensor("objective.network.output.weight")
    assert content["format"] == 1
    assert content["class"] == "SNNLEmbedding"
    assert content["parameters"]["n_components"] == 2
    np.testing.assert_array_equal(weight, small.network_.output.weight.detach())


def test_a_file_of_version_0_2_is_read():
    """It has an attribute `_centre`. The embedding was fitted on iris, with a decoder."""
    X, y = load_iris(return_X_y=True)
    embedding = sknca.load(Path(__file__).with_name("version_0_2.safetensors"))
    np.testing.assert_array_equal(embedding._center, [5.8, 3.0, 4.3, 1.3])
    assert not hasattr(embedding, "_centre")
    codes = embedding.transform(X)
    expected = [[0.8901414, 0.3667941], [-0.4850986, -0.1788939], [-0.4445716, -0.0790582]]
    np.testing.assert_allclose(codes[[0, 75, 149]], expected, atol=1e-5)
    assert embedding.inverse_transform(codes).shape == X.shape
    embedding.set_params(warm_start=True).fit(X, y)


def test_the_same_estimator_makes_the_same_file(path, small):
    data = path.read_bytes()
    sknca.save(small, path)
    assert path.read_bytes() == data
    sknca.save(sknca.load(path), path)
    assert path.read_bytes() == data


@pytest.mark.parametrize("data", [b"", b"\0", b"\x80\x04K\x01.", b"PK\3\4" + bytes(99), b"{}" * 99])
def test_foreign_files(path, data):
    refused(path, data, "was not written by sknca.save")


def test_another_safetensors_file(path):
    data = safetensors.numpy.save({"a": np.zeros(3)}, {"sknca": "{}"})
    refused(path, data, "was not written by sknca.save")


def test_a_missing_file_is_no_value_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        sknca.load(tmp_path / "nothing")


def test_every_truncation_is_refused(path):
    data = path.read_bytes()
    for length in range(len(data)):
        assert not is_whole(data[:length])
    for length in range(0, len(data), 100):
        refused(path, data[:length])
    refused(path, data[:-1], "truncated or altered")
    refused(path, data + b"\0", "truncated or altered")


def test_every_altered_byte_is_refused(path):
    data = path.read_bytes()
    flips = np.random.RandomState(0).randint(1, 256, len(data))
    for place, flip in enumerate(flips.tolist()):
        altered = bytearray(data)
        altered[place] ^= flip
        assert not is_whole(bytes(altered))
        if place % 100 == 0:
            refused(path, altered)
    refused(path, data.replace(b"relu", b"tanh"), "truncated or altered")


def is_whole(data):
    try:
        _file.check_is_whole(data)
    except ValueError:
        return False
    return True


@pytest.mark.filterwarnings("ignore:.*which is not there:UserWarning")
@pytest.mark.parametrize("kind", ["embedding", "classifier", "pipeline"])
def test_forged_files_raise_nothing_but_value_errors(path, kind, rows):
    """With a checksum that is right, too: what is read is an estimator that works, or refused."""
    X, y = rows
    if kind == "classifier":
        sknca.save(SoftNeighborsClassifier().fit(X, y), path)
    if kind == "pipeline":
        steps = StandardScaler(), PCA(3), KMeans(2, n_init=1), MinMaxScaler()
        sknca.save(make_pipeline(*steps, SoftNeighborsClassifier()).fit(X, y), path)
    data = path.read_bytes()
    n_header = int.from_bytes(data[:8], "little")
    rng = np.random.RandomState(0)
    n_read = 0
    for _ in range(500):
        altered = bytearray(data)
        for place in rng.randint(_file._CHECKSUM.stop, 8 + n_header, rng.randint(1, 3)):
            altered[place] = rng.choice(
                [rng.randint(32, 127), rng.randint(256), ord("9"), ord("]")]
            )
        try:
            path.write_bytes(resealed(altered))
            estimator = sknca.load(path)
            (estimator.transform if kind == "embedding" else estimator.predict)(X)
            n_read += 1
        except ValueError:
            pass
    assert 0 < n_read < 250


def change_tensor(name, array):
    def change(content, arrays):
        arrays[name] = array

    return change


def change_content(section, name, value):
    def change(content, arrays):
        (content[section] if section else content)[name] = value

    return change


def change_objective(name, value, *places):
    def change(content, arrays):
        section = content["objective"]["dict"]
        for place in places:
            section = section[place]["dict"]
        section[name] = value

    return change


def drop(section, name):
    return lambda content, arrays: content[section].pop(name)


FORGERIES = {
    "another class": (change_content("", "class", "KMeans"), "an unknown class, 'KMeans'"),
    "a class of another module": (change_content("", "class", "os.system"), "an unknown class"),
    "a newer format": (change_content("", "format", 2), "has format 2, written by sknca 0"),
    "a parameter out of range": (change_content("parameters", "max_iter", 0), "'max_iter' param"),
    "an unknown parameter": (change_content("parameters", "x", 0), "unexpected keyword"),
    "an unknown kind of value": (
        change_content("parameters", "n_components", {"object": "os.system"}),
        "a value of an unknown kind, object",
    ),
    "an unknown dtype": (
        change_content("fitted", "classes_", {"array": "_center", "dtype": "V8"}),
        "an unknown dtype, 'V8'",
    ),
    "an attribute that is missing": (drop("fitted", "n_iter_"), "the attribute n_iter_ is missing"),
    "an attribute of another type": (
        change_content("fitted", "history_", "none"),
        "its attribute history_ has a wrong type",
    ),
    "a tensor that is missing": (
        lambda content, arrays: arrays.pop("objective.network.output.bias"),
        "Missing key",
    ),
    "a tensor too many": (change_tensor("objective.more", np.zeros(1)), "Unexpected key"),
    "a tensor of another shape": (
        change_tensor("objective.network.output.weight", np.zeros((2, 4), "float32")),
        r"output.weight has shape \(2, 4\), but must have shape \(2, 3\)",
    ),
    "a vast network": (
        change_tensor("objective.network.hidden.0.0.weight", np.zeros((10**15, 0), "float32")),
        "hidden.0.0.weight has shape",
    ),
    "another number of features": (
        change_content("fitted", "n_features_in_", 6),
        "hidden.0.0.weight has shape",
    ),
    "another center": (change_tensor("_center", np.zeros(6)), "its _center has shape"),
    "an encoder that is not described": (
        change_objective("encoder", None),
        "it does not describe its encoder",
    ),
    "a vast array of texts": (
        change_content("fitted", "classes_", {"texts": ["a", "b", "c"], "dtype": "<U1002"}),
        "strings in an array that is too wide, '<U1002'",
    ),
    "numbers as vast texts": (
        change_content("fitted", "classes_", {"array": "classes_", "dtype": "<U99999999"}),
        "an unknown dtype, '<U99999999'",
    ),
    "a gain that is no number": (
        change_objective("gain", {"float": "nan"}, "encoder"),
        "its encoder's gain is nan",
    ),
    "a negative number of units": (
        change_objective("code_units", -1, "parameters"),
        "its objective has code_units=-1",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forgeries(path, forgery):
    change, message = FORGERIES[forgery]
    refused(path, forged(path, change), message)


def change_dtype(name, dtype):
    return change_content("fitted", name, {"array": name, "dtype": dtype})


CLASSIFIER_FORGERIES = {
    "another number of features": (
        change_tensor("_rows", np.zeros((60, 6))),
        "its _rows has shape",
    ),
    "a negative class size": (
        change_tensor("_class_sizes", np.array([-20, 60, 20])),
        "its _class_sizes are not all non-negative integers",
    ),
    "class sizes that overflow": (
        change_tensor("_class_sizes", np.array([2**63 - 1, 2**63 - 1, 62])),
        "its _rows has shape",
    ),
    "class sizes of another dtype": (
        change_dtype("_class_sizes", "<f8"),
        "its _class_sizes are not all non-negative integers",
    ),
    "rows of another dtype": (change_dtype("_rows", "<i8"), "its _rows has dtype int64"),
    "weights of another dtype": (
        change_dtype("_log_weight", "<m8[s]"),
        "its _log_weight has dtype timedelta64",
    ),
}


@pytest.mark.parametrize("forgery", CLASSIFIER_FORGERIES)
def test_a_forged_classifier(path, rows, forgery):
    sknca.save(SoftNeighborsClassifier().fit(*rows), path)
    change, message = CLASSIFIER_FORGERIES[forgery]
    refused(path, forged(path, change), message)


def test_nothing_of_a_file_is_set_but_what_is_known(path):
    change = change_content("fitted", "transform", {"tuple": []})
    path.write_bytes(forged(path, change))
    assert callable(sknca.load(path).transform)


def test_saving_is_atomic(path, small, monkeypatch):
    before = path.read_bytes()

    def full(_):
        raise OSError("No space left on device")

    monkeypatch.setattr(_file.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        sknca.save(small, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_link_is_followed(path, small, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    sknca.save(SNNLEmbedding(1, max_iter=1).fit([[0], [1], [2], [3]], [0, 0, 1, 1]), link)
    assert link.is_symlink()
    assert sknca.load(path).n_components == 1


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444])
def test_a_file_that_is_replaced_keeps_its_permissions(path, small, mode):
    path.chmod(mode)
    sknca.save(small, path)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_file_has_the_usual_permissions(path, tmp_path):
    usual = tmp_path / "usual"
    usual.touch()
    assert path.stat().st_mode == usual.stat().st_mode
