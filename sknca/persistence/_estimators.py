"""Save estimators to files, and load them."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sklearn
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._devices import device_of_fit, resolve_device
from .._file import check_is_whole, pack, unpack, write_atomically
from ..estimators import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from ._fitted import CLASSES, FITTED, build, describe
from ._pipelines import build_pipeline, describe_pipeline, steps_in


def save(
    estimator: SNNLEmbedding | TripletEmbedding | SoftNeighborsClassifier | Pipeline,
    path: str | os.PathLike[str],
) -> None:
    """Save a fitted estimator, or a pipeline, to a file that is loaded without pickle.

    The file has the safetensors format. It contains the weights as tensors, the parameters and
    fitted attributes as JSON, and a checksum of everything. It is written atomically: if writing
    fails, an existing file is unchanged.

    The steps of a pipeline may be estimators of sknca and of scikit-learn: `StandardScaler`,
    `MinMaxScaler`, `MaxAbsScaler`, `RobustScaler`, `Normalizer`, `SimpleImputer`, `OneHotEncoder`,
    `OrdinalEncoder`, `ColumnTransformer`, `PCA`, `TruncatedSVD`, `KNeighborsClassifier`, `KMeans`,
    and pipelines of these.

    Custom modules and functions (`encoder`, `decoder`, a callable `temperature_schedule`) are not
    saved. Of networks the state dict is saved, and the module or callable must be passed to
    :func:`load`. Metadata requests and callbacks, which only a later `fit` uses, are not saved
    either.

    Parameters
    ----------
    estimator : SNNLEmbedding, TripletEmbedding, SoftNeighborsClassifier or Pipeline
        The fitted estimator.

    path : str or path-like
        Path of the file. An existing file is replaced.

    Raises
    ------
    ValueError
        If the estimator or a step of a pipeline is of another class, or a parameter or label is an
        object that files cannot contain, for example a `RandomState` or a function. The message
        names the step. Replace such a parameter with `set_params`.

    NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    load : Loads the file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import sknca
    >>> X, y = [[0.0], [1.0], [4.0], [5.0]], ["a", "a", "b", "b"]
    >>> embedding = sknca.SNNLEmbedding(2, max_iter=2, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "embedding.safetensors"
    ...     sknca.save(embedding, path)
    ...     again = sknca.load(path)
    >>> bool((again.transform(X) == embedding.transform(X)).all())
    True
    """
    from .. import __version__

    base = next((cls for cls in (*FITTED, Pipeline) if isinstance(estimator, cls)), None)
    if base is None:
        raise ValueError(
            f"estimator must be one of {', '.join(CLASSES)} and Pipeline, got {estimator!r}."
        )
    check_is_fitted(estimator)
    arrays: dict[str, NDArray[Any]] = {}
    if base is Pipeline:
        described = describe_pipeline(estimator, arrays)
    else:
        described = describe(estimator, base, arrays)
    write_atomically(path, pack({"sknca": __version__, **described}, arrays))


def load(
    path: str | os.PathLike[str],
    *,
    device: str | torch.device | None = None,
    encoder: nn.Module | Callable[[int, int], nn.Module] | None = None,
    decoder: nn.Module | Callable[[int, int], nn.Module] | None = None,
    temperature_schedule: Callable[[int], float] | None = None,
    estimator_class: type[BaseEstimator] | None = None,
) -> Any:
    """Load an estimator that :func:`save` wrote.

    Its codes and predictions are those of the saved estimator, bit for bit on the same kind of
    device. It can be fitted again, and with `warm_start=True` its training continues. Nothing in
    the file is executed.

    Parameters
    ----------
    path : str or path-like
        Path of the file.

    device : str or torch.device, default=None
        Device of the network. If None, it is the device of the fit or, with a warning, the CPU if
        that is not available. The parameter `device` of the estimator does not change.

    encoder, decoder : torch.nn.Module or callable, default=None
        Required if the estimator had a custom encoder or decoder: the same module or callable that
        it was fitted with. The weights come from the file.

    temperature_schedule : callable, default=None
        Required if the estimator had a callable `temperature_schedule`.

    estimator_class : type, default=None
        Required if the estimator was of a subclass of an estimator of sknca: this subclass.

    Returns
    -------
    estimator : SNNLEmbedding, TripletEmbedding, SoftNeighborsClassifier or Pipeline
        The fitted estimator.

    Raises
    ------
    ValueError
        If the file is truncated, altered, of another kind or of a newer format, if an argument
        does not fit it, or if `device` is not available.

    Warns
    -----
    UserWarning
        If `device` is None and the device of the fit is not available.

    InconsistentVersionWarning
        If the file contains a pipeline that was saved with another version of scikit-learn.

    See Also
    --------
    save : Saves the file. It has an example.
    """
    resolved = None if device is None else resolve_device(device)
    own = {
        "encoder": encoder,
        "decoder": decoder,
        "temperature_schedule": temperature_schedule,
        "estimator_class": estimator_class,
    }
    data = Path(path).read_bytes()
    try:
        check_is_whole(data)
        given = {name: value for name, value in own.items() if value is not None}
        estimator, version = _build(data, given)
    # A file with a correct checksum may still contain anything, and fail in any way.
    except Exception as error:
        reason = error if isinstance(error, ValueError) else repr(error)
        raise ValueError(f"{os.fspath(path)} cannot be loaded: {reason}") from error
    if version not in (None, sklearn.__version__):
        warning = InconsistentVersionWarning(
            estimator_name="Pipeline",
            current_sklearn_version=sklearn.__version__,
            original_sklearn_version=version,
        )
        warnings.warn(warning, stacklevel=2)
    for one in (estimator, *(step for _, step in steps_in(estimator))):
        if hasattr(one, "_objective"):
            one.device_ = resolved or device_of_fit(one.device_, type(one).__name__)
            one._objective.to(one.device_)
    return estimator


def _build(data: bytes, own: dict[str, Any]) -> tuple[Any, str | None]:
    """The estimator in a file, and the version of scikit-learn that its steps are of."""
    content, arrays = unpack(data)
    if "class" not in content:
        raise ValueError("it is a checkpoint of a fit: pass it to fit as checkpoint=...")
    if content["class"] == "Pipeline":
        return build_pipeline(content, arrays, own), content["sklearn"]
    if content["class"] not in CLASSES:
        raise ValueError(f"it contains an estimator of an unknown class, {content['class']!r}")
    return build(content, arrays, own), None
