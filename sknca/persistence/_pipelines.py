"""Pipelines as descriptions, and back: which class each step has, its parameters and attributes."""

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder

from .._compat import (
    OF_LATER_FITS,
    OUTPUT_CONFIG,
    check_parameters,
    n_threads_of_sklearn,
    samples_of_neighbors,
)
from .._values import decode, encode
from ._fitted import CLASSES, FITTED, build, describe
from ._networks import name_of_part
from ._step_tables import (
    COMPUTED,
    OPTIONAL_OF_STEPS,
    STEPS,
    are_places,
    check_categories,
    check_columns,
    is_fitted,
)
from ._step_values import decode_value, encode_value

Arrays = dict[str, NDArray[Any]]

_STEP_CLASSES = {step.__name__: step for step in STEPS}

#: What every fitted step may have, beside its own attributes.
_OF_ALL = ("n_features_in_", "feature_names_in_", OUTPUT_CONFIG)

#: What `set_output` may set.
_OUTPUTS = [("transform", one) for one in ("default", "pandas", "polars")]

_MOST_JOBS = 1024


def describe_pipeline(pipeline: Pipeline, arrays: Arrays) -> dict[str, Any]:
    """A pipeline as JSON; its arrays are put into `arrays`.

    Raises
    ------
    ValueError
        If a file cannot contain a step. The message names it.
    """
    names = {id(step): name for name, step in steps_in(pipeline)}
    try:
        described = _describe_step(pipeline, "", arrays, names)
    except _StepError as error:
        raise ValueError(str(error)) from error.__cause__
    return {"sklearn": sklearn.__version__, "given": [], **described}


def steps_in(step: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """All steps within a step, with their names as in `get_params`."""
    inner: list[Any] = []
    if isinstance(step, Pipeline):
        inner = step.steps
    elif isinstance(step, ColumnTransformer):
        inner = [*step.transformers, *getattr(step, "transformers_", [])]
    for one in inner:
        yield place + one[0], one[1]
        yield from steps_in(one[1], f"{place}{one[0]}__")


def _describe_step(step: Any, place: str, arrays: Arrays, names: dict[int, str]) -> dict[str, Any]:
    """A step as JSON. Its arrays have its place, such as "steps[0][1].", before their names."""
    parameters = step.get_params(deep=False)
    base = next((one for one in FITTED if isinstance(step, one)), None)
    if base is not None and hasattr(step, "n_features_in_"):
        return {"place": place, **describe(step, base, arrays, place)}
    kind = type(step)
    if kind not in STEPS and kind not in FITTED:
        raise ValueError(
            f"files contain {', '.join(_STEP_CLASSES)} and the estimators of sknca, but no other "
            "steps. joblib saves the whole pipeline."
        )

    def more(value: Any, name: str, arrays: Arrays) -> Any:
        if not isinstance(value, BaseEstimator):
            return encode_value(value, name, arrays)
        try:
            return {"estimator": _describe_step(value, f"{name}.", arrays, names)}
        except _StepError:
            raise
        except ValueError as error:
            step = names.get(id(value), name)
            reason = str(error).removeprefix(f"{name}.")
            raise _StepError(
                f"The step {step!r}, {type(value).__name__}, cannot be saved: {reason}"
            ) from error

    if kind is Pipeline:
        parameters["memory"] = None  # a cache of later fits
    if base is not None:
        parameters = {name: name_of_part(value, name) for name, value in parameters.items()}
    known = {*STEPS.get(kind, {}), *_OF_ALL}
    attributes = vars(step).keys() - parameters.keys() - OF_LATER_FITS - COMPUTED.get(kind, set())
    if attributes - known:
        raise ValueError(f"files do not contain its attributes {sorted(attributes - known)}.")
    if kind is ColumnTransformer and hasattr(step, "transformers_"):
        check_columns(step, step.n_features_in_)
    if isinstance(step, KNeighborsClassifier) and hasattr(step, "classes_"):
        rows, _ = samples_of_neighbors(step)
        if step.outputs_2d_ or not isinstance(rows, np.ndarray):
            raise ValueError("files contain it only if it was fitted on an array, with one label.")
    return {
        "class": kind.__name__,
        "parameters": {n: encode(v, place + n, arrays, more) for n, v in parameters.items()},
        "fitted": {
            name: encode(getattr(step, name), place + name, arrays, more)
            for name in sorted(attributes)
        },
    }


class _StepError(ValueError):
    """A message that names the step already."""


def build_pipeline(content: dict[str, Any], arrays: Arrays, own: dict[str, Any]) -> Pipeline:
    """The pipeline that `describe_pipeline` made JSON of; `own` is what the user passed to `load`.

    Raises
    ------
    Exception
        Of any kind, if `describe_pipeline` did not make it.
    """
    if not isinstance(content["sklearn"], str):
        raise ValueError("it does not say which version of scikit-learn it is of")
    used: set[str] = set()
    pipeline: Pipeline = _build_step(content, arrays, own, used)
    for name in own.keys() - used:
        raise ValueError(f"{name} was given, but no step had a custom one")
    if not is_fitted(pipeline):
        raise ValueError("it contains a pipeline that is not fitted")
    return pipeline


def _build_step(
    content: dict[str, Any], arrays: Arrays, own: dict[str, Any], used: set[str]
) -> Any:
    def more(value: Any, _: Any) -> Any:
        if "estimator" in value:
            return _build_step(value["estimator"], arrays, own, used)
        return decode_value(value, arrays)

    name, described = content["class"], content["parameters"]
    if name in CLASSES and "given" in content:
        of_step = {key: value for key, value in own.items() if key in content["given"]}
        used.update(of_step)
        return build(content, arrays, of_step, content["place"])
    kind: Any = {**_STEP_CLASSES, **CLASSES}.get(name)
    if kind is None:
        raise ValueError(f"it contains a step of an unknown class, {name!r}")
    parameters = {key: decode(value, arrays, more) for key, value in described.items()}
    _check_parameters(kind, parameters)
    step: Any = kind(**parameters)
    check_parameters(step)
    if kind is Pipeline:
        _check_steps(step)
        return step
    if kind is ColumnTransformer:
        _check_transformers(step.transformers)
    fitted, known = content["fitted"], (*_OF_ALL, *STEPS.get(kind, {}))
    values = {key: decode(fitted[key], arrays, more) for key in known if key in fitted}
    if OUTPUT_CONFIG in values:
        config = values.pop(OUTPUT_CONFIG)
        if not all(item in _OUTPUTS for item in config.items()):
            raise ValueError(f"its output is {config!r}")
        setattr(step, OUTPUT_CONFIG, config)
    if values:
        _set_attributes(step, values)
    return step


def _check_parameters(kind: Any, parameters: dict[str, Any]) -> None:
    """Refuse parameters that scikit-learn does not check, or that may call or read something."""
    for name, value in parameters.items():
        if name != "dtype" and isinstance(value, type):
            raise ValueError(f"its parameter {name} is a type")
    if kind is Pipeline and parameters["memory"] is not None:
        raise ValueError("it contains a pipeline with a cache")
    if kind is FunctionTransformer and not (
        parameters["func"] is parameters["inverse_func"] is None
    ):
        raise ValueError("it contains a function")
    jobs = parameters.get("n_jobs")
    if jobs is not None and not (isinstance(jobs, int) and abs(jobs) <= _MOST_JOBS):
        raise ValueError(f"its n_jobs is {jobs!r}")
    weights = parameters.get("transformer_weights") or {}
    if not all(isinstance(one, (int, float)) for one in weights.values()):
        raise ValueError("its transformer_weights are not numbers")


def _check_transformers(transformers: Any) -> None:
    """Refuse transformers of columns that are no estimators."""
    for name, step, _ in transformers:
        if not (isinstance(name, str) and isinstance(step, (str, BaseEstimator))):
            raise ValueError(f"it contains the transformer {name!r}, which is no transformer")


def _check_steps(pipeline: Pipeline) -> None:
    """Refuse a pipeline whose steps are no estimators."""
    for i, (name, step) in enumerate(pipeline.steps):
        last = i == len(pipeline.steps) - 1
        is_step = isinstance(step, BaseEstimator) and (last or hasattr(step, "transform"))
        if not (isinstance(name, str) and (is_step or step in (None, "passthrough"))):
            raise ValueError(f"it contains a pipeline with the step {name!r}, which is no step")
    if not pipeline.steps:
        raise ValueError("it contains a pipeline without steps")


def _set_attributes(step: Any, values: dict[str, Any]) -> None:
    """Set the fitted attributes of a step that are known, if they fit each other."""
    kind, p = type(step), values["n_features_in_"]
    if not isinstance(p, int) or p < 0:
        raise ValueError(f"its n_features_in_ is {p!r}")
    names = values.get("feature_names_in_")
    if names is not None and not (isinstance(names, np.ndarray) and names.shape == (p,)):
        raise ValueError(f"its feature_names_in_ are not the names of {p} features")
    for name, check in STEPS[kind].items():
        if name not in values:
            if name not in OPTIONAL_OF_STEPS:
                raise ValueError(f"the attribute {name} of {kind.__name__} is missing")
        elif not check(values[name], p):
            raise ValueError(f"the attribute {name} of {kind.__name__} has a wrong type or shape")
    if kind is KNeighborsClassifier:
        rows, places, classes = (values.pop(name) for name in ("_fit_X", "_y", "classes_"))
        if not are_places(places, len(classes)) or len(places) != len(rows):
            raise ValueError("its labels are not those of its samples")
        step.fit(rows, classes[places])
        if not np.array_equal(step.classes_, classes):
            raise ValueError("its classes are not the classes of its samples")
    for name, value in values.items():
        setattr(step, name, value)
    if kind is KMeans:
        step._n_threads = n_threads_of_sklearn()
    if kind in (OneHotEncoder, OrdinalEncoder):
        check_categories(step)
    if kind is ColumnTransformer:
        _check_transformers(step.transformers_)
        check_columns(step, p)
    else:
        # A file may claim any number of features if no attribute has that size.
        attributes = [one for one in vars(step).values() if isinstance(one, (list, np.ndarray))]
        sizes = {size for one in attributes for size in getattr(one, "shape", (len(one),))}
        _try(step, p if p in sizes else 1)


def _try(step: Any, p: int) -> None:
    """Compute something for p features, so that a step whose attributes and parameters contradict
    each other is refused when it is loaded, rather than when it is used.
    """
    tried = copy.copy(step)
    vars(tried).pop(OUTPUT_CONFIG, None)
    tried.n_features_in_ = p
    rows: NDArray[Any] = np.zeros((1, p))
    if isinstance(step, (OneHotEncoder, OrdinalEncoder)):
        rows = np.empty((1, p), dtype=object)
        rows[0] = [categories[0] for categories in step.categories_]
    elif isinstance(step, SimpleImputer) and step._fit_dtype.kind == "O":
        rows = np.full((1, p), "", dtype=object)
    elif isinstance(step, KMeans):
        rows = rows.astype(step.cluster_centers_.dtype)
    elif isinstance(step, MissingIndicator):
        return  # an imputer tries it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (tried.transform if hasattr(tried, "transform") else tried.predict)(rows)
        if isinstance(step, KMeans):
            tried.predict(rows)
