"""The estimators of the package as descriptions, and back."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator

from .._compat import OUTPUT_CONFIG, check_parameters
from .._values import decode, encode
from ..estimators import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from ..training import isolated
from ._networks import Makers, build_objective, describe_objective, name_of_part

#: The fitted attributes except networks, and their types. No other attribute is read from a file.
_OF_EMBEDDINGS: dict[str, Any] = {
    "_center": np.ndarray | None,
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
FITTED: dict[type[BaseEstimator], dict[str, Any]] = {
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
OPTIONAL: dict[str, Any] = {
    "classes_": np.ndarray,
    "feature_names_in_": np.ndarray,
    "oob_decision_function_": np.ndarray,
    "oob_member_": np.ndarray,
    "transduction_": np.ndarray,
    OUTPUT_CONFIG: dict,
}
#: By their name in files of version 0.2, attributes that have another name now.
_RENAMED = {"_centre": "_center"}

CLASSES = {estimator_class.__name__: estimator_class for estimator_class in FITTED}

#: Parameters that may be custom modules and functions, which files do not contain.
OWN = ("encoder", "decoder", "temperature_schedule")

_PREFIX = "objective."


def describe(
    estimator: Any, base: type[BaseEstimator], arrays: dict[str, NDArray[Any]], place: str = ""
) -> dict[str, Any]:
    """An estimator of the package as JSON; its arrays are put into `arrays`, with `place` before
    their names.

    Raises
    ------
    ValueError
        If a file cannot contain it.
    """
    if isinstance(estimator, SoftNeighborsClassifier) and sparse.issparse(estimator._rows):
        raise ValueError(
            "A SoftNeighborsClassifier that was fitted on sparse samples cannot be saved: fit it "
            "on codes, or pickle it."
        )
    parameters = estimator.get_params(deep=False)
    given = [name for name in OWN if callable(parameters.get(name))]
    known = {*FITTED[base], *OPTIONAL}
    if type(estimator) is not base:
        given.append("estimator_class")
        _check_subclass(estimator, base, known)
    names = known & vars(estimator).keys()
    own: dict[str, NDArray[Any]] = {}
    content = {
        "class": base.__name__,
        "given": given,
        "parameters": {
            name: encode(name_of_part(value, name), name, own)
            for name, value in parameters.items()
            if name not in given
        },
        "fitted": {name: encode(getattr(estimator, name), name, own) for name in sorted(names)},
    }
    if not isinstance(estimator, SoftNeighborsClassifier):
        objective = estimator._objective
        if objective.network is not estimator.network_:
            raise ValueError("network_ was replaced after fit, and cannot be saved.")
        content["objective"] = encode(describe_objective(objective, given), "objective", own)
        for name, value in objective.state_dict().items():
            if not isinstance(value, torch.Tensor):
                raise ValueError(f"{name} is not a tensor, and cannot be saved.")
            own[_PREFIX + name] = value.numpy(force=True)
    arrays.update({place + name: array for name, array in own.items()})
    return content


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


def build(
    content: dict[str, Any], arrays: dict[str, NDArray[Any]], own: dict[str, Any], place: str = ""
) -> Any:
    """The estimator that `describe` made JSON of; `own` is what the user passed to `load`.

    Raises
    ------
    Exception
        Of any kind, if `describe` did not make it.
    """
    arrays = {
        name.removeprefix(place): array for name, array in arrays.items() if name.startswith(place)
    }
    own = dict(own)
    for name in (*OWN, "estimator_class"):
        if name in content["given"] and name not in own:
            raise ValueError(
                f"its {name} was a custom one, which files do not contain: pass it to load as "
                f"{name}=..."
            )
        if name in own and name not in content["given"]:
            raise ValueError(f"{name} was given, but the estimator had no custom one")
    parameters = {name: decode(value, arrays) for name, value in content["parameters"].items()}
    base = CLASSES[content["class"]]
    estimator_class = own.pop("estimator_class", base)
    if not (isinstance(estimator_class, type) and issubclass(estimator_class, base)):
        raise ValueError(f"estimator_class must be derived from {base.__name__}")
    estimator: Any = estimator_class(**parameters, **own)
    check_parameters(estimator)
    required = FITTED[base]
    fitted = {_RENAMED.get(name, name): value for name, value in content["fitted"].items()}
    for name, expected in (OPTIONAL | required).items():
        if name in fitted:
            value = decode(fitted[name], arrays)
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
    decoder = objective.decoder
    if decoder is not None:
        estimator.decoder_ = decoder


def _check_shapes(estimator: Any) -> None:
    """Refuse fitted arrays that do not fit each other, or have a wrong dtype."""
    n_features = estimator.n_features_in_
    expected: dict[str, tuple[int, ...]] = {"feature_names_in_": (n_features,)}
    n_classes = len(getattr(estimator, "classes_", ()))
    expected["classes_"] = (n_classes,)
    n_samples = len(getattr(estimator, "oob_member_", ()))
    expected["oob_member_"] = (n_samples,)
    expected["oob_decision_function_"] = (n_samples, n_classes)
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
    elif estimator._center is not None:
        expected["_center"] = (n_features,)
    for name, shape in expected.items():
        array = getattr(estimator, name, None)
        if array is not None and array.shape != shape:
            raise ValueError(f"its {name} has shape {array.shape}, but must have shape {shape}")
