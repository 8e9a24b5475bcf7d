"""A pipeline around an embedding as one ONNX graph: the steps of scikit-learn by skl2onnx."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from ..estimators import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding
from ._onnx_check import (
    check_codes,
    columns_of,
    dense,
    difference_of_codes,
    difference_of_predictions,
    refusal,
    run,
)
from ._onnx_neighbors import Votes
from ._onnx_steps import CONVERTERS, SHAPES

#: From a module, its input, and the names of input and output to a graph.
Exporter = Callable[[nn.Module, Tensor, str, str], onnx.ModelProto]
Steps = list[tuple[str, Any]]
Types = list[tuple[str, Any]]

#: Names within a graph, which no input can have.
_TAKEN = {"codes", "label", "probabilities", "rows", "code_rows", "last_rows", "variable"}


def graph_of_pipeline(
    pipeline: Pipeline,
    X: Any,
    input_dtype: str,
    export: Exporter,
    graph_of_embedding: Callable[[Any, torch.dtype, str], onnx.ModelProto],
) -> onnx.ModelProto:
    """One graph for all steps, which gives what the pipeline gives for the samples `X`.

    Raises
    ------
    ValueError
        If there is not one embedding among the steps, or a step cannot be exported.
    """
    steps = [step for step in pipeline.steps if step[1] not in (None, "passthrough")]
    kinds = SNNLEmbedding, TripletEmbedding
    places = [i for i, (_, step) in enumerate(steps) if isinstance(step, kinds)]
    if len(places) != 1:
        raise ValueError(f"The pipeline must contain one embedding of sknca, got {pipeline!r}.")
    (place,) = places
    (name, embedding), after = steps[place], steps[place + 1 :]

    if place:
        types = _types_of_inputs(pipeline, X, input_dtype)
        try:
            first = _graph_of_steps(steps[:place], types, X)
        except ValueError as refused:
            if hasattr(pipeline, "feature_names_in_") and not hasattr(X, "columns"):
                raise ValueError(
                    "The pipeline was fitted on a table. Pass some of its rows to export_onnx, as "
                    f"X=table, to export it with one input for each column. Without X: {refused}"
                ) from refused
            raise
        (output,) = first.graph.output
        double = output.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE
        dtype = torch.float64 if double else torch.float32
        graph = _joined(first, graph_of_embedding(embedding, dtype, "rows"), output.name, "rows")
    else:
        dtype = torch.float32 if input_dtype == "float32" else torch.float64
        graph = graph_of_embedding(embedding, dtype, "X")
    error = check_codes(graph, Pipeline(steps[: place + 1]), X, name)
    if after:
        last, step = after[-1]
        try:
            behind = _graph_of_codes(embedding._n_features_out, after, export)
            graph = _joined(graph, behind, "codes", behind.graph.input[0].name)
            outputs = run(graph, X)
        except Exception as reason:
            raise refusal(last, step, reason) from reason
        difference = outputs and difference_of_predictions(outputs, Pipeline(steps), X, error)
        if difference:
            raise refusal(last, step, difference)
    onnx.checker.check_model(graph)
    return graph


def _graph_of_steps(steps: Steps, types: Types, X: Any) -> onnx.ModelProto:
    """The graph of the steps before the embedding.

    Raises
    ------
    ValueError
        If a step cannot be exported. It is the first such step that is named.
    """
    expected = None if X is None or len(X) == 0 else dense(Pipeline(steps).transform(X))
    reason: Any
    try:
        graph = _with_floats(_converted(Pipeline(steps), types))
        outputs = run(graph, X)
        reason = outputs and difference_of_codes(outputs[0], expected)
    except Exception as error:
        reason = error
    if not reason:
        return graph
    if len(steps) > 1:
        _graph_of_steps(steps[:-1], types, X)
    name, last = steps[-1]
    if isinstance(last, ColumnTransformer):
        _check_transformers(steps, types, X, expected)
    raise refusal(name, last, reason) from (reason if isinstance(reason, Exception) else None)


def _check_transformers(steps: Steps, types: Types, X: Any, expected: NDArray[Any] | None) -> None:
    """Refuse the first transformer that the graph of the last step would not contain correctly."""
    name, whole = steps[-1]
    for inner, transformer, columns in whole.transformers_:
        if isinstance(transformer, str):
            continue
        alone = copy.copy(whole)
        alone.transformers_ = [(inner, transformer, columns)]
        reason: Any = ""
        try:
            graph = _with_floats(_converted(Pipeline([*steps[:-1], (name, alone)]), types))
            outputs = run(graph, X)
            if expected is not None:
                of_inner = expected[:, whole.output_indices_[inner]]
                reason = difference_of_codes(outputs[0], of_inner)
        except Exception as error:
            reason = error
        if reason:
            raise refusal(f"{name}__{inner}", transformer, reason)


def _graph_of_codes(width: int, after: Steps, export: Exporter) -> onnx.ModelProto:
    """The graph of the steps after the embedding, from codes."""
    from skl2onnx.common.data_types import FloatTensorType

    types: Types = [("code_rows", FloatTensorType([None, width]))]
    last = after[-1][1]
    if isinstance(last, SoftNeighborsClassifier):
        probabilities: nn.Module = _Probabilities(last)
    elif type(last) is KNeighborsClassifier and Votes.can_count(last):
        probabilities = Votes(last)
    else:
        return _converted(Pipeline(after), types)
    rows = torch.zeros(2, last.n_features_in_, dtype=torch.float32, device="cpu")
    if len(after) == 1:
        return _with_label(export(probabilities, rows, "code_rows", "probabilities"), last.classes_)
    between = _with_floats(_converted(Pipeline(after[:-1]), types), onnx.TensorProto.FLOAT)
    graph = export(probabilities, rows, "last_rows", "probabilities")
    graph = _with_label(graph, last.classes_)
    return _joined(between, graph, between.graph.output[0].name, "last_rows")


def _with_label(graph: onnx.ModelProto, classes: NDArray[Any]) -> onnx.ModelProto:
    """The graph with one more output, the class of the largest probability."""
    if classes.dtype.kind in "UO":
        classes = np.array([str(label) for label in classes], dtype=object)
    values = onnx.numpy_helper.from_array(classes, "classes")
    graph.graph.initializer.append(values)
    graph.graph.node.extend(
        [
            onnx.helper.make_node("ArgMax", ["probabilities"], ["place"], axis=1, keepdims=0),
            onnx.helper.make_node("Gather", ["classes", "place"], ["label"]),
        ]
    )
    label = onnx.helper.make_tensor_value_info("label", values.data_type, ["n_samples"])
    graph.graph.output.insert(0, label)
    return graph


class _Probabilities(nn.Module):
    """The probability of each class, from codes."""

    def __init__(self, classifier: SoftNeighborsClassifier) -> None:
        super().__init__()
        self.of = classifier._class_probabilities(np.float32)

    def forward(self, codes: Tensor) -> Tensor:
        return self.of.log_of_block(codes).exp()


def _types_of_inputs(pipeline: Pipeline, X: Any, dtype: str) -> Types:
    """Names and types of the inputs: a matrix "X", or each column of a table."""
    from skl2onnx.common import data_types

    float_ = data_types.FloatTensorType if dtype == "float32" else data_types.DoubleTensorType
    if not hasattr(X, "columns"):
        return [("X", float_([None, pipeline.n_features_in_]))]
    columns = columns_of(X)
    taken = sorted(_TAKEN & columns.keys())
    if taken:
        raise ValueError(
            f"X has columns named {taken}. Each column is an input of the graph, which has another "
            "use for these names. Rename the columns before fit."
        )
    kinds = dict.fromkeys("biu", data_types.Int64TensorType) | {"f": float_}
    return [
        (name, kinds.get(values.dtype.kind, data_types.StringTensorType)([None, 1]))
        for name, values in columns.items()
    ]


def _converted(pipeline: Pipeline, types: Types) -> onnx.ModelProto:
    from skl2onnx import convert_sklearn

    pipeline = _with_places(pipeline)
    last = pipeline.steps[-1][1]
    options = {id(last): {"zipmap": False}} if hasattr(last, "predict_proba") else None
    graph: onnx.ModelProto = convert_sklearn(
        pipeline,
        initial_types=types,
        options=options,
        target_opset={"": 20, "ai.onnx.ml": 3},
        custom_conversion_functions=CONVERTERS,
        custom_shape_calculators=SHAPES,
    )
    # skl2onnx replaces every character of a column's name that is not a letter, digit or "_".
    entries = zip(graph.graph.input, types, strict=True)
    names = {entry.name: name for entry, (name, _) in entries if entry.name != name}
    for entry in graph.graph.input:
        entry.name = names.get(entry.name, entry.name)
    _rename_entries(graph.graph, names)
    return graph


def _with_places(step: Any) -> Any:
    """The step with columns by their places if skl2onnx cannot read, or misreads, how they are
    chosen: by a mask, by names from one to another, or counted from the end.
    """
    step = copy.copy(step)
    if isinstance(step, Pipeline):
        step.steps = [(name, _with_places(one)) for name, one in step.steps]
    elif isinstance(step, ColumnTransformer):
        places = step._transformer_to_input_indices
        step.transformers_ = [
            (name, _with_places(one), list(places[name]) if _is_misread(columns) else columns)
            for name, one, columns in step.transformers_
        ]
    return step


def _is_misread(columns: Any) -> bool:
    if isinstance(columns, slice):
        return True
    chosen = columns.tolist() if hasattr(columns, "tolist") else columns
    return isinstance(chosen, (list, tuple)) and any(
        isinstance(one, (bool, np.bool_)) or (isinstance(one, (int, np.integer)) and one < 0)
        for one in chosen
    )


def _rename_entries(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename what the operators of a graph, and of the graphs in it, read."""
    for node in graph.node:
        node.input[:] = [names.get(entry, entry) for entry in node.input]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _rename_entries(attribute.g, names)


def _with_floats(graph: onnx.ModelProto, kind: int | None = None) -> onnx.ModelProto:
    """The graph with an output of floats: of `kind`, if it is given."""
    (output,) = graph.graph.output
    tensor = output.type.tensor_type
    floats = [kind] if kind else [onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE]
    if tensor.elem_type not in floats:
        cast = onnx.helper.make_node("Cast", [output.name], [f"{output.name}_cast"], to=floats[0])
        graph.graph.node.append(cast)
        output.name, tensor.elem_type = cast.output[0], floats[0]
    return graph


def _joined(
    first: onnx.ModelProto, second: onnx.ModelProto, output: str, entry: str
) -> onnx.ModelProto:
    """One graph, in which the output of the first is the input of the second."""
    # Two exporters write two versions of the format; the older is sufficient.
    ir_version = min(first.ir_version, second.ir_version)
    opsets = {one.domain: one.version for model in (first, second) for one in model.opset_import}
    for model in (first, second):
        model.ir_version = ir_version
        del model.opset_import[:]
        model.opset_import.extend(onnx.helper.make_opsetid(*opset) for opset in opsets.items())
    # Both graphs may contain the same internal names.
    first, second = (
        onnx.compose.add_prefix(model, prefix, rename_inputs=False, rename_outputs=False)
        for model, prefix in ((first, f"{output}_"), (second, f"{entry}_"))
    )
    joined: onnx.ModelProto = onnx.compose.merge_models(first, second, io_map=[(output, entry)])
    return joined
