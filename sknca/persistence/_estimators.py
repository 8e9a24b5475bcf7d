"""Estimators to files and back."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._compat import OUTPUT_CONFIG, check_parameters
from .._devices import resolve_device
from .._file import check_is_whole, pack, unpack, write_atomically
from .._values import decode, encode
from ..estimators import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from ..estimators._devices import device_of_fit
from ..objectives import Reconstruction
from ..training import isolated
from ._networks import Makers, build_objective, describe_objective

#: What `fit` sets, networks aside, and of what type it is. No other attribute is read from a
#: file.
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
#: What may be there.
_OPTIONAL: dict[str, Any] = {
    "classes_": np.ndarray,
    "feature_names_in_": np.ndarray,
    "transduction_": np.ndarray,
    OUTPUT_CONFIG: dict,
}
_CLASSES = {estimator_class.__name__: estimator_class for estimator_class in _FITTED}

#: Parameters that may be modules and functions of the user's own, which no file holds.
_OWN = ("encoder", "decoder", "temperature_schedule")

_PREFIX = "objective."


def save(
    estimator: SNNLEmbedding | TripletEmbedding | SoftNeighborsClassifier,
    path: str | os.PathLike[str],
) -> None:
    """Write a fitted estimator to a file that is read without pickle.

    The file is one of the safetensors format: the weights as tensors; parameters and fitted
    attributes as JSON; and a checksum of it all. It is written at once: where that fails, a
    file that was there before is as it was.

    Modules and functions of your own (`encoder`, `decoder`, a callable `temperature_schedule`)
    are not written: of networks it is the state dict, and :func:`load` must be given the rest.
    Nor are metadata requests and callbacks, which concern a later `fit` only.

    Parameters
    ----------
    estimator : SNNLEmbedding, TripletEmbedding or SoftNeighborsClassifier
        Fitted.

    path : str or path-like
        Where to write. A file that is there is replaced.

    Raises
    ------
    ValueError
        If it is no estimator of sknca, or a parameter or label is an object that a file cannot
        hold, as a `RandomState`; `set_params` can put another in its place.

    NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    load : The way back.

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
            name: encode(value, name, arrays)
            for name, value in parameters.items()
            if name not in given
        },
        "fitted": {name: encode(getattr(estimator, name), name, arrays) for name in sorted(names)},
    }
    if not isinstance(estimator, SoftNeighborsClassifier):
        objective = estimator._objective
        if objective.network is not estimator.network_:
            raise ValueError("network_ is not the one that fit set, and cannot be saved.")
        described = describe_objective(objective, given)
        content["objective"] = encode(described, "objective", arrays)
        for name, value in objective.state_dict().items():
            if not isinstance(value, torch.Tensor):
                raise ValueError(f"{name}, a state that is no tensor, cannot be saved.")
            arrays[_PREFIX + name] = value.numpy(force=True)
    write_atomically(path, pack(content, arrays))


def step_of_pipeline(estimator: Any, done: str, *classes: type[BaseEstimator]) -> str:
    """Which step of a pipeline, if it is one, can be `done`; a sentence to end an error with."""
    if not isinstance(estimator, Pipeline):
        return ""
    for name, step in estimator.steps:
        if isinstance(step, classes):
            return (
                f" Of this pipeline, the step pipeline[{name!r}] can be {done}; joblib keeps all "
                "of it, and the page on saving tells how to serve it."
            )
    return f" No step of this pipeline can be {done}; joblib keeps all of it."


def _check_subclass(estimator: Any, base: type[BaseEstimator], known: set[str]) -> None:
    """Refuse one with a state that a file of the base class would lose."""
    networks = {"network_", "decoder_"}
    lost = sorted(
        name
        for name in vars(estimator)
        if name.endswith("_") and not name.startswith("_") and name not in known | networks
    )
    if lost:
        raise ValueError(
            f"{type(estimator).__name__} cannot be saved: a file holds what {base.__name__} fits, "
            f"but not {', '.join(lost)}."
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
    """Read an estimator that :func:`save` wrote.

    Its codes are those of the estimator that was saved, bit for bit on the same kind of
    device. It can be fitted again, and with `warm_start=True` goes on where that one stopped.
    Nothing in the file is executed.

    Parameters
    ----------
    path : str or path-like
        The file.

    device : str or torch.device, default=None
        Where the network is to lie, as the parameter `device` of the embeddings, which stays
        as it was. None is the device of the fit, or the CPU, with a warning, where that is
        not there.

    encoder, decoder : torch.nn.Module or callable, default=None
        To be given if the estimator had an encoder or decoder of your own, and then such as
        `fit` had. The weights come from the file.

    temperature_schedule : callable, default=None
        To be given if the estimator's was a callable.

    estimator_class : type, default=None
        To be given if the estimator was of a class of your own, derived from one of sknca.

    Returns
    -------
    estimator : SNNLEmbedding, TripletEmbedding or SoftNeighborsClassifier
        The fitted estimator.

    Raises
    ------
    ValueError
        If the file is truncated, altered, of another kind or of a newer format, or what is
        given does not fit it; or `device` is not there.

    Warns
    -----
    UserWarning
        If `device` is None and the device of the fit is not there.

    See Also
    --------
    save : With an example.
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
    # Whoever can write a checksum can write anything under it, and it may fail in any way.
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
        raise ValueError("it is a checkpoint of a fit, from which the same fit goes on")
    if content["class"] not in _CLASSES:
        raise ValueError(f"it holds an estimator of an unknown class, {content['class']!r}")
    for name in (*_OWN, "estimator_class"):
        if name in content["given"] and name not in own:
            raise ValueError(
                f"its {name} was your own, which no file holds: give it to load, as {name}=..."
            )
        if name in own and name not in content["given"]:
            raise ValueError(f"{name} was given, but the estimator had none of your own")
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
                raise ValueError(f"its attribute {name} is of another type, {type(value)}")
            setattr(estimator, name, value)
        elif name in required:
            raise ValueError(f"it lacks the attribute {name}")
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
    widths = estimator.n_features_in_, estimator._n_features_out
    with isolated(0, torch.device("cpu")):  # new networks draw weights, if only to lose them
        objective = build_objective(described, tensors, *widths, own)
    estimator._encoder_of_fit = estimator.encoder
    estimator._objective = objective
    estimator.network_ = objective.network
    if described.get("primary") == Reconstruction.name:
        estimator.decoder_ = objective.get_submodule("primary.decoder")


def _check_shapes(estimator: Any) -> None:
    """Refuse fitted arrays that do not fit one another, or are of a wrong dtype."""
    n_features = estimator.n_features_in_
    expected: dict[str, tuple[int, ...]] = {"feature_names_in_": (n_features,)}
    if hasattr(estimator, "classes_"):
        expected["classes_"] = (len(estimator.classes_),)
    if isinstance(estimator, SoftNeighborsClassifier):
        sizes = estimator._class_sizes
        if sizes.dtype.kind not in "iu" or (sizes < 0).any():
            raise ValueError("its _class_sizes are not all integers of 0 or more")
        for name in ("_rows", "_log_weight"):
            dtype = getattr(estimator, name).dtype
            if dtype.kind != "f":
                raise ValueError(f"its {name} is of dtype {dtype}, which is not a float")
        n_rows = sum(sizes.tolist())
        expected["_rows"] = n_rows, n_features
        expected["_log_weight"] = (n_rows,)
        expected["_class_sizes"] = (len(estimator.classes_),)
    elif estimator._centre is not None:
        expected["_centre"] = (n_features,)
    for name, shape in expected.items():
        array = getattr(estimator, name, None)
        if array is not None and array.shape != shape:
            raise ValueError(f"its {name} is of shape {array.shape}, where {shape} fits the rest")
