"""A pipeline around an embedding as one ONNX graph: the steps of scikit-learn by skl2onnx."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from ..estimators import SNNLEmbedding, SoftNeighborsClassifier, TripletEmbedding

#: From a module, its input, and the names of input and output to a graph.
Exporter = Callable[[nn.Module, Tensor, str, str], onnx.ModelProto]


def graph_of_pipeline(
    pipeline: Pipeline,
    X: Any,
    input_dtype: str,
    export: Exporter,
    graph_of_embedding: Callable[[Any, torch.dtype, str], onnx.ModelProto],
) -> onnx.ModelProto:
    """One graph for all steps.

    Raises
    ------
    ValueError
        If there is not one embedding among the steps, or skl2onnx does not know another step.
    """
    steps = [step for step in pipeline.steps if step[1] not in (None, "passthrough")]
    kinds = SNNLEmbedding, TripletEmbedding
    places = [i for i, (_, step) in enumerate(steps) if isinstance(step, kinds)]
    if len(places) != 1:
        raise ValueError(f"The pipeline must contain one embedding of sknca, got {pipeline!r}.")
    before, (_, embedding), after = steps[: places[0]], steps[places[0]], steps[places[0] + 1 :]

    if not before:
        dtype = torch.float32 if input_dtype == "float32" else torch.float64
        graph = graph_of_embedding(embedding, dtype, "X")
    else:
        first = _converted(Pipeline(before), _types_of_inputs(pipeline, X, input_dtype))
        (output,) = first.graph.output
        double = output.type.tensor_type.elem_type == onnx.TensorProto.DOUBLE
        dtype = torch.float64 if double else torch.float32
        graph = _joined(first, graph_of_embedding(embedding, dtype, "rows"), output.name, "rows")
    if after:
        behind = _graph_of_codes(embedding, after, export)
        graph = _joined(graph, behind, "codes", behind.graph.input[0].name)
    onnx.checker.check_model(graph)
    return graph


def _graph_of_codes(
    embedding: Any, after: list[tuple[str, Any]], export: Exporter
) -> onnx.ModelProto:
    """The graph of the steps after the embedding, from codes."""
    from skl2onnx.common.data_types import FloatTensorType

    (_, last), width = after[-1], embedding._n_features_out
    if not isinstance(last, SoftNeighborsClassifier):
        return _converted(Pipeline(after), [("code_rows", FloatTensorType([None, width]))])
    if len(after) > 1:
        raise ValueError("A SoftNeighborsClassifier must come directly after the embedding.")
    graph = export(_Probabilities(last), torch.zeros(2, width), "code_rows", "probabilities")
    # The label is that of the largest probability.
    classes = last.classes_
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


def _types_of_inputs(pipeline: Pipeline, X: Any, dtype: str) -> list[tuple[str, Any]]:
    """Names and types of the inputs: a matrix "X", or each column of a table."""
    from skl2onnx.common import data_types

    if not hasattr(X, "columns"):
        kind = data_types.FloatTensorType if dtype == "float32" else data_types.DoubleTensorType
        return [("X", kind([None, pipeline.n_features_in_]))]
    types = []
    for name in X.columns:
        kind = np.asarray(X[name]).dtype.kind
        made: Any = data_types.StringTensorType
        if kind in "biu":
            made = data_types.Int64TensorType
        elif kind == "f":
            float_ = data_types.FloatTensorType
            made = float_ if dtype == "float32" else data_types.DoubleTensorType
        types.append((str(name), made([None, 1])))
    return types


def _converted(pipeline: Pipeline, types: list[tuple[str, Any]]) -> onnx.ModelProto:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    last = pipeline.steps[-1][1]
    options = {id(last): {"zipmap": False}} if hasattr(last, "predict_proba") else None
    try:
        graph: onnx.ModelProto = convert_sklearn(
            pipeline, initial_types=types, options=options, target_opset={"": 20, "ai.onnx.ml": 3}
        )
    except (MissingConverter, MissingShapeCalculator) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"A step of the pipeline cannot be exported: {first}") from error
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
    second = onnx.compose.add_prefix(second, f"{entry}_", rename_inputs=False, rename_outputs=False)
    joined: onnx.ModelProto = onnx.compose.merge_models(first, second, io_map=[(output, entry)])
    return joined
