"""The formats of an exported model: its graph in float32, in float16, or with 8 bits for each number."""

import ast
from collections.abc import Callable, Collection
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quant_pre_process, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16

from kdpipe.anatomy.formats import WEIGHTS, ExportFormat
from kdpipe.environment import silenced
from kdpipe.exporting.graph import SCOPES, WHOLE_BYTES
from kdpipe.models.int8 import TABLE_BITS

# Operators whose weights become int8 for the products with integers.
MULTIPLIED = ["MatMul", "Gemm"]
# ONNX Runtime runs it in float32 and float64 alone on a processor.
ONLY_FLOAT = ["GRU"]


def as_float(graph: Path, file: Path, kept: Collection[str]) -> None:
    """Write a graph in float32 as it is."""
    _save(onnx.load(graph), file)


def as_half(graph: Path, file: Path, kept: Collection[str]) -> None:
    """Write a graph that computes in float16, with inputs and outputs as they were."""
    options = {"keep_io_types": True, "disable_shape_infer": True, "op_block_list": ONLY_FLOAT}
    _save(convert_float_to_float16(onnx.load(graph), **options), file)


def as_int8(graph: Path, file: Path, kept: Collection[str]) -> None:
    """Write a graph with int8 weights of linear layers and of tables of embeddings.

    Weights of linear layers have 7 bits, so that sums do not overflow on processors without VNNI, and a scale
    for each output. Tables have 8 bits, and a scale for each row. Activations become int8 as the graph runs,
    with a scale for each batch.

    Args:
        graph: the graph in float32.
        file: where the other graph goes.
        kept: modules whose weights stay in float.

    Reference:
        ONNX Runtime, Quantize ONNX Models (onnxruntime.ai/docs): dynamic quantization, `reduce_range`. Its
        own tables have one scale, by which a single large row would round all others away.
    """
    external = graph.with_name(f"{graph.name}{WEIGHTS}").exists()
    with TemporaryDirectory(dir=file.parent) as folder, silenced(""):
        # It would ask for what was done before.
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / "made.onnx"
        quant_pre_process(graph, prepared, skip_symbolic_shape=True, save_as_external_data=external)
        model = onnx.load(prepared)
        _quantize_tables(model.graph, kept)
        _save(model, prepared, scopes=True)
        quantize_dynamic(
            prepared,
            made,
            op_types_to_quantize=MULTIPLIED,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=external,
            nodes_to_exclude=_apart(model.graph, kept),
        )
        _save(onnx.load(made), file)


# Writes a graph of a format: the graph in float32, the file, and modules that stay in float.
WRITERS: dict[ExportFormat, Callable[[Path, Path, Collection[str]], None]] = {
    "onnx": as_float,
    "onnx_fp16": as_half,
    "onnx_int8": as_int8,
}


def _quantize_tables(graph: onnx.GraphProto, kept: Collection[str]) -> None:
    """Give tables that rows are taken of int8 entries, and a scale for each row."""
    weights = {weight.name: weight for weight in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        table = weights.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or not _is_table(table) or _modules(node) & {*kept}:
            nodes.append(node)
            continue
        integers, scales = f"{node.name}_int8", f"{node.name}_scales"
        graph.initializer.extend(_rounded(numpy_helper.to_array(table), integers, scales))
        rows, floats_of, steps = (f"{node.name}_{part}" for part in ("rows", "floats", "steps"))
        ids = node.input[1]
        nodes += [
            helper.make_node("Gather", [integers, ids], [rows], rows, axis=0),
            helper.make_node("Cast", [rows], [floats_of], floats_of, to=onnx.TensorProto.FLOAT),
            helper.make_node("Gather", [scales, ids], [steps], steps, axis=0),
            helper.make_node("Mul", [floats_of, steps], list(node.output), f"{node.name}_product"),
        ]
    graph.ClearField("node")
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    left = [weight for weight in graph.initializer if weight.name in used]
    graph.ClearField("initializer")
    graph.initializer.extend(left)


def _is_table(weight: onnx.TensorProto) -> bool:
    floats = weight.data_type == onnx.TensorProto.FLOAT
    return floats and len(weight.dims) == 2 and 0 not in weight.dims


def _rounded(table: NDArray[np.float32], *names: str) -> list[onnx.TensorProto]:
    """Return the integers of a table, and the scale of each row, under some names."""
    most = 2 ** (TABLE_BITS - 1)
    scales = np.maximum(np.abs(table).max(1, keepdims=True) / (most - 0.5), np.finfo(np.float32).eps)
    integers = np.clip(np.round(table / scales), -most, most - 1).astype(np.int8)
    arrays = zip((integers, scales.astype(np.float32)), names, strict=True)
    return [numpy_helper.from_array(array, name) for array, name in arrays]


def _apart(graph: onnx.GraphProto, kept: Collection[str]) -> list[str]:
    """Return the names of nodes whose weights stay in float, or are none, as all their units are gone."""
    empty = {weight.name for weight in graph.initializer if 0 in weight.dims}
    apart = [node.name for node in graph.node if _modules(node) & {*kept} or empty & {*node.input}]
    # ONNX Runtime makes a `MatMul` of a `Gemm` first, and gives it this name.
    return [*apart, *(f"{name}_MatMul" for name in apart)]


def _modules(node: onnx.NodeProto) -> set[str]:
    """Return the names of the modules that a node is of; the model itself is `model` in a traced graph."""
    scopes = next((prop.value for prop in node.metadata_props if prop.key == SCOPES), "[]")
    return {str(name).removeprefix("model.") for name in ast.literal_eval(scopes)}


def _save(model: onnx.ModelProto, file: Path, scopes: bool = False) -> None:
    """Write a graph, and weights above 2 GB into a file beside it.

    Without `scopes`, nodes no longer say which modules they are of.
    """
    if not scopes:
        _separate_sums(model.graph)
        for node in model.graph.node:
            node.ClearField("metadata_props")
    size = sum(len(weight.raw_data) for weight in model.graph.initializer)
    place = f"{file.name}{WEIGHTS}" if size > WHOLE_BYTES else None
    onnx.save_model(model, file, save_as_external_data=place is not None, location=place)


def _separate_sums(graph: onnx.GraphProto) -> None:
    """Keep sums and the norms that follow them apart.

    ONNX Runtime takes one step of an `Add` and a norm, which on a processor takes longer than both.
    It leaves a `Sum` as it is.
    """
    normed = {node.input[0] for node in graph.node if node.op_type == "LayerNormalization"}
    for node in graph.node:
        if node.op_type == "Add" and normed & {*node.output}:
            node.op_type = "Sum"
