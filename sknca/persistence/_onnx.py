"""Export of `transform`, or of a whole pipeline, to an ONNX graph."""

import copy
import importlib.util
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._file import write_atomically
from .._torch_compat import QUIET_LOGGER_OF_EXPORT
from ..estimators import SNNLEmbedding, TripletEmbedding
from ..training import isolated, torch_defaults


def export_onnx(
    estimator: SNNLEmbedding | TripletEmbedding | Pipeline,
    path: str | os.PathLike[str],
    *,
    input_dtype: Literal["float32", "float64"] = "float32",
    X: Any = None,
) -> None:
    """Export `transform` as an ONNX graph, which runs without torch and sknca.

    The input of the graph is "X", samples of shape (n_samples, n_features). Its output is "codes",
    float32 of shape (n_samples, n_components). The number of samples is free.

    A pipeline with an embedding is exported as one graph: the steps before the embedding, the
    embedding, and a classifier after it, whose outputs "label" and "probabilities" are then the
    outputs of the graph. Most steps of scikit-learn are converted by skl2onnx.

    The graph is run by onnxruntime and compared with the estimator on the samples `X` before it is
    written. Codes and probabilities may differ by the rounding of float32: by 0.001, relative to
    the largest code of a component. Samples whose prediction rounding decides (two classes that are
    equally probable, neighbors at equal distances) are not compared.

    Parameters
    ----------
    estimator : SNNLEmbedding, TripletEmbedding or Pipeline
        The fitted estimator.

    path : str or path-like
        Path of the file. An existing file is replaced.

    input_dtype : {"float32", "float64"}, default="float32"
        The dtype of "X". Use "float64" for features far from zero, of which float32 keeps too few
        digits: the graph first subtracts the center of the training samples (with the built-in
        encoder), and then continues in float32.

    X : array-like or DataFrame, default=None
        Samples to compare on, some hundred if possible. If None, the graph is only loaded. Required
        if the pipeline selects columns of a table by name: if `X` is a table, each column is an
        input of the graph, with its name and with shape (n_samples, 1).

    Raises
    ------
    ValueError
        If the estimator is neither an embedding of sknca nor a pipeline with one, if torch cannot
        export a custom encoder, or if a step cannot be exported or is computed incorrectly by
        onnxruntime. The message names the step. Nothing is written then.

    ImportError
        If onnx, onnxruntime, onnxscript or, for a pipeline, skl2onnx is not installed. The extra
        `onnx` installs them.

    NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    save : Saves the estimator, for :func:`load`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import onnxruntime
    >>> import sknca
    >>> X, y = [[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1]
    >>> embedding = sknca.SNNLEmbedding(2, max_iter=2, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "embedding.onnx"
    ...     sknca.export_onnx(embedding, path)
    ...     session = onnxruntime.InferenceSession(path)
    >>> (codes,) = session.run(["codes"], {"X": np.array(X, np.float32)})
    >>> np.testing.assert_allclose(codes, embedding.transform(X), atol=1e-5)
    """
    if input_dtype not in ("float32", "float64"):
        raise ValueError(f"input_dtype must be 'float32' or 'float64', got {input_dtype!r}.")
    embeddings = SNNLEmbedding, TripletEmbedding
    if isinstance(estimator, Pipeline):
        found = [step for _, step in estimator.steps if isinstance(step, embeddings)]
    else:
        found = [estimator] if isinstance(estimator, embeddings) else []
    if len(found) != 1:
        raise ValueError(
            "estimator must be an SNNLEmbedding, a TripletEmbedding or a pipeline with one of "
            f"them, got {estimator!r}."
        )
    (embedding,) = found
    if type(embedding).transform is not SNNLEmbedding.transform:
        raise ValueError(
            f"{type(embedding).__name__} cannot be exported: it overrides transform, but the graph "
            "would compute the transform of sknca."
        )
    check_is_fitted(estimator)
    needed = ["onnx", "onnxruntime", "onnxscript"]
    needed += ["skl2onnx"] * isinstance(estimator, Pipeline)
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"export_onnx needs {' and '.join(missing)}. The extra 'onnx' of sknca installs it."
        )
    if isinstance(estimator, Pipeline):
        from ._onnx_pipeline import graph_of_pipeline

        graph = graph_of_pipeline(estimator, X, input_dtype, _graph_of, _graph_of_embedding)
    else:
        dtype = torch.float32 if input_dtype == "float32" else torch.float64
        from ._onnx_check import check_codes

        graph = _graph_of_embedding(estimator, dtype, "X")
        check_codes(graph, estimator, X, type(estimator).__name__)
    write_atomically(path, graph.SerializeToString())


def _graph_of_embedding(
    embedding: SNNLEmbedding | TripletEmbedding, dtype: torch.dtype, entry: str
) -> Any:
    """The graph of `transform`, from samples of a dtype, called `entry`, to "codes"."""
    rows = torch.zeros(2, embedding.n_features_in_, dtype=dtype, device="cpu")
    try:
        return _graph_of(_Transform(embedding, dtype), rows, entry, "codes")
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(f"encoder cannot be exported to ONNX: {error}") from error


def _graph_of(module: nn.Module, rows: Tensor, entry: str, exit_: str) -> Any:
    """The graph of a module of one input and one output, for any number of rows."""
    with isolated(0, torch.device("cpu")), torch_defaults(), _quiet():
        program = torch.onnx.export(
            module.eval(),
            (rows,),
            dynamo=True,
            input_names=[entry],
            output_names=[exit_],
            dynamic_shapes=({0: torch.export.Dim("n_samples")},),
            verbose=False,
        )
    assert program is not None  # as it is with dynamo=True
    return program.model_proto


class _Transform(nn.Module):
    """The codes of floating-point samples, as `transform` computes them."""

    center: Tensor | None  # (n_features,)

    def __init__(self, estimator: SNNLEmbedding | TripletEmbedding, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = copy.deepcopy(estimator.network_).cpu()
        self.register_buffer("center", None)
        if estimator._center is not None:
            self.center = torch.tensor(estimator._center, dtype=dtype, device="cpu")

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.center is None else x - self.center
        codes: Tensor = self.network(x.to(torch.float32))
        return codes.to(torch.float32)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the messages of torch's exporter about its own code and about missing packages."""
    logger = logging.getLogger(QUIET_LOGGER_OF_EXPORT)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*LeafSpec", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
