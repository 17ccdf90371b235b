"""The ONNX graph of a model: its outputs for token ids of any number of texts and any length."""

import copy
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim
from transformers import PreTrainedModel

from kdpipe.anatomy.families import longest_input, shape_of
from kdpipe.anatomy.formats import ANSWERS, LOGITS, STATES
from kdpipe.environment import silenced
from kdpipe.models.family import family_of

OPSET = 18
# A file of ONNX cannot be larger than 2 GB: the weights of a larger model go into a file beside it.
WHOLE_BYTES = 2_000_000_000
# The lengths of the traced texts: tracing would take the number of texts, or their length, for the same as
# another size that is equal.
TRACED = (13, 7, 11, 5, 3)
# What exporters write into a node: the modules that it is of, from the model to the innermost, as a list.
SCOPES = "pkg.torch.onnx.name_scopes"
# Loggers that tell how a graph comes about.
TALKATIVE = ("onnxscript", "onnx_ir", "torch.onnx", "torch.export")


class Outputs(nn.Module):
    """A model that takes its inputs in order, and returns tensors alone.

    Args:
        model: a model of a family in the catalog.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        family = family_of(model)
        self.model, self.run, self.inputs = model, family.run, family.inputs
        self.outputs = output_names(model)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for the family's inputs [B, L]: logits, or the states of a body [B, L, H]."""
        output = self.run(self.model, {name: inputs[place] for place, name in enumerate(self.inputs)})
        return tuple(output[name] for name in self.outputs)


def output_names(model: PreTrainedModel) -> tuple[str, ...]:
    """Return the names of a model's outputs."""
    if model.base_model is model:
        return STATES
    return ANSWERS if type(model).__name__.endswith("ForQuestionAnswering") else LOGITS


def write_graph(model: PreTrainedModel, file: Path) -> None:
    """Write a model as an ONNX graph whose texts may be of any number and length.

    Weights above 2 GB lie in a file beside the graph. Every node has the name of the module that it is of.

    Args:
        model: the model, on the processor and in evaluation mode.
        file: the graph's file.

    Reference:
        The ONNX specification, opset 18; its files are protocol buffers, which end at 2 GB.
    """
    model = copy.deepcopy(model)
    # Attention as written in the formula: others have branches on the mask, which a graph cannot have.
    model.set_attn_implementation("eager")
    model.config.use_cache = False
    outputs, length, texts = Outputs(model), {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, example_batch(model)
    # Nobody can act on what the exporter tells of its steps.
    with silenced(*TALKATIVE), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            outputs,
            tuple(texts[name] for name in outputs.inputs),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(outputs.inputs),
            output_names=list(outputs.outputs),
            dynamic_shapes={"inputs": tuple(length for _ in outputs.inputs)},
            verbose=False,
        )
        size = sum(weight.numel() * weight.element_size() for weight in model.state_dict().values())
        assert program is not None
        for node in program.model.graph.all_nodes():
            # Other notes have the folders of this machine.
            for key in {*node.metadata_props} - {SCOPES}:
                del node.metadata_props[key]
        program.save(file, external_data=size > WHOLE_BYTES)


def example_batch(
    model: PreTrainedModel, lengths: tuple[int, ...] = TRACED, seed: int = 0
) -> dict[str, Tensor]:
    """Return a batch of random tokens [B, L], padded on the right, with all inputs of the model's family."""
    family = family_of(model)
    longest = longest_input(shape_of(model.config.model_type, model.config.to_dict()), "token_classification")
    lengths = tuple(min(length, longest or length) for length in lengths)
    tokens = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    vocabulary = getattr(model.config, family.shape_fields["vocabulary"])
    padding: Any = getattr(model.config, "pad_token_id", None) or 0
    ids = torch.randint(vocabulary, tokens.shape, generator=torch.Generator().manual_seed(seed))
    # A text does not end with padding, as a causal model reads its last other token.
    ids[ids == padding] = (padding + 1) % vocabulary
    made = {
        "input_ids": torch.where(tokens, ids, padding),
        "attention_mask": tokens.long(),
        "token_type_ids": torch.zeros_like(ids),
    }
    return {name: made[name] for name in family.inputs}
