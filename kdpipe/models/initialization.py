"""Weights that a checkpoint lacks, each layer's drawn from a seed of its own."""

from collections.abc import Collection

import torch
from torch import nn
from transformers import PreTrainedModel

from kdpipe.seeds import HEAD, draw_seed


def draw_weights(model: PreTrainedModel, names: Collection[str], seed: int) -> None:
    """Draw some of a model's parameters as its class does for an untrained model.

    What a layer draws depends on the seed and its name alone: not on what else was missing, nor on how many
    blocks lie below. Call it where the global generator may be changed.

    Args:
        model: the model.
        names: the parameters to draw; all others stay as they are.
        seed: seed of the draws.
    """
    for name, parameter in model.named_parameters():
        # What the initialisers of transformers go by.
        parameter._is_hf_initialized = name not in names  # type: ignore[attr-defined]
    with torch.no_grad():
        _draw(model, model, "", names, seed)


def _draw(module: nn.Module, owner: PreTrainedModel, path: str, names: Collection[str], seed: int) -> None:
    """Initialise a module after its parts, as the model that it is a part of prescribes."""
    if isinstance(module, PreTrainedModel):
        owner = module
    for name, child in module.named_children():
        _draw(child, owner, f"{path}{name}.", names, seed)
    if any(name.startswith(path) for name in names):
        torch.manual_seed(draw_seed(seed, f"{HEAD} {path}"))
        owner._init_weights(module)
