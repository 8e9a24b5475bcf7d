"""The way from rows to codes as an ONNX graph."""

import copy
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from ..estimators import SNNLEmbedding, TripletEmbedding
from ..training import isolated, torch_defaults
from ._estimators import step_of_pipeline
from ._file import write_atomically

#: Of the loggers of torch's exporter the one that tells what else could be installed.
_CHATTY = "torch.onnx._internal.exporter._registration"


def export_onnx(
    estimator: SNNLEmbedding | TripletEmbedding,
    path: str | os.PathLike[str],
    *,
    input_dtype: Literal["float32", "float64"] = "float32",
) -> None:
    """Write what `transform` computes as an ONNX graph, which runs without torch and sknca.

    Its input is "X", rows of shape (n_samples, n_features); its output is "codes", float32 of
    shape (n_samples, n_components). It takes any number of rows.

    Parameters
    ----------
    estimator : SNNLEmbedding or TripletEmbedding
        Fitted.

    path : str or path-like
        Where to write. A file that is there is replaced.

    input_dtype : {"float32", "float64"}, default="float32"
        The dtype of "X". Rows far from zero, of which float32 keeps too few digits, are
        better sent as float64: before all else the graph subtracts the centre of the training
        rows (with the default encoder), and goes on in float32.

    Raises
    ------
    ValueError
        If it is no embedding of sknca, or torch cannot export an encoder of your own.

    ImportError
        If onnx or onnxscript is not installed. The extra `onnx` brings both.

    NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    save : A file that :func:`load` makes the estimator of again.

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
    if not isinstance(estimator, SNNLEmbedding | TripletEmbedding):
        raise ValueError(
            f"estimator must be an SNNLEmbedding or a TripletEmbedding, got {estimator!r}."
            f"{step_of_pipeline(estimator, 'exported', SNNLEmbedding, TripletEmbedding)}"
        )
    if type(estimator).transform is not SNNLEmbedding.transform:
        raise ValueError(
            f"{type(estimator).__name__} cannot be exported: its transform is its own, and the "
            "graph would be that of sknca."
        )
    if input_dtype not in ("float32", "float64"):
        raise ValueError(f"input_dtype must be 'float32' or 'float64', got {input_dtype!r}.")
    check_is_fitted(estimator)
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "export_onnx needs onnx and onnxscript, which the extra 'onnx' of sknca brings."
        ) from error

    dtype = torch.float32 if input_dtype == "float32" else torch.float64
    encoder = _Transform(estimator, dtype).eval()
    rows = torch.zeros(2, estimator.n_features_in_, dtype=dtype, device="cpu")
    with isolated(0, torch.device("cpu")), torch_defaults(), _quiet():
        try:
            program = torch.onnx.export(
                encoder,
                (rows,),
                dynamo=True,
                input_names=["X"],
                output_names=["codes"],
                dynamic_shapes=({0: torch.export.Dim("n_samples")},),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ValueError(f"encoder cannot be exported to ONNX: {error}") from error
    assert program is not None  # as it is with dynamo=True
    write_atomically(path, program.model_proto.SerializeToString())


class _Transform(nn.Module):
    """Of float rows their codes, as `transform` computes them."""

    centre: Tensor | None  # (n_features,)

    def __init__(self, estimator: SNNLEmbedding | TripletEmbedding, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = copy.deepcopy(estimator.network_).cpu()
        self.register_buffer("centre", None)
        if estimator._centre is not None:
            self.centre = torch.tensor(estimator._centre, dtype=dtype, device="cpu")

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.centre is None else x - self.centre
        codes: Tensor = self.network(x.to(torch.float32))
        return codes.to(torch.float32)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says of its own code and of packages that are not there."""
    logger = logging.getLogger(_CHATTY)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*LeafSpec", FutureWarning)
            yield
    finally:
        logger.setLevel(level)
