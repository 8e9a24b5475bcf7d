"""The steps of scikit-learn that files contain: their fitted attributes, and what these must be."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from ._step_values import is_of_pandas

#: Whether a value can be the attribute of an estimator of p features.
Check = Callable[[Any, int], bool]


def _is(*kinds: type[Any] | None) -> Check:
    allowed = tuple(type(None) if kind is None else kind for kind in kinds)
    return lambda value, p: isinstance(value, allowed)


def _array(ndim: int, last: str = "") -> Check:
    """Numbers in `ndim` dimensions, of which the last one is p if `last` is "p"."""

    def check(value: Any, p: int) -> bool:
        return (
            isinstance(value, np.ndarray)
            and value.dtype.kind in "fiu"
            and value.ndim == ndim
            and (last != "p" or value.shape[-1] == p)
        )

    return check


def are_places(value: Any, n: int) -> bool:
    """An array of places among n."""
    return (
        isinstance(value, np.ndarray)
        and value.ndim == 1
        and value.dtype.kind in "iu"
        and bool(((value >= 0) & (value < n)).all())
    )


def _whole(value: Any, n: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < n


def _either(*checks: Check) -> Check:
    return lambda value, p: any(check(value, p) for check in checks)


def _each(check: Check) -> Check:
    """A list with one value for each feature."""
    return lambda value, p: (
        isinstance(value, list) and len(value) == p and all(check(one, p) for one in value)
    )


def _column(value: Any, p: int) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and len(value) > 0


def _one_for_each(value: Any, p: int) -> bool:
    return isinstance(value, np.ndarray) and value.shape == (p,)


_INT, _TEXT, _FLOAT, _NONE = _is(int), _is(str), _is(float), _is(None)
_VECTOR = _either(_NONE, _array(1, "p"))
_ANY = _array(1)
_GROUPS = _either(_NONE, lambda value, p: isinstance(value, np.ndarray) and value.ndim == 1)
_COUNT = _either(_INT, _FLOAT, _array(1, "p"))

#: Of every class, the attributes that `fit` sets. No other attribute is read from a file.
STEPS: dict[type[BaseEstimator], dict[str, Check]] = {
    Pipeline: {},
    StandardScaler: {
        "mean_": _VECTOR,
        "n_samples_seen_": _COUNT,
        "scale_": _VECTOR,
        "var_": _VECTOR,
    },
    MinMaxScaler: {
        **dict.fromkeys(["data_max_", "data_min_", "data_range_", "min_", "scale_"], _VECTOR),
        "n_samples_seen_": _COUNT,
    },
    MaxAbsScaler: {"max_abs_": _VECTOR, "n_samples_seen_": _COUNT, "scale_": _VECTOR},
    RobustScaler: {"center_": _VECTOR, "scale_": _VECTOR},
    Normalizer: {},
    SimpleImputer: {
        "_fill_dtype": _is(np.dtype),
        "_fit_dtype": _is(np.dtype),
        "indicator_": _is(None, MissingIndicator),
        "statistics_": _one_for_each,
    },
    MissingIndicator: {
        "_n_features": lambda value, p: _whole(value, p + 1) and value == p,
        "_precomputed": _is(bool),
        "features_": are_places,
    },
    OneHotEncoder: {
        "_default_to_infrequent_mappings": _each(_is(None, np.ndarray)),
        "_drop_idx_after_grouping": _either(_NONE, _one_for_each),
        "_infrequent_enabled": _is(bool),
        "_infrequent_indices": _each(_is(None, np.ndarray)),
        "_n_features_outs": _each(_INT),
        "categories_": _each(_column),
        "drop_idx_": _either(_NONE, _one_for_each),
    },
    OrdinalEncoder: {
        "_default_to_infrequent_mappings": _each(_is(None, np.ndarray)),
        "_infrequent_enabled": _is(bool),
        "_infrequent_indices": _each(_is(None, np.ndarray)),
        "_missing_indices": _is(dict),
        "categories_": _each(_column),
    },
    ColumnTransformer: {
        "_columns": _is(list),
        "_name_to_fitted_passthrough": _is(dict),
        "_remainder": _is(tuple),
        "_transformer_to_input_indices": _is(dict),
        "_transformers_feature_names_out": _GROUPS,
        "output_indices_": _is(dict),
        "sparse_output_": _is(bool),
        "transformers_": _is(list),
    },
    # What "passthrough" becomes: without functions, which files do not contain.
    FunctionTransformer: {},
    PCA: {
        "_fit_svd_solver": _TEXT,
        "components_": _array(2, "p"),
        **dict.fromkeys(
            ["explained_variance_", "explained_variance_ratio_", "singular_values_"], _ANY
        ),
        "mean_": _array(1, "p"),
        "n_components_": _INT,
        "n_samples_": _INT,
        "noise_variance_": _either(_FLOAT, _INT),
    },
    TruncatedSVD: {
        "components_": _array(2, "p"),
        **dict.fromkeys(
            ["explained_variance_", "explained_variance_ratio_", "singular_values_"], _ANY
        ),
    },
    KMeans: {
        "_algorithm": _TEXT,
        "_n_features_out": _INT,
        "_n_init": _INT,
        "_tol": _either(_FLOAT, _INT),
        "cluster_centers_": _array(2, "p"),
        "inertia_": _FLOAT,
        "labels_": _ANY,
        "n_iter_": _INT,
    },
    # Its tree is not saved: it is fitted again.
    KNeighborsClassifier: {"_fit_X": _array(2, "p"), "_y": _ANY, "classes_": _column},
}

#: Attributes that only some fits set, or only some versions of scikit-learn.
OPTIONAL_OF_STEPS = {
    "_fill_dtype",
    "_default_to_infrequent_mappings",
    "_infrequent_indices",
    "_name_to_fitted_passthrough",
    "_transformers_feature_names_out",
}

#: Attributes that are computed when a file is loaded.
COMPUTED: dict[type[BaseEstimator], set[str]] = {
    KMeans: {"_n_threads"},
    KNeighborsClassifier: {
        *("_fit_method", "_tree", "effective_metric_", "effective_metric_params_"),
        *("n_samples_fit_", "outputs_2d_", "radius"),
    },
}


def check_categories(encoder: Any) -> None:
    """Refuse places of categories that do not exist, also because compiled code writes to them."""
    sizes = [len(one) for one in encoder.categories_]
    groups: list[Any] = [None] * len(sizes)
    if encoder._infrequent_enabled:
        groups = encoder._infrequent_indices
        for group, mapping, size in zip(
            groups, encoder._default_to_infrequent_mappings, sizes, strict=True
        ):
            if not _is_grouping(group, mapping, size):
                raise ValueError("its infrequent categories do not exist")
    elif hasattr(encoder, "_infrequent_indices"):
        raise ValueError("it has infrequent categories, and has not")
    if isinstance(encoder, OrdinalEncoder):
        missing = encoder._missing_indices.items()
        if not all(_whole(i, len(sizes)) and _whole(place, sizes[i]) for i, place in missing):
            raise ValueError("its _missing_indices do not exist")
        return
    after = [
        size - (0 if one is None else len(one) - 1) for one, size in zip(groups, sizes, strict=True)
    ]
    dropped, of_groups = encoder.drop_idx_, encoder._drop_idx_after_grouping
    nothing = np.array([None] * len(sizes), dtype=object)
    dropped = nothing if dropped is None else dropped
    of_groups = nothing if of_groups is None else of_groups
    pairs = zip(dropped.tolist(), of_groups.tolist(), sizes, after, strict=True)
    if not all(
        a is b is None or (_whole(a, size) and _whole(b, grouped)) for a, b, size, grouped in pairs
    ):
        raise ValueError("its dropped categories do not exist")
    widths = [n - (one is not None) for n, one in zip(after, dropped.tolist(), strict=True)]
    if encoder._n_features_outs != widths:
        raise ValueError("its _n_features_outs are not the numbers of its categories")


def _is_grouping(group: Any, mapping: Any, size: int) -> bool:
    """Whether a mapping brings the categories of a group to one place, behind all others."""
    if group is None or mapping is None:
        return group is mapping
    if not are_places(group, size) or len(np.unique(group)) != len(group) or len(group) == 0:
        return False
    expected = np.full(size, size - len(group))
    others = np.setdiff1d(np.arange(size), group)
    expected[others] = np.arange(len(others))
    return mapping.dtype.kind in "iu" and np.array_equal(mapping, expected)


def is_fitted(step: Any) -> bool:
    """Whether a step has what `fit` sets, also one that could transform without."""
    if isinstance(step, Pipeline):
        return all(is_fitted(one) for _, one in step.steps)
    return isinstance(step, str | None) or hasattr(step, "n_features_in_")


def _exist(columns: Any, names: list[str], p: int) -> bool:
    """Whether columns are among p features with names, or have a place among them."""

    def exists(column: Any) -> bool:
        is_place = isinstance(column, (int, np.integer)) and not isinstance(column, bool)
        return column in names if isinstance(column, str) else is_place and -p <= column < p

    if isinstance(columns, slice):
        limits = columns.start, columns.stop
        return all(isinstance(one, int) or one is None or exists(one) for one in limits)
    if isinstance(columns, np.ndarray) and columns.ndim != 1:
        return False
    if isinstance(columns, (list, tuple, np.ndarray)):
        columns = [*columns]
        if columns and all(isinstance(one, (bool, np.bool_)) for one in columns):
            return len(columns) == p
        return all(map(exists, columns))
    return exists(columns)


def check_columns(transformer: Any, p: int) -> None:
    """Refuse columns that do not exist, and transformers that are none."""
    for one in (*transformer.transformers_, transformer._remainder):
        _, step, columns = one
        columns = columns.tolist() if is_of_pandas(columns) else columns
        if not isinstance(step, str | None):
            chosen = columns if isinstance(columns, (list, tuple, np.ndarray)) else [columns]
            # What gets no column is not fitted.
            used = any(column is not False and column is not np.False_ for column in chosen)
            if one is not transformer._remainder and used and not is_fitted(step):
                raise ValueError(f"its transformer {type(step).__name__} is not fitted")
            if not hasattr(step, "transform"):
                raise ValueError(f"its transformer {type(step).__name__} has no transform")
        elif step not in ("drop", "passthrough", None):
            raise ValueError(f"its transformer {step!r} is unknown")
        if not _exist(columns, [*getattr(transformer, "feature_names_in_", [])], p):
            raise ValueError(f"its columns {columns!r} do not exist")
    indices = transformer._transformer_to_input_indices
    known = {one[0] for one in transformer.transformers_}
    if (
        not all(
            isinstance(places, list) and all(_whole(one, p) for one in places)
            for places in indices.values()
        )
        or not {name for name in known if isinstance(name, str)} <= indices.keys() >= known
    ):
        raise ValueError("its _transformer_to_input_indices do not exist")
    if not all(isinstance(one, slice) for one in transformer.output_indices_.values()):
        raise ValueError("its output_indices_ are not slices")
