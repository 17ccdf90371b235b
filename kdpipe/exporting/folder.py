"""The folder of an exported model: its graph, its config and its tokenizer."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import PreTrainedModel

from kdpipe.anatomy.formats import GRAPH, ExportFormat
from kdpipe.exporting.comparison import check_equal
from kdpipe.exporting.formats import WRITERS
from kdpipe.exporting.graph import write_graph
from kdpipe.models.int8 import kept_layers, with_floats
from kdpipe.models.loading import save_tokenizer


def export_model(
    model: PreTrainedModel,
    tokenizer: Any,
    folder: Path,
    format: ExportFormat = "onnx",
) -> float:
    """Write a model for ONNX Runtime, and compare it with the torch model.

    The folder then has `model.onnx`, config.json and the files of the tokenizer. Its graph takes any number
    of texts of any length. Layers that a model with int8 layers has in float stay so.

    Args:
        model: the model, on the processor; it is put into evaluation mode.
        tokenizer: its tokenizer.
        folder: the folder, which is made if there is none.
        format: the format.

    Returns:
        How far its outputs are from the torch model's, as a share of their size.

    Raises:
        ModelError: they are farther than the format's tolerance.
    """
    model.train(False)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as temporary:
        graph, source = Path(temporary) / GRAPH, with_floats(model)
        write_graph(source, graph)
        WRITERS[format](graph, folder / GRAPH, kept_layers(model))
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return check_equal(model, folder, format)
