"""Training with simulated int8: linear maps round what they multiply, and learn as if they did not.

torchao simulates; it is an extra, which only such trainings need.

Reference:
    Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference (arXiv 1712.05877), section 3.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from kdpipe.errors import ModelError
from kdpipe.models.family import family_of
from kdpipe.models.int8 import quantizable, with_int8
from kdpipe.models.multitask import MultiTask

# The types of PyTorch do not list it.
WEIGHTS = torch.int7  # type: ignore[attr-defined]


def check_simulated(model: Any, folder: Path) -> None:
    """Refuse a model, of a folder, whose layers cannot be simulated, as a config may not know its family."""
    if isinstance(model, MultiTask) or not family_of(model).simulated:
        what = f"{folder} is a {type(model).__name__}, whose layers torchao does not simulate"
        raise ModelError(f"quantize: {what}; remove the setting, and quantize the trained model")


def simulate_int8(model: PreTrainedModel) -> None:
    """Let the linear maps of a model, which keep their parameters, round as int8 layers do.

    Tables of embeddings are not simulated: 8 bits for each row change little, and every step would round all.
    """
    from torchao.quantization import quantize_
    from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig

    names = {name for name in quantizable(model) if isinstance(model.get_submodule(name), nn.Linear)}
    config = QATConfig(
        activation_config=IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False),
        weight_config=IntxFakeQuantizeConfig(WEIGHTS, "per_channel", is_symmetric=True),
        step="prepare",
    )
    quantize_(model, config, lambda module, name: name in names)


def as_int8(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model with int8 layers for a model that was trained with simulated int8."""
    from torchao.quantization import quantize_
    from torchao.quantization.qat import QATConfig

    quantize_(model, QATConfig(step="convert"), lambda module, name: isinstance(module, nn.Linear))
    return with_int8(model, quantizable(model))
