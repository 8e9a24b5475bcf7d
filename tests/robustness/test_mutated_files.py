"""Files that were changed, by accident or on purpose: refused, or read as another valid model.

The first kinds are of a file whose checksum no longer is right. The others have a checksum that is:
then the file may be of another estimator, which gives codes or errors, but executes nothing.
"""

import hashlib
import json
import os
import sys
import tracemalloc
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import sknca
from sknca import SNNLEmbedding, TripletEmbedding, _file

#: How many are tried here, of each file. SKNCA_FILES=2000 was tried, of three files.
N_FILES = int(os.environ.get("SKNCA_FILES", "66"))

#: What a file may take beside ten times its size: what the networks and messages are.
_FLOOR = 2**21

X, y = load_iris(return_X_y=True)
HOSTILE = [
    *(None, True, -1, 0, 2**31, 2**63, 10**40, 1e308, -0.5, "", "x" * 10000, [], {}, [[]]),
    *("../../../etc/passwd", "/etc/passwd", "os.system", "__class__", "\0", "\ud800"),
    *({"float": "nan"}, {"float": "inf"}, {"object": "os.system"}, {"array": "../x"}),
    *({"array": "classes_", "dtype": "V1000000000"}, {"dict": {"__init__": 1}}, {"tuple": 1}),
]


class Watched:
    """What code does while a file is read, of what reading a file needs not do."""

    EVENTS = ("os.", "shutil.", "subprocess.", "socket.", "exec", "pickle.", "marshal.", "ctypes.")
    active: list | None = None

    @classmethod
    def hook(cls, event, args):
        if cls.active is None:
            return
        if event == "open":
            if isinstance(args[1], str) and set(args[1]) & set("wax+"):
                cls.active.append((event, *args))
        elif event.startswith(cls.EVENTS) and event not in ("os.scandir", "os.listdir"):
            cls.active.append((event, *args))


sys.addaudithook(Watched.hook)


def resealed(data):
    """The bytes under a checksum that is right."""
    data = bytearray(data)
    if len(data) < _file._CHECKSUM.stop:
        return bytes(data)
    data[_file._CHECKSUM] = _file._NO_CHECKSUM
    data[_file._CHECKSUM] = hashlib.sha256(data).hexdigest().encode()
    return bytes(data)


def with_header(data, header):
    n = int.from_bytes(data[:8], "little")
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":"))
    text = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + data[8 + n :]


def header_of(data):
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def flipped(data, rng):
    data = bytearray(data)
    for place in rng.integers(0, len(data), rng.integers(1, 4)):
        data[place] ^= int(rng.integers(1, 256))
    return bytes(data)


def truncated(data, rng):
    return data[: rng.integers(0, len(data))]


def extended(data, rng):
    return data + rng.bytes(int(rng.integers(1, 1000)))


def swapped_header(data, rng):
    """The beginning of another file."""
    other = _file.pack({"class": "SNNLEmbedding"}, {"a": rng.normal(size=(3, 2))})
    n = int(rng.integers(8, len(other)))
    return other[:n] + data[n:]


def huge_header(data, rng):
    return int(rng.integers(0, 2**62)).to_bytes(8, "little") + data[8:]


def places(value, path=()):
    """All places in nested lists and dicts."""
    if path:
        yield path
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in list(keys):
        yield from places(value[key], (*path, key))


def changed(value, rng):
    """The JSON value with a hostile one at a random place, or without what is there."""
    every = list(places(value))
    path = every[rng.integers(len(every))]
    inner = value
    for key in path[:-1]:
        inner = inner[key]
    if rng.random() < 0.2 and isinstance(inner, dict):
        del inner[path[-1]]
    else:
        inner[path[-1]] = HOSTILE[rng.integers(len(HOSTILE))]
    return value


def forged_content(data, rng):
    header = header_of(data)
    content = json.loads(header["__metadata__"]["sknca"])
    sha = content.pop("sha256")
    content = {"sha256": sha, **changed(content, rng)}
    header["__metadata__"]["sknca"] = json.dumps(content, separators=(",", ":"))
    return resealed(with_header(data, header))


def forged_tensors(data, rng):
    """Other shapes, dtypes and places of tensors."""
    header = header_of(data)
    metadata = header.pop("__metadata__")
    name = list(header)[rng.integers(len(header))]
    tensor = header[name]
    match rng.integers(5):
        case 0:
            tensor["shape"] = [int(n) for n in rng.integers(0, 2**40, rng.integers(0, 4))]
        case 1:
            tensor["dtype"] = ["F64", "F16", "I64", "BOOL", "U8", "C64", "F8_E4M3"][rng.integers(7)]
        case 2:
            tensor["data_offsets"] = [int(n) for n in rng.integers(0, 2**62, 2)]
        case 3:
            header["../" + name] = header.pop(name)
        case 4:
            changed(header, rng)
    return resealed(with_header(data, {"__metadata__": metadata, **header}))


def forged_numbers(data, rng):
    """Any bytes in place of numbers: NaN, infinity, denormal ones."""
    n = 8 + int.from_bytes(data[:8], "little")
    data = bytearray(data)
    for place in rng.integers(n, len(data) - 8, 5):
        data[place : place + 8] = rng.bytes(8)
    return resealed(data)


def deep(data, rng):
    """JSON nested deeper than Python's stack, in the header or in the content."""
    depth = int(rng.choice([900, 10_000, 100_000]))
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    header = header_of(data)
    start = data[8 : _file._CHECKSUM.stop]
    if rng.random() < 0.5:
        return resealed(with_header(data, start + b'"}"},"x":' + nested + b"}"))
    content = json.loads(header["__metadata__"]["sknca"])
    sha = content.pop("sha256")
    text = json.dumps({"sha256": sha, **content}, separators=(",", ":"))
    header["__metadata__"]["sknca"] = text[:-1] + ',"z":' + nested.decode() + "}"
    return resealed(with_header(data, header))


def twice(data, rng):
    """A key that stands twice."""
    n = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + n].replace(b'"F32"', b'"F32","dtype":"F64"', int(rng.integers(1, 4)))
    return resealed(with_header(data, text))


MUTATIONS = [
    *(flipped, truncated, extended, swapped_header, huge_header),
    *(forged_content, forged_content, forged_tensors, forged_numbers, deep, twice),
]
SEALED = {forged_content, forged_tensors, forged_numbers, deep, twice}

#: The samples as a table, with a column of texts and with gaps.
TABLE = pd.DataFrame(X, columns=list("abcd")).assign(text=np.array(["u", "v", "w"])[y])
TABLE.loc[::9, "a"] = np.nan
TABLE.loc[:2, "text"] = "rare"

SETTINGS = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0, "verbose": 0}
FITS = {
    "model": SNNLEmbedding(**SETTINGS),
    "triplet model": TripletEmbedding(**SETTINGS, metric="cosine"),
    "members": SNNLEmbedding(**SETTINGS, n_members=2, primary_loss="reconstruction"),
    "checkpoint": SNNLEmbedding(**SETTINGS),
    "pipeline": make_pipeline(
        StandardScaler(), PCA(3), SNNLEmbedding(**SETTINGS), KNeighborsClassifier(3)
    ),
    "pipeline of a table": make_pipeline(
        make_column_transformer(
            (SimpleImputer(add_indicator=True), make_column_selector(dtype_include="number")),
            (OneHotEncoder(min_frequency=5, handle_unknown="infrequent_if_exist"), ["text"]),
            (OrdinalEncoder(), ["text"]),
            ("passthrough", ["b"]),
            sparse_threshold=0,
        ),
        KMeans(3, random_state=0),
    ),
}


def read(what, path):
    """Codes of what the file holds."""
    if what == "checkpoint":
        return SNNLEmbedding(**SETTINGS).fit(X, y, checkpoint=path).transform(X)
    model = sknca.load(path)
    if not what.startswith("pipeline"):
        return model.transform(X)
    # As many processes as a file asks for may be started, but not while this test watches.
    model.set_params(**dict.fromkeys([n for n in model.get_params() if n.endswith("n_jobs")]))
    predict = model.predict if hasattr(model, "predict") else model.transform
    return predict(TABLE if what == "pipeline of a table" else X)


@pytest.mark.filterwarnings("ignore:.*which is not there:UserWarning")
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("what", FITS)
def test_mutated_files(what, tmp_path):
    path = tmp_path / "file"
    fitted = FITS[what]
    if what == "checkpoint":
        fitted.fit(X, y, checkpoint=path)
    else:
        sknca.save(fitted.fit(TABLE if what == "pipeline of a table" else X, y), path)
    data, expected = path.read_bytes(), read(what, path)
    repr(fitted)  # scikit-learn imports what prints an estimator when it first prints one
    rng = np.random.default_rng(0)
    outcomes = Counter()
    for i in range(N_FILES):
        mutation = MUTATIONS[i % len(MUTATIONS)]
        mutated = mutation(data, rng)
        path.write_bytes(mutated)
        tracemalloc.start()
        Watched.active = []
        try:
            codes = read(what, path)
            outcome = "equal" if np.array_equal(codes, expected) else "another"
        except ValueError:
            outcome = "refused"
        finally:
            done, Watched.active = Watched.active, None
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert done == [], (mutation.__name__, i)
        assert peak < 10 * len(mutated) + _FLOOR, (mutation.__name__, i)
        assert outcome != "refused" or path.read_bytes() == mutated, "the file was written"
        assert os.listdir(tmp_path) == ["file"]
        if mutation not in SEALED and mutated != data:
            assert outcome == "refused", (mutation.__name__, i)
        outcomes[mutation.__name__, outcome] += 1
    print(what, {" ".join(key): n for key, n in sorted(outcomes.items())})
    refused = sum(n for (_, outcome), n in outcomes.items() if outcome == "refused")
    assert N_FILES / 2 < refused < N_FILES
