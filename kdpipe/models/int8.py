"""Layers with int8 weights: linear maps, whose inputs are rounded as they run, and tables of embeddings.

The `quantization_config` of a saved model's config tells transformers which layers these are: the model loads
with the Auto classes once `kdpipe.models` is imported.

Integers are multiplied as float32 numbers. Sums below 2^24 are exact, whatever their order, so that they do
not depend on a processor's instructions.

References:
    Wu et al. 2020, Integer Quantization for Deep Learning Inference (arXiv 2004.09602), section 3. Weights
    and the inputs of calibrated layers are symmetric around 0; other inputs have 8 bits from their least.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.quantizers.base import HfQuantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

METHOD = "kdpipe_int8"
# The layers that may have int8 weights.
LAYERS = (nn.Linear, nn.Embedding, Conv1D)
# Bits of weights that are multiplied with activations: one less than eight, so that pairs of products do not
# overflow 16 bits where a runtime multiplies integers without VNNI. Tables are not multiplied.
WEIGHT_BITS, ACTIVATION_BITS, TABLE_BITS = 7, 8, 8


def scale_of(values: Tensor, bits: int, per_row: bool) -> Tensor:
    """Return the step between two integers, for each row [N, 1] or for all values [1, 1]."""
    sizes = values.abs()
    largest = sizes.amax(-1, keepdim=True) if per_row else sizes.amax().reshape(1, 1)
    scale: Tensor = (largest / ((2**bits - 1) / 2)).clamp(min=torch.finfo(torch.float32).eps)
    return scale


def rounded(values: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Return the integers nearest to values in steps of a scale, as floating-point numbers."""
    return (values * scale.reciprocal()).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def rounded_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the integers nearest to values, in 8 bits from the least of each row, and the step [..., 1]."""
    low, high = values.amin(-1, keepdim=True).clamp(max=0), values.amax(-1, keepdim=True).clamp(min=0)
    most = 2**ACTIVATION_BITS - 1
    step = ((high - low) / most).clamp(min=torch.finfo(torch.float32).eps)
    least = (low * step.reciprocal()).round()
    return (values * step.reciprocal()).round().clamp(least, least + most), step


class Int8Layer(nn.Module):
    """A layer with int8 weights [N, M], in steps of a scale for each row [N, 1] or for all [1, 1]."""

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, rows: int, columns: int, per_channel: bool) -> None:
        super().__init__()
        self.register_buffer("weight", torch.empty(rows, columns, dtype=torch.int8))
        self.register_buffer("weight_scale", torch.empty(rows if per_channel else 1, 1))

    def fill(self, weight: Tensor, bits: int) -> None:
        """Take the weights of a layer in float."""
        self.weight_scale.copy_(scale_of(weight, bits, per_row=len(self.weight_scale) == len(weight)))
        self.weight.copy_(rounded(weight, self.weight_scale, bits).to(torch.int8))

    @property
    def floats(self) -> Tensor:
        """The weights as floating-point numbers."""
        return self.weight.float() * self.weight_scale


class Int8Linear(Int8Layer):
    """A linear map with int8 weights and activations.

    Args:
        inputs: width of its inputs.
        outputs: width of its outputs.
        bias: whether it has a bias, which stays in float.
        per_channel: whether each output has a scale of its own.
        static: whether all inputs have one scale; else each row of inputs has its own.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool, per_channel: bool, static: bool) -> None:
        super().__init__(outputs, inputs, per_channel)
        self.bias = nn.Parameter(torch.empty(outputs), requires_grad=False) if bias else None
        self.input_scale: Tensor | None
        self.register_buffer("input_scale", torch.empty(()) if static else None)

    def forward(self, states: Tensor) -> Tensor:
        """Return the outputs [..., N] for states [..., M]."""
        if self.input_scale is None:
            integers, step = rounded_rows(states)
        else:
            integers, step = rounded(states, self.input_scale, ACTIVATION_BITS), self.input_scale
        outputs = functional.linear(integers, self.weight.float()) * step * self.weight_scale.flatten()
        return outputs if self.bias is None else outputs + self.bias


class Int8Embedding(Int8Layer):
    """A table of embeddings with int8 entries."""

    def forward(self, ids: Tensor) -> Tensor:
        """Return the embeddings of ids [..., M]."""
        scale = self.weight_scale[ids] if len(self.weight_scale) > 1 else self.weight_scale[0]
        return functional.embedding(ids, self.weight).float() * scale


class Int8Config(QuantizationConfigMixin):
    """Which layers of a model have int8 weights.

    Args:
        layers: their names.
        per_channel: whether each row of weights has a scale of its own.
        static: whether the inputs of a layer have one scale, which was calibrated.
    """

    def __init__(self, layers: Iterable[str], per_channel: bool, static: bool, **others: Any) -> None:
        self.quant_method: Any = METHOD
        self.layers, self.per_channel, self.static = list(layers), per_channel, static


class Int8Quantizer(HfQuantizer):
    """Gives a model its int8 layers before their weights are loaded."""

    requires_calibration = True

    def _process_model_before_weight_loading(self, model: Any, **options: Any) -> None:
        config: Any = self.quantization_config
        with torch.device("meta"):
            for name in config.layers:
                model.set_submodule(name, empty_layer(model.get_submodule(name), config))

    def is_serializable(self) -> bool:
        """Tell that such a model can be saved."""
        return True

    @property
    def is_trainable(self) -> bool:
        """Whether such a model can be trained."""
        return False


def empty_layer(layer: nn.Module, config: Int8Config) -> Int8Layer:
    """Return the int8 layer, without weights yet, for a layer in float."""
    if isinstance(layer, nn.Embedding):
        return Int8Embedding(layer.num_embeddings, layer.embedding_dim, config.per_channel)
    if isinstance(layer, Conv1D):
        return Int8Linear(layer.nx, layer.nf, True, config.per_channel, config.static)
    assert isinstance(layer, nn.Linear)
    sizes = layer.in_features, layer.out_features
    return Int8Linear(*sizes, layer.bias is not None, config.per_channel, config.static)


def quantizable(model: nn.Module) -> list[str]:
    """Return the names of the layers that can have int8 weights: linear maps and embeddings with weights.

    A table that several modules share, as T5's, is left out.
    """
    found = {name: layer.weight for name, layer in model.named_modules() if isinstance(layer, LAYERS)}
    uses = Counter(map(id, found.values()))
    return [name for name, weight in found.items() if weight.numel() and uses[id(weight)] == 1]


@torch.no_grad()
def with_int8(
    model: PreTrainedModel,
    layers: Iterable[str],
    per_channel: bool = True,
    input_scales: Mapping[str, float] | None = None,
) -> PreTrainedModel:
    """Return a copy of a model in which some layers have int8 weights.

    Args:
        model: a model in float.
        layers: names of layers, as of `quantizable`.
        per_channel: whether each output of a linear map, and each row of a table, has a scale of its own.
        input_scales: the scale of the inputs of each linear map; None to take one of each row as it runs.
    """
    model = copy.deepcopy(model)
    config = Int8Config(layers, per_channel, input_scales is not None)
    for name in config.layers:
        layer: Any = model.get_submodule(name)
        quantized = empty_layer(layer, config)
        weight = layer.weight.T if isinstance(layer, Conv1D) else layer.weight
        quantized.fill(weight, TABLE_BITS if isinstance(layer, nn.Embedding) else WEIGHT_BITS)
        if isinstance(quantized, Int8Linear):
            if quantized.bias is not None:
                quantized.bias.copy_(layer.bias)
            if quantized.input_scale is not None and input_scales is not None:
                quantized.input_scale.fill_(input_scales[name])
        model.set_submodule(name, quantized)
    model.config.quantization_config = config
    model.train(False)
    return model


def int8_layers(model: nn.Module) -> list[str]:
    """Return the names of the int8 layers of a model."""
    return [name for name, layer in model.named_modules() if isinstance(layer, Int8Layer)]


def kept_layers(model: PreTrainedModel) -> list[str]:
    """Return the names of the linear maps and embeddings that a model with int8 layers has in float.

    There are none of a model without int8 layers, as nothing says that any is to stay in float.
    """
    if not is_quantized(model.config):
        return []
    return [name for name, layer in model.named_modules() if isinstance(layer, LAYERS)]


@torch.no_grad()
def with_floats(model: PreTrainedModel) -> PreTrainedModel:
    """Return a copy of a model whose int8 layers are layers in float, with the same numbers as weights."""
    model = copy.deepcopy(model)
    for name, layer in list(model.named_modules()):
        if isinstance(layer, Int8Embedding):
            table = nn.Embedding(*layer.weight.shape)
            table.weight.copy_(layer.floats)
            model.set_submodule(name, table)
        elif isinstance(layer, Int8Linear):
            outputs, inputs = layer.weight.shape
            linear = nn.Linear(inputs, outputs, bias=layer.bias is not None)
            linear.weight.copy_(layer.floats)
            if layer.bias is not None:
                linear.bias.copy_(layer.bias)
            model.set_submodule(name, linear)
    if getattr(model.config, "quantization_config", None) is not None:
        del model.config.quantization_config
    model.train(False)
    return model


def is_quantized(config: Any) -> bool:
    """Tell by a model's config whether the model has int8 layers."""
    found = getattr(config, "quantization_config", None)
    method = found.get("quant_method") if isinstance(found, Mapping) else getattr(found, "quant_method", None)
    return bool(method == METHOD)


register_quantization_config(METHOD)(Int8Config)
register_quantizer(METHOD)(Int8Quantizer)
