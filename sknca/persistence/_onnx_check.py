"""Whether a graph computes what the pipeline computes: it is run before it is written."""

from numbers import Real
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline

#: How much codes may differ, relative to the largest of them, and probabilities. Float32 numbers
#: have seven digits, of which scalers and networks lose a few.
TOLERANCE = 1e-3

_DTYPES = {"tensor(float)": "f4", "tensor(double)": "f8", "tensor(int64)": "i8"}


def run(graph: onnx.ModelProto, X: Any) -> list[NDArray[Any]]:
    """The outputs of the graph for samples; without samples, it is only loaded.

    Raises
    ------
    Exception
        Of onnxruntime, if it refuses the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    if X is None or len(X) == 0:
        return []
    columns = columns_of(X)
    feed = {}
    for entry in session.get_inputs():
        values = columns[entry.name][:, None] if entry.name in columns else X
        feed[entry.name] = np.asarray(values, _DTYPES.get(entry.type, object))
    outputs: list[NDArray[Any]] = session.run(None, feed)
    return outputs


def columns_of(X: Any) -> dict[str, NDArray[Any]]:
    """The columns (n,) of a table, by name; those of numbers with pandas.NA as floats."""
    columns = {}
    for name in getattr(X, "columns", ()):
        values = np.asarray(X[name])
        if values.dtype == object and getattr(X[name].dtype, "kind", "O") in "biuf":
            values = X[name].to_numpy(dtype=np.float64, na_value=np.nan)
        columns[str(name)] = values
    return columns


def difference_of_codes(found: NDArray[Any], expected: Any) -> str:
    """How the outputs of a graph differ from those of `transform`; empty if they do not."""
    expected = dense(expected)
    found = found.reshape(expected.shape) if found.size == expected.size else found
    if found.shape != expected.shape:
        return f"the output has shape {found.shape} instead of {expected.shape}"
    if expected.dtype.kind in "OUS":
        different = found.astype(str) != expected.astype(str)
        return f"{different.sum()} of {different.size} values differ" if different.any() else ""
    sizes = np.abs(expected, where=np.isfinite(expected), out=np.zeros(expected.shape))
    far = np.abs(found - expected) > TOLERANCE * sizes.max(axis=0) + 1e-3 * TOLERANCE * sizes.max()
    far |= np.isnan(found) != np.isnan(expected)
    if not far.any():
        return ""
    worst = np.abs(found - expected)[far].max()
    return f"values of up to {sizes.max():.3g} differ by up to {worst:.3g}"


def dense(outputs: Any) -> NDArray[Any]:
    """The outputs of a step as an array, whether they are a table, a sparse matrix or an array."""
    array = np.asarray(outputs.toarray() if hasattr(outputs, "toarray") else outputs)
    # Numbers beside booleans of a table are objects.
    if array.dtype == object and all(isinstance(value, Real) for value in array.flat):
        return array.astype(np.float64)
    return array


def difference_of_predictions(
    outputs: list[NDArray[Any]], pipeline: Pipeline, X: Any, error: float
) -> str:
    """How the outputs of a graph differ from what a pipeline predicts; empty if they do not.

    A sample is not compared if rounding may decide its prediction: if its two most probable classes
    are equally probable, or if other neighbors may be the nearest when codes change by `error`.
    One sample in a hundred may differ otherwise, because codes may lie near another threshold.
    """
    last = pipeline.steps[-1][1]
    if not hasattr(last, "predict"):
        return difference_of_codes(outputs[0], pipeline.transform(X))
    expected = np.asarray(pipeline.predict(X))
    if not (is_classifier(last) or hasattr(last, "labels_")) or expected.ndim > 1:
        return difference_of_codes(outputs[0], expected)
    if expected.dtype.kind in "OU":
        differs = outputs[0].astype(str) != expected.astype(str)
    else:
        differs = outputs[0] != expected
    if hasattr(last, "predict_proba") and len(outputs) > 1:
        probabilities = pipeline.predict_proba(X)
        if probabilities.shape[1] > 1:
            second, first = np.sort(probabilities, axis=1)[:, -2:].T
            differs &= first - second > TOLERANCE
        differs |= (np.abs(outputs[1] - probabilities) > TOLERANCE).any(axis=1)
    if isinstance(last, KNeighborsClassifier) and last.n_neighbors < last.n_samples_fit_:
        codes = pipeline[:-1].transform(X)
        distances, _ = last.kneighbors(codes, n_neighbors=last.n_neighbors + 1)
        differs &= distances[:, -1] - distances[:, -2] > 2 * error
    if differs.sum() <= len(differs) // 100:
        return ""
    return f"the predictions of {differs.sum()} of {len(differs)} samples differ"


def check_codes(graph: onnx.ModelProto, steps: Any, X: Any, name: str) -> float:
    """By how much the codes of a graph differ from those of an embedding, or of a pipeline whose
    last step is one.

    Raises
    ------
    ValueError
        If it is more than float32 explains.
    """
    last = steps.steps[-1][1] if isinstance(steps, Pipeline) else steps
    try:
        outputs = run(graph, X)
    except Exception as reason:
        raise refusal(name, last, reason) from reason
    if not outputs:
        return 0.0
    expected = np.asarray(steps.transform(X))
    difference = difference_of_codes(outputs[0], expected)
    if difference:
        raise refusal(name, last, difference)
    return float(np.linalg.norm(outputs[0] - expected, axis=1).max())


def refusal(name: str, step: Any, reason: Any) -> ValueError:
    """The error about a step that the graph would not contain correctly."""
    if isinstance(reason, Exception):
        text = str(reason).strip() or type(reason).__name__
        reason = text.splitlines()[0]
    else:
        reason = (
            f"in the graph, {reason}. If features are large numbers, of which float32 keeps few "
            "digits, use input_dtype='float64'."
        )
    return ValueError(f"The step {name!r}, {type(step).__name__}, cannot be exported: {reason}")
