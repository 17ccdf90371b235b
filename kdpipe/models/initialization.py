"""Draws of the weights that a checkpoint lacks; each layer has a seed of its own."""

from collections.abc import Collection

import torch
from torch import nn
from transformers import PreTrainedModel

from kdpipe.seeds import HEAD, draw_seed


def draw_weights(model: PreTrainedModel, names: Collection[str], seed: int) -> None:
    """Draw some of a model's parameters as its class does for an untrained model.

    The draws of a layer depend only on the seed and the layer's name, not on other missing weights or on the
    number of blocks. The function changes the global generator.

    Args:
        model: the model.
        names: the parameters to draw; all others stay as they are.
        seed: seed of the draws.
    """
    for name, parameter in model.named_parameters():
        # The initializers of transformers skip parameters with this mark.
        parameter._is_hf_initialized = name not in names  # type: ignore[attr-defined]
    with torch.no_grad():
        _draw(model, model, "", names, seed)


def _draw(module: nn.Module, owner: PreTrainedModel, path: str, names: Collection[str], seed: int) -> None:
    """Initialize a module after its parts, by the rules of the model around it."""
    if isinstance(module, PreTrainedModel):
        owner = module
    for name, child in module.named_children():
        _draw(child, owner, f"{path}{name}.", names, seed)
    if any(name.startswith(path) for name in names):
        torch.manual_seed(draw_seed(seed, f"{HEAD} {path}"))
        owner._init_weights(module)
