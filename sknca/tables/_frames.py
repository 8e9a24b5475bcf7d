"""Error messages that name the columns of a table, and the step that it needs first."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import MISSING

#: At most this many columns are named in an error.
_NAMED = 5

#: What the errors of NumPy and scikit-learn say about values that are not finite numbers.
_OF_COLUMNS = re.compile(
    "Input X(_val)? contains (NaN|infinity)|NAType|NoneType|[Cc]ould not convert"
    "|could not be promoted|[Cc]annot cast"
    "|[Uu]nable to convert|must be a string or a real number"
)

#: What they say about values that are too large, and nothing else.
_TOO_LARGE = re.compile(
    r"Input (X|X_val) contains infinity or a value too large for dtype\('(float\d+)'\)\.?"
    r"( \(row \d+\))?"
)

#: What the errors of NumPy and scikit-learn are about, if they say it.
_NAMES_SOMETHING = re.compile(r"\b(X|y|X_val|y_val|samples?|features?)\b|Complex data")


@contextmanager
def explained(X: Any, estimator: str, name: str = "X") -> Iterator[None]:
    """While `X`, called `name`, is read for an estimator: errors name it and its columns."""
    try:
        # scikit-learn sums the entries to find infinite ones, and the sum may overflow.
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    except (ValueError, TypeError) as error:
        text = str(error)
        if _OF_COLUMNS.search(text) and has_columns(X):
            told = _about_columns(X, estimator, name, text)
            if told is None:
                raise
            raise ValueError(told) from error
        if _NAMES_SOMETHING.search(text):
            raise
        raise type(error)(f"{name}: {error}") from error


@contextmanager
def naming_columns(estimator: str, **tables: Any) -> Iterator[None]:
    """While an estimator is fitted on tables, by the names of their parameters: if a value is too
    large for float32, which is found after validation, the error names its column.
    """
    try:
        yield
    except ValueError as error:
        found = _TOO_LARGE.fullmatch(str(error))
        X = None if found is None else tables.get(found[1])
        if found is None or not has_columns(X):
            raise
        told = _about_columns(X, estimator, found[1], str(error))
        if told is None:
            raise
        raise ValueError(told) from error


def has_columns(X: Any) -> bool:
    """Whether X is a table whose columns have names, as of pandas, polars or pyarrow."""
    return hasattr(X, "columns")


def _about_columns(X: Any, estimator: str, name: str, text: str) -> str | None:
    """What to do about the columns that are not finite numbers; None if none is found."""
    too_large = _TOO_LARGE.fullmatch(text)
    dtype = np.dtype(too_large[2] if too_large else np.float64)
    missing, infinite, others = _columns(X, float(np.finfo(dtype).max))
    if others:
        return (
            f"{name} has columns that are not numbers: {_named(others)}. Encode them in an "
            "earlier step, for example make_pipeline(make_column_transformer("
            f"(OneHotEncoder(), columns), remainder='passthrough'), {estimator}())."
        )
    if missing:
        return (
            f"Input {name} contains NaN, in the columns {_named(missing)}. Impute them in an "
            f"earlier step, for example make_pipeline(SimpleImputer(), {estimator}())."
        )
    if infinite:
        return (
            f"Input {name} contains infinity or a value too large for {dtype!r}, in the columns "
            f"{_named(infinite)}. Clip them in an earlier step, for example make_pipeline("
            "FunctionTransformer(numpy.clip, kw_args={'a_min': -1e9, 'a_max': 1e9}), "
            f"{estimator}())."
        )
    return None


def _columns(X: Any, largest: float) -> tuple[list[Any], list[Any], list[Any]]:
    """Names of columns with missing values, with values above the largest, and of those that do not
    hold numbers.
    """
    missing, infinite, others = [], [], []
    for name, column in _by_name(X):
        values = np.asarray(column)
        if values.dtype.kind in "mM":  # times, whose list may be of integers
            others.append(name)
            continue
        if values.ndim == 1 and values.dtype.kind not in "biuf":
            present = [value for value in values.tolist() if type(value).__name__ not in MISSING]
            if not all(isinstance(value, (int, float)) for value in present):
                others.append(name)
                continue
            n_missing = len(values) - len(present)
            values = np.array(present, dtype=float)
        else:
            n_missing = 0
        if n_missing or (values.dtype.kind == "f" and np.isnan(values).any()):
            missing.append(name)
        elif values.dtype.kind == "f" and not _are_within(values, largest):
            infinite.append(name)
    return missing, infinite, others


def _are_within(values: NDArray[Any], largest: float) -> bool:
    # In float64: the largest float64 is none of float32, in which NumPy would compare them.
    return bool(np.isfinite(values).all() and (abs(values.astype(np.float64)) <= largest).all())


def _by_name(X: Any) -> Iterator[tuple[Any, Any]]:
    """The columns and their names. Those of pyarrow, `columns` does not name."""
    for name in getattr(X, "column_names", X.columns):
        yield name, X[name]


def _named(columns: list[Any]) -> str:
    named = ", ".join(repr(column) for column in columns[:_NAMED])
    return f"{named} and {len(columns) - _NAMED} more" if len(columns) > _NAMED else named
