"""Run an exported model by ONNX Runtime, as a module that gives what the torch model gives."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from kdpipe.anatomy.formats import ANSWERS, GRAPH
from kdpipe.errors import ModelError


class OnnxModel(nn.Module):
    """The graph of an exported folder.

    Args:
        folder: the folder.
        order: the graph's output for each label of a dataset; None where they are as they are.
        threads: processor threads; by default as many as torch has.

    Attributes:
        inputs: the names of the graph's inputs.
        outputs: the names of its outputs.
    """

    def __init__(self, folder: Path, order: list[int] | None = None, threads: int | None = None) -> None:
        super().__init__()
        self.name_or_path, self.order = str(folder), order
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(folder / GRAPH, options, ["CPUExecutionProvider"])
        except Exception as error:
            # ONNX Runtime has no common class of its errors.
            raise ModelError(f"{folder / GRAPH}: ONNX Runtime cannot load it: {error}") from None
        self.inputs = [each.name for each in self.session.get_inputs()]
        self.outputs = [each.name for each in self.session.get_outputs()]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Return the first output for a batch [B, L]; starts and ends of answers as two logits [B, L, 2]."""
        # A batch of single texts has no segments.
        segments = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": segments}
        outputs = self.run({name: given[name] for name in self.inputs})
        logits = torch.stack(outputs, -1) if tuple(self.outputs) == ANSWERS else outputs[0]
        return logits if self.order is None else logits[..., self.order]

    def run(self, inputs: dict[str, Any]) -> list[Tensor]:
        """Return all outputs of the graph."""
        arrays = {name: np.asarray(inputs[name], dtype=np.int64) for name in self.inputs}
        return [torch.from_numpy(output) for output in self.session.run(self.outputs, arrays)]
