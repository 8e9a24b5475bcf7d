"""scikit-learn's validation, with error messages that name the step that a table needs first."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import assert_all_finite as _assert_all_finite
from sklearn.utils.validation import validate_data as _validate_data

from .._arrays import as_array
from .._compat import check_sample_weight
from .._warnings import warn_user

#: The dtypes that rows may have. Numbers of any other become the first of them.
FLOATS = (np.float64, np.float32, np.float16)

#: So many columns are named in an error.
_NAMED = 5

#: What the errors of NumPy and scikit-learn say about non-numeric or missing values.
_OF_COLUMNS = re.compile(
    "Input X(_val)? contains NaN|NAType|NoneType|[Cc]ould not convert|could not be promoted"
    "|[Cc]annot cast"
    "|[Uu]nable to convert|must be a string or a real number"
)

#: What the errors of NumPy and scikit-learn are about, if they say it.
_NAMES_SOMETHING = re.compile(r"\b(X|y|X_val|y_val|samples?|features?)\b|Complex data")

#: What pandas and polars have where a value is missing, beside NaN.
_MISSING = {"NAType", "NaTType", "NoneType"}


def validate_data(estimator: Any, X: Any, y: Any = "no_validation", **options: Any) -> Any:
    """As scikit-learn's; of a DataFrame the error says what is wrong with which columns, and
    warnings point at the user's line.
    """
    with explained(X, type(estimator).__name__):
        return _validate_data(estimator, as_array(X), one_column(y), **options)


def assert_all_finite(X: Any) -> None:
    """As scikit-learn's, which sums the entries, and warns if the sum overflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        _assert_all_finite(X, input_name="X")


def read_weight(sample_weight: Any, X: Any) -> NDArray[np.float64]:
    """Sample weights (n,), none of which is negative, and one of which is not zero."""
    try:
        weight: NDArray[np.float64] = check_sample_weight(sample_weight, X)
    except (ValueError, TypeError) as error:
        if re.search("[Ss]ample.weight", str(error)):
            raise
        raise type(error)(f"sample_weight: {error}") from error
    return weight


def one_column(y: Any) -> Any:
    """Labels as scikit-learn takes them: a column, with its warning, as a vector."""
    y = as_array(y)
    if getattr(y, "ndim", 1) != 2 or y.shape[1] != 1:
        return y
    warn_user(
        "A column-vector y was passed when a 1d array was expected. Please change the shape of y "
        "to (n_samples, ), for example using ravel().",
        DataConversionWarning,
    )
    return np.asarray(y).ravel()


@contextmanager
def explained(X: Any, estimator: str, name: str = "X") -> Iterator[None]:
    """While `X`, called `name`, is read for an estimator."""
    try:
        # scikit-learn sums the entries to find infinite ones, and the sum may overflow.
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    except (ValueError, TypeError) as error:
        if not hasattr(X, "columns") or not _OF_COLUMNS.search(str(error)):
            if _NAMES_SOMETHING.search(str(error)):
                raise
            raise type(error)(f"{name}: {error}") from error
        missing, others = _columns(X)
        if others:
            raise ValueError(
                f"{name} has columns that are not numbers: {_named(others)}. Encode them in an "
                "earlier step, for example make_pipeline(make_column_transformer("
                f"(OneHotEncoder(), columns), remainder='passthrough'), {estimator}())."
            ) from error
        if missing:
            raise ValueError(
                f"Input {name} contains NaN, in the columns {_named(missing)}. Impute them in an "
                f"earlier step, for example make_pipeline(SimpleImputer(), {estimator}())."
            ) from error
        raise


def _columns(X: Any) -> tuple[list[Any], list[Any]]:
    """Names of columns with missing values, and of those that do not hold numbers."""
    missing, others = [], []
    for name in X.columns:
        values = np.asarray(X[name])
        if values.dtype.kind in "mM":  # times, whose list may be of integers
            others.append(name)
            continue
        if values.ndim == 1 and values.dtype.kind not in "biuf":
            present = [value for value in values.tolist() if type(value).__name__ not in _MISSING]
            if not all(isinstance(value, (int, float)) for value in present):
                others.append(name)
                continue
            n_missing = len(values) - len(present)
            values = np.array(present, dtype=float)
        else:
            n_missing = 0
        if n_missing or (values.dtype.kind == "f" and np.isnan(values).any()):
            missing.append(name)
    return missing, others


def _named(columns: list[Any]) -> str:
    named = ", ".join(repr(column) for column in columns[:_NAMED])
    return f"{named} and {len(columns) - _NAMED} more" if len(columns) > _NAMED else named
