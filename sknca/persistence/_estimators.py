"""Save estimators to files, and load them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._compat import OUTPUT_CONFIG, check_parameters
from .._devices import resolve_device
from .._file import check_is_whole, pack, unpack, write_atomically
from .._values import decode, encode
from ..estimators import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from ..estimators._portable import device_of_fit
from ..training import isolated
from ._networks import Makers, build_objective, describe_objective, name_of_part

#: The fitted attributes except networks, and their types. No other attribute is read from a file.
_OF_EMBEDDINGS: dict[str, Any] = {
    "_centre": np.ndarray | None,
    "_n_features_out": int,
    "best_loss_": float,
    "device_": torch.device,
    "history_": list,
    "loss_": float,
    "loss_curve_": list,
    "n_features_in_": int,
    "n_iter_": int,
    "validation_loss_curve_": list | None,
}
_FITTED: dict[type[BaseEstimator], dict[str, Any]] = {
    SNNLEmbedding: _OF_EMBEDDINGS | {"overfits_": bool | None, "temperature_": float | np.ndarray},
    SoftNeighborsClassifier: {
        "_class_sizes": np.ndarray,
        "_log_weight": np.ndarray,
        "_rows": np.ndarray,
        "classes_": np.ndarray,
        "n_features_in_": int,
    },
    TripletEmbedding: _OF_EMBEDDINGS,
}
#: Attributes that may be present.
_OPTIONAL: dict[str, Any] = {
    "classes_": np.ndarray,
    "feature_names_in_": np.ndarray,
    "transduction_": np.ndarray,
    OUTPUT_CONFIG: dict,
}
_CLASSES = {estimator_class.__name__: estimator_class for estimator_class in _FITTED}

#: Parameters that may be custom modules and functions, which files do not contain.
_OWN = ("encoder", "decoder", "temperature_schedule")

_PREFIX = "objective."


def save(
    estimator: SNNLEmbedding | TripletEmbedding | SoftNeighborsClassifier,
    path: str | os.PathLike[str],
) -> None:
    """Save a fitted estimator to a file that is loaded without pickle.

    The file has the safetensors format. It contains the weights as tensors, the parameters and
    fitted attributes as JSON, and a checksum of everything. It is written atomically: if writing
    fails, an existing file is unchanged.

    Custom modules and functions (`encoder`, `decoder`, a callable `temperature_schedule`) are not
    saved. Of networks the state dict is saved, and the module or callable must be passed to
    :func:`load`. Metadata requests and callbacks, which only a later `fit` uses, are not saved
    either.

    Parameters
    ----------
    estimator : SNNLEmbedding, TripletEmbedding or SoftNeighborsClassifier
        The fitted estimator.

    path : str or path-like
        Path of the file. An existing file is replaced.

    Raises
    ------
    ValueError
        If the estimator is not one of sknca, or a parameter or label is an object that files
        cannot contain, for example a `RandomState`. Replace such a parameter with `set_params`.

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

    estimator_class = next((cls for cls in _FITTED if isinstance(estimator, cls)), None)
    if estimator_class is None:
        raise ValueError(
            f"estimator must be one of {', '.join(_CLASSES)}, got {estimator!r}."
            f"{step_of_pipeline(estimator, 'saved', *_FITTED)}"
        )
    check_is_fitted(estimator)
    if isinstance(estimator, SoftNeighborsClassifier) and sparse.issparse(estimator._rows):
        raise ValueError(
            "A SoftNeighborsClassifier that was fitted on sparse samples cannot be saved: fit it "
            "on codes, or pickle it."
        )
    parameters = estimator.get_params(deep=False)
    given = [name for name in _OWN if callable(parameters.get(name))]
    known = {*_FITTED[estimator_class], *_OPTIONAL}
    if type(estimator) is not estimator_class:
        given.append("estimator_class")
        _check_subclass(estimator, estimator_class, known)
    names = known & vars(estimator).keys()
    arrays: dict[str, NDArray[Any]] = {}
    content = {
        "sknca": __version__,
        "class": estimator_class.__name__,
        "given": given,
        "parameters": {
            name: encode(name_of_part(value, name), name, arrays)
            for name, value in parameters.items()
            if name not in given
        },
        "fitted": {name: encode(getattr(estimator, name), name, arrays) for name in sorted(names)},
    }
    if not isinstance(estimator, SoftNeighborsClassifier):
        objective = estimator._objective
        if objective.network is not estimator.network_:
            raise ValueError("network_ was replaced after fit, and cannot be saved.")
        described = describe_objective(objective, given)
        content["objective"] = encode(described, "objective", arrays)
        for name, value in objective.state_dict().items():
            if not isinstance(value, torch.Tensor):
                raise ValueError(f"{name} is not a tensor, and cannot be saved.")
            arrays[_PREFIX + name] = value.numpy(force=True)
    write_atomically(path, pack(content, arrays))


def step_of_pipeline(estimator: Any, done: str, *classes: type[BaseEstimator]) -> str:
    """Which step of a pipeline, if it is one, can be `done`: the end of an error message."""
    if not isinstance(estimator, Pipeline):
        return ""
    for name, step in estimator.steps:
        if isinstance(step, classes):
            return (
                f" The step pipeline[{name!r}] can be {done}. joblib saves the whole pipeline; see "
                "the page on saving for how to serve it."
            )
    return f" No step of this pipeline can be {done}. joblib saves the whole pipeline."


def _check_subclass(estimator: Any, base: type[BaseEstimator], known: set[str]) -> None:
    """Refuse a subclass with attributes that a file of the base class would lose."""
    networks = {"network_", "decoder_"}
    lost = sorted(
        name
        for name in vars(estimator)
        if name.endswith("_") and not name.startswith("_") and name not in known | networks
    )
    if lost:
        raise ValueError(
            f"{type(estimator).__name__} cannot be saved: files contain the fitted attributes of "
            f"{base.__name__}, but not {', '.join(lost)}."
        )


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

    Its codes are those of the saved estimator, bit for bit on the same kind of device. It can be
    fitted again, and with `warm_start=True` its training continues. Nothing in the file is
    executed.

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
    estimator : SNNLEmbedding, TripletEmbedding or SoftNeighborsClassifier
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
        estimator = _build(data, {name: value for name, value in own.items() if value is not None})
    # A file with a correct checksum may still contain anything, and fail in any way.
    except Exception as error:
        reason = error if isinstance(error, ValueError) else repr(error)
        raise ValueError(f"{os.fspath(path)} cannot be loaded: {reason}") from error
    if not isinstance(estimator, SoftNeighborsClassifier):
        name = type(estimator).__name__
        estimator.device_ = resolved or device_of_fit(estimator.device_, name)
        estimator._objective.to(estimator.device_)
    return estimator


def _build(data: bytes, own: dict[str, Any]) -> Any:
    content, arrays = unpack(data)
    if "class" not in content:
        raise ValueError("it is a checkpoint of a fit: pass it to fit as checkpoint=...")
    if content["class"] not in _CLASSES:
        raise ValueError(f"it contains an estimator of an unknown class, {content['class']!r}")
    for name in (*_OWN, "estimator_class"):
        if name in content["given"] and name not in own:
            raise ValueError(
                f"its {name} was a custom one, which files do not contain: pass it to load as "
                f"{name}=..."
            )
        if name in own and name not in content["given"]:
            raise ValueError(f"{name} was given, but the estimator had no custom one")
    parameters = {name: decode(value, arrays) for name, value in content["parameters"].items()}
    base = _CLASSES[content["class"]]
    estimator_class = own.pop("estimator_class", base)
    if not (isinstance(estimator_class, type) and issubclass(estimator_class, base)):
        raise ValueError(f"estimator_class must be derived from {base.__name__}")
    estimator: Any = estimator_class(**parameters, **own)
    check_parameters(estimator)
    required = _FITTED[base]
    for name, expected in (_OPTIONAL | required).items():
        if name in content["fitted"]:
            value = decode(content["fitted"][name], arrays)
            if not isinstance(value, expected):
                raise ValueError(f"its attribute {name} has a wrong type, {type(value)}")
            setattr(estimator, name, value)
        elif name in required:
            raise ValueError(f"the attribute {name} is missing")
    if not isinstance(estimator, SoftNeighborsClassifier):
        _set_networks(estimator, decode(content["objective"], arrays), arrays, own)
    _check_shapes(estimator)
    return estimator


def _set_networks(
    estimator: Any, described: dict[str, Any], arrays: dict[str, NDArray[Any]], own: Makers
) -> None:
    tensors = {
        name.removeprefix(_PREFIX): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith(_PREFIX)
    }
    n_classes = len(getattr(estimator, "classes_", ()))
    sizes = estimator.n_features_in_, estimator._n_features_out, n_classes
    with isolated(
        0, torch.device("cpu")
    ):  # new networks draw initial weights, which are then replaced
        objective = build_objective(described, tensors, *sizes, own)
    estimator._encoder_of_fit = estimator.encoder
    estimator._objective = objective
    estimator.network_ = objective.network
    primary = getattr(objective, "primary", None)
    if primary is not None and primary.has_decoder:
        estimator.decoder_ = primary.decoder


def _check_shapes(estimator: Any) -> None:
    """Refuse fitted arrays that do not fit each other, or have a wrong dtype."""
    n_features = estimator.n_features_in_
    expected: dict[str, tuple[int, ...]] = {"feature_names_in_": (n_features,)}
    if hasattr(estimator, "classes_"):
        expected["classes_"] = (len(estimator.classes_),)
    if isinstance(estimator, SoftNeighborsClassifier):
        sizes = estimator._class_sizes
        if sizes.dtype.kind not in "iu" or (sizes < 0).any():
            raise ValueError("its _class_sizes are not all non-negative integers")
        for name in ("_rows", "_log_weight"):
            dtype = getattr(estimator, name).dtype
            if dtype.kind != "f":
                raise ValueError(f"its {name} has dtype {dtype}, which is not floating-point")
        n_rows = sum(sizes.tolist())
        expected["_rows"] = n_rows, n_features
        expected["_log_weight"] = (n_rows,)
        expected["_class_sizes"] = (len(estimator.classes_),)
    elif estimator._centre is not None:
        expected["_centre"] = (n_features,)
    for name, shape in expected.items():
        array = getattr(estimator, name, None)
        if array is not None and array.shape != shape:
            raise ValueError(f"its {name} has shape {array.shape}, but must have shape {shape}")
