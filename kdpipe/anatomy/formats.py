"""The formats of a finished model: as torch runs it, and as ONNX Runtime does."""

from typing import Literal

ExportFormat = Literal["onnx", "onnx_fp16", "onnx_int8"]
INT8: ExportFormat = "onnx_int8"
# What runs a model that is not exported.
TORCH = "torch"
# The most that the outputs of a format may differ from the torch model's, as a share of their own size: sums
# are rounded in float32 and in float16; weights and activations have 7 and 8 bits in each of several layers.
TOLERANCES: dict[ExportFormat, float] = {"onnx": 1e-4, "onnx_fp16": 1e-2, "onnx_int8": 0.5}
# The file of a graph, and the end of the name of the file with its weights, where these lie beside it.
GRAPH, WEIGHTS = "model.onnx", ".data"
# The outputs of a graph in their order: of a head for answers, of any other head, and of a body.
ANSWERS, LOGITS, STATES = ("start_logits", "end_logits"), ("logits",), ("last_hidden_state",)
# Between a model and a format, in the name of an exported model; names of models have no such sign.
JOIN = "+"


def exported(model: str, format: str) -> str:
    """Return the name of a model in a format: its own name where torch runs it."""
    return model if format == TORCH else f"{model}{JOIN}{format}"


def model_and_format(name: str) -> tuple[str, str]:
    """Return the model and the format that a name stands for."""
    model, _, format = name.partition(JOIN)
    return model, format or TORCH
