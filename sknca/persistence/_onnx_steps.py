"""Two steps of scikit-learn as ONNX operators, with the options that skl2onnx does not convert.

skl2onnx calls a pair of functions for each: one sets the type and shape of the output, the other
adds the operators.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder


class _Graph:
    """Operators that are added to the graph of skl2onnx, one call each."""

    def __init__(self, scope: Any, container: Any) -> None:
        self.scope, self.container = scope, container

    def __call__(
        self, kind: str, *entries: str | NDArray[Any], out: str = "", **options: Any
    ) -> str:
        """Add an operator. An array among its inputs becomes a constant."""
        out = out or self.scope.get_unique_variable_name(kind.lower())
        names = [one if isinstance(one, str) else self._constant(one) for one in entries]
        options.setdefault("op_domain", "")
        name = self.scope.get_unique_operator_name(kind)
        self.container.add_node(kind, names, [out], name=name, **options)
        return out

    def _constant(self, array: NDArray[Any]) -> str:
        name: str = self.scope.get_unique_variable_name("constant")
        self.container.initializers.append(numpy_helper.from_array(array, name))
        return name


def _is_text(variable: Any) -> bool:
    return isinstance(variable.type, StringTensorType)


def _dtype_of(variable: Any) -> type[np.float32] | type[np.float64]:
    return np.float64 if isinstance(variable.type, DoubleTensorType) else np.float32


def _set_output(operator: Any, width: int, kind: type[Any]) -> None:
    operator.outputs[0].type = kind([operator.inputs[0].get_first_dimension(), width])


def _shape_of_imputer(operator: Any) -> None:
    imputer: SimpleImputer = operator.raw_operator
    n_indicators = len(imputer.indicator_.features_) if imputer.add_indicator else 0
    kinds = {type(one.type) for one in operator.inputs}
    if StringTensorType in kinds:
        if kinds != {StringTensorType} or n_indicators:
            raise NotImplementedError(
                "SimpleImputer of strings is exported without numbers and without add_indicator."
            )
        kind = StringTensorType
    else:
        kind = DoubleTensorType if DoubleTensorType in kinds else FloatTensorType
    _set_output(operator, len(_kept(imputer)) + n_indicators, kind)


def _kept(imputer: SimpleImputer) -> NDArray[np.int64]:
    """The features that the imputer does not drop: those with a value to impute."""
    statistics = imputer.statistics_
    empty = [isinstance(one, float) and np.isnan(one) for one in statistics.tolist()]
    return np.flatnonzero(~np.array(empty, dtype=bool))


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    imputer: SimpleImputer = operator.raw_operator
    add, output = _Graph(scope, container), operator.outputs[0]
    kept, missing = _kept(imputer), imputer.missing_values
    if _is_text(output):
        names = [one.full_name for one in operator.inputs]
        rows = add("Concat", *names, axis=1) if len(names) > 1 else names[0]
        # onnxruntime reads None as "None", and NaN as "nan".
        is_missing = add("Equal", rows, np.array([str(missing)], dtype=object))
        fill = np.array([[str(one) for one in imputer.statistics_]], dtype=object)
        filled = add("Where", is_missing, fill, rows)
        add("Gather", filled, kept, axis=1, out=output.full_name)
        return
    dtype = _dtype_of(output)
    to = TensorProto.DOUBLE if dtype is np.float64 else TensorProto.FLOAT
    names = [add("Cast", one.full_name, to=to) for one in operator.inputs]
    rows = add("Concat", *names, axis=1) if len(names) > 1 else names[0]
    if missing is None or missing != missing or not isinstance(missing, (int, float)):
        is_missing = add("IsNaN", rows)
    else:
        is_missing = add("Equal", rows, np.array([missing], dtype))
    filled = add("Where", is_missing, imputer.statistics_[None].astype(dtype), rows)
    parts = [add("Gather", filled, kept, axis=1)]
    if imputer.add_indicator:
        features = np.asarray(imputer.indicator_.features_, np.int64)
        parts.append(add("Cast", add("Gather", is_missing, features, axis=1), to=to))
    add("Concat", *parts, axis=1, out=output.full_name)


def _shape_of_encoder(operator: Any) -> None:
    encoder: OneHotEncoder = operator.raw_operator
    _set_output(operator, len(encoder.get_feature_names_out()), FloatTensorType)


def _convert_encoder(scope: Any, operator: Any, container: Any) -> None:
    encoder: OneHotEncoder = operator.raw_operator
    add, output = _Graph(scope, container), operator.outputs[0].full_name
    columns = [
        (one, add("Gather", one.full_name, np.array([i]), axis=1))
        for one in operator.inputs
        for i in range(one.type.shape[1])
    ]
    known = [
        _one_hot(add, variable, column, categories, encoder.handle_unknown == "error")
        for (variable, column), categories in zip(columns, encoder.categories_, strict=True)
    ]
    if encoder.drop is None and encoder.min_frequency is None and encoder.max_categories is None:
        add("Concat", *known, axis=1, out=output)
        return
    # The encoding is a sum over the features. For each, the encoder itself shows what a category
    # adds to the encoding of the first categories, whether it is dropped, infrequent or unknown.
    base, additions, unknown = _additions(encoder)
    total = add("Identity", base)
    for is_known, addition, of_unknown in zip(known, additions, unknown, strict=True):
        part = add("MatMul", is_known, addition)
        n_known = add("ReduceSum", is_known, np.array([1]), keepdims=1)
        is_unknown = add("Sub", np.ones((1, 1), np.float32), n_known)
        total = add("Add", add("Add", total, part), add("MatMul", is_unknown, of_unknown))
    add("Identity", total, out=output)


def _one_hot(
    add: _Graph, variable: Any, column: str, categories: NDArray[Any], strict: bool
) -> str:
    """Which of its categories (n, k) a column (n, 1) is."""
    options: dict[str, Any] = {"zeros": int(not strict), "op_domain": "ai.onnx.ml", "op_version": 1}
    if _is_text(variable):
        texts = [str(one).encode() for one in categories]
        encoded = add("OneHotEncoder", column, cats_strings=texts, **options)
    elif isinstance(variable.type, Int64TensorType) and not _is_nan(categories).any():
        numbers = categories.astype(np.int64)
        encoded = add("OneHotEncoder", column, cats_int64s=numbers, **options)
    else:
        # The operator has no categories that are floats.
        dtype = _dtype_of(variable)
        to = TensorProto.DOUBLE if dtype is np.float64 else TensorProto.FLOAT
        column = add("Cast", column, to=to)
        equal = add("Equal", column, categories.astype(dtype)[None])
        missing = add("And", add("IsNaN", column), _is_nan(categories)[None])
        return add("Cast", add("Or", equal, missing), to=TensorProto.FLOAT)
    return add("Reshape", encoded, np.array([-1, len(categories)]))


def _is_nan(categories: NDArray[Any]) -> NDArray[np.bool_]:
    return np.array([isinstance(one, float) and one != one for one in categories.tolist()])


def _additions(
    encoder: OneHotEncoder,
) -> tuple[NDArray[Any], list[NDArray[Any]], list[NDArray[Any]]]:
    """The encoding (1, n) of the first categories, what each category adds (k, n), and what an
    unknown value adds (1, n).
    """
    encoder = copy.deepcopy(encoder).set_output(transform="default")
    vars(encoder).pop("feature_names_in_", None)
    first = np.empty((1, len(encoder.categories_)), dtype=object)
    first[0] = [categories[0] for categories in encoder.categories_]

    def encode(column: int, values: Any) -> NDArray[Any]:
        rows = np.repeat(first, len(values), axis=0)
        rows[:, column] = values
        encoded = encoder.transform(rows)
        dense = encoded.toarray() if hasattr(encoded, "toarray") else encoded
        return np.asarray(dense, np.float32)

    base = encode(0, first[:, 0])
    additions, unknown = [], []
    for column, categories in enumerate(encoder.categories_):
        additions.append(encode(column, categories) - base)
        of_unknown = np.zeros_like(base)
        if encoder.handle_unknown != "error":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                of_unknown = encode(column, [_another(categories)]) - base
        unknown.append(of_unknown)
    return base, additions, unknown


def _another(categories: NDArray[Any]) -> Any:
    """A value of the same kind that is not among the categories."""
    values = [one for one in categories.tolist() if one is not None and one == one]
    if values and not isinstance(values[0], str):
        return max(values) + 1
    return "_" + "".join(map(str, values))


Conversion = Callable[[Any, Any, Any], None]
CONVERTERS: dict[type[Any], Conversion] = {
    SimpleImputer: _convert_imputer,
    OneHotEncoder: _convert_encoder,
}
SHAPES: dict[type[Any], Callable[[Any], None]] = {
    SimpleImputer: _shape_of_imputer,
    OneHotEncoder: _shape_of_encoder,
}
