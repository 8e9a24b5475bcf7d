"""A whole pipeline in production, as docs/saving.md says: without torch and sknca there."""

import subprocess
import sys

import numpy as np
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from versions import needs_exporter

from sknca import SNNLEmbedding, export_onnx

pytestmark = needs_exporter

SERVE = """
import sys
import numpy as np
import onnxruntime
from sklearn.neighbors import KNeighborsClassifier

index = dict(np.load("index.npz", allow_pickle=False))
session = onnxruntime.InferenceSession("embedding.onnx")
knn = KNeighborsClassifier(n_neighbors=5).fit(index["codes"], index["labels"])

def predict(X):
    rows = ((X - index["mean"]) / index["scale"]).astype(np.float32)
    (codes,) = session.run(["codes"], {"X": rows})
    return knn.predict(codes)

np.save("predicted.npy", predict(np.load("rows.npy")))
assert not {"torch", "sknca"} & sys.modules.keys()
"""


def test_a_pipeline_in_production(tmp_path):
    iris = load_iris()
    split = train_test_split(iris.data, iris.target_names[iris.target], random_state=0)
    X_train, X_test, y_train, _ = split
    scaler, embedding = StandardScaler(), SNNLEmbedding(2, max_iter=10, random_state=0)
    pipeline = make_pipeline(scaler, embedding, KNeighborsClassifier(n_neighbors=5))
    pipeline.fit(X_train, y_train)
    export_onnx(embedding, tmp_path / "embedding.onnx")
    np.savez(
        tmp_path / "index.npz",
        mean=scaler.mean_,
        scale=scaler.scale_,
        codes=pipeline[:-1].transform(X_train).astype(np.float32),
        labels=y_train,
    )
    np.save(tmp_path / "rows.npy", X_test)
    subprocess.run([sys.executable, "-c", SERVE], cwd=tmp_path, check=True)
    predicted = np.load(tmp_path / "predicted.npy")
    np.testing.assert_array_equal(predicted, pipeline.predict(X_test))


SERVE_ONE_FILE = """
import sys
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("pipeline.onnx")
label, _ = session.run(None, {"X": np.load("rows.npy").astype(np.float32)})
np.save("predicted.npy", label)
assert not {"torch", "sklearn", "sknca"} & sys.modules.keys()
"""


def test_a_pipeline_in_one_file(tmp_path):
    X_train, X_test, y_train, _ = train_test_split(*load_iris(return_X_y=True), random_state=0)
    embedding = SNNLEmbedding(2, max_iter=10, random_state=0)
    pipeline = make_pipeline(StandardScaler(), embedding, KNeighborsClassifier())
    export_onnx(pipeline.fit(X_train, y_train), tmp_path / "pipeline.onnx")
    np.save(tmp_path / "rows.npy", X_test)
    subprocess.run([sys.executable, "-c", SERVE_ONE_FILE], cwd=tmp_path, check=True)
    predicted = np.load(tmp_path / "predicted.npy")
    np.testing.assert_array_equal(predicted, pipeline.predict(X_test))
