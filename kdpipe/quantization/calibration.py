"""The scales of what layers read, by the largest number that each layer reads of some texts."""

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kdpipe.models.family import family_of
from kdpipe.models.int8 import ACTIVATION_BITS, scale_of

Batches = Iterable[Mapping[str, Any]]


@torch.inference_mode()
def input_scales(model: PreTrainedModel, layers: Collection[str], batches: Batches) -> dict[str, float]:
    """Return the scale of the inputs of each linear map, so that no number of the texts is too large.

    Args:
        model: a model in float.
        layers: names of layers; tables of embeddings, which read ids, are left out.
        batches: batches of the model's inputs [B, L].

    Reference:
        Wu et al. 2020, Integer Quantization for Deep Learning Inference (arXiv 2004.09602), section 4: max
        calibration.
    """
    largest: dict[str, Tensor] = {}

    def note(name: str, module: Any, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].is_floating_point():
            largest[name] = torch.maximum(largest.get(name, torch.zeros(())), inputs[0].abs().max())

    handles = [model.get_submodule(name).register_forward_pre_hook(partial(note, name)) for name in layers]
    for batch in batches:
        run(model, batch)
    for handle in handles:
        handle.remove()
    scales = {name: scale_of(value, ACTIVATION_BITS, per_row=False) for name, value in largest.items()}
    return {name: float(scale) for name, scale in scales.items()}


def run(model: PreTrainedModel, batch: Mapping[str, Any]) -> Any:
    """Return the transformers output of a model on a batch."""
    family = family_of(model)
    return family.run(model, {name: batch[name] for name in family.inputs if name in batch})
