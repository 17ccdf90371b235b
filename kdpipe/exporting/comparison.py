"""How far the outputs of an exported model are from the outputs of the torch model that it was made of."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdpipe.anatomy.formats import TOLERANCES, ExportFormat
from kdpipe.errors import ModelError
from kdpipe.exporting.graph import Outputs, example_batch
from kdpipe.exporting.session import OnnxModel

# What to do about outputs that differ by more.
REMEDIES = {
    "onnx_fp16": "; numbers of the model may be too large for float16, so export it as onnx",
    "onnx_int8": "; `quantize` the model with a `tolerance`, and export the int8 model",
}
# The lengths of the texts of each batch; the traced batch has another number of texts, and another length.
COMPARED = ((17, 6, 9, 2), (1,), (12, 12))


def check_equal(model: PreTrainedModel, folder: Path, format: ExportFormat) -> float:
    """Return how far the outputs of an exported folder are from the model's, as of `distance`.

    Raises:
        ModelError: they are farther than the tolerance of the format.
    """
    found = distance(model, OnnxModel(folder))
    if not found <= TOLERANCES[format]:
        raise ModelError(
            f"{folder}: the outputs of {format} differ from the torch model's by {found:.2g} of their size; "
            f"expected at most {TOLERANCES[format]:g}{REMEDIES.get(format, '')}"
        )
    return found


@torch.no_grad()
def distance(model: PreTrainedModel, exported: OnnxModel) -> float:
    """Return the root mean square of the differences of outputs, as a share of the size of the outputs.

    Texts are random tokens; padding does not count.

    Args:
        model: the torch model, on the processor.
        exported: the same model as ONNX Runtime runs it.
    """
    pairs = [pair for lengths in COMPARED for pair in _outputs(model, exported, lengths)]
    expected = torch.cat([output.flatten() for output, _ in pairs])
    found = torch.cat([output.flatten() for _, output in pairs])
    return float((found - expected).double().norm() / expected.double().norm().clamp(min=1e-12))


def _outputs(
    model: PreTrainedModel, exported: OnnxModel, lengths: tuple[int, ...]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each output of a batch by both, at the real tokens where there is one for each token."""
    batch = example_batch(model, lengths)
    real = batch["attention_mask"].bool()
    expected = Outputs(model)(*batch.values())
    for ours, theirs in zip(expected, exported.run(batch), strict=True):
        by_token = ours.shape[:2] == real.shape
        yield (ours[real], theirs[real]) if by_token else (ours, theirs)
