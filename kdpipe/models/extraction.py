"""A student made of some of a model's blocks."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import DistilBertConfig, PreTrainedModel

from kdpipe.draws import WEIGHTS, draw_seed
from kdpipe.errors import ModelError
from kdpipe.models.family import family_of

# Where each part of a BERT block stands in a DistilBERT block.
BLOCK = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
EMBEDDINGS = ("word_embeddings", "position_embeddings", "LayerNorm")
HEADS = {
    "BertModel": "DistilBertModel",
    "BertForMaskedLM": "DistilBertForMaskedLM",
    "BertForSequenceClassification": "DistilBertForSequenceClassification",
}


def extract_blocks(model: PreTrainedModel, blocks: Sequence[int]) -> PreTrainedModel:
    """Return a model of the same family and head with copies of some blocks.

    Args:
        model: the model to copy from.
        blocks: its blocks, from 0, in the order in which the student has them.
    """
    family = family_of(model)
    config = copy.deepcopy(model.config)
    setattr(config, family.shape_fields["depth"], len(blocks))
    student: PreTrainedModel = type(model)(config)
    ours, theirs = family.blocks(model.base_model), family.blocks(student.base_model)
    student.load_state_dict(
        {name: value for name, value in model.state_dict().items() if _outside_blocks(model, name)},
        strict=False,
    )
    for place, block in enumerate(blocks):
        theirs[place].load_state_dict(ours[block].state_dict())
    return student


def extract_distilbert(
    model: PreTrainedModel, blocks: Sequence[int], vocab_transform: bool, seed: int
) -> PreTrainedModel:
    """Return a DistilBERT with copies of some of a BERT's blocks, embeddings and head.

    Token-type embeddings and the pooler have no place in it; the second layer of a classification head
    keeps BERT's pooler's weights, which it follows with a ReLU in place of a tanh.

    Args:
        model: a BERT, with or without a head.
        blocks: its blocks, from 0.
        vocab_transform: whether the transform before the vocabulary is copied or drawn anew.
        seed: seed of what is drawn.

    Raises:
        ModelError: the model is no BERT of a kind that DistilBERT has.

    Reference:
        Sanh et al. 2019 (arXiv 1910.01108), section 3; `extract_distilbert.py` of the DistilBERT research
        code in transformers.
    """
    name = type(model).__name__
    if name not in HEADS:
        raise ModelError(
            f"expected one of {', '.join(HEADS)}, found {name}; extract with `architecture: same`"
        )
    with torch.random.fork_rng():
        torch.manual_seed(draw_seed(seed, WEIGHTS))
        student: PreTrainedModel = getattr(transformers, HEADS[name])(
            _distilbert_config(model.config, len(blocks))
        )
    copies = dict(_body_map(blocks)) | _head_map(name, vocab_transform)
    weights = model.state_dict()
    student.load_state_dict(
        {theirs: weights[ours] for ours, theirs in _with_parameters(copies, weights)}, strict=False
    )
    student.tie_weights()
    return student


def _outside_blocks(model: PreTrainedModel, name: str) -> bool:
    blocks = family_of(model).blocks(model.base_model)
    prefix = next(path for path, module in model.named_modules() if module is blocks)
    return not name.startswith(f"{prefix}.")


def _distilbert_config(config: Any, depth: int) -> DistilBertConfig:
    return DistilBertConfig(
        vocab_size=config.vocab_size,
        max_position_embeddings=config.max_position_embeddings,
        n_layers=depth,
        n_heads=config.num_attention_heads,
        dim=config.hidden_size,
        hidden_dim=config.intermediate_size,
        dropout=config.hidden_dropout_prob,
        attention_dropout=config.attention_probs_dropout_prob,
        activation=config.hidden_act,
        initializer_range=config.initializer_range,
        pad_token_id=config.pad_token_id,
        id2label=config.id2label,
        label2id=config.label2id,
    )


def _body_map(blocks: Sequence[int]) -> list[tuple[str, str]]:
    pairs = [(f"embeddings.{part}", f"embeddings.{part}") for part in EMBEDDINGS]
    for place, block in enumerate(blocks):
        pairs += [(f"encoder.layer.{block}.{a}", f"transformer.layer.{place}.{b}") for a, b in BLOCK.items()]
    return pairs


def _head_map(name: str, vocab_transform: bool) -> dict[str, str]:
    if name == "BertForSequenceClassification":
        return {"bert.pooler.dense": "pre_classifier", "classifier": "classifier"}
    if name == "BertForMaskedLM":
        transform = {
            "cls.predictions.transform.dense": "vocab_transform",
            "cls.predictions.transform.LayerNorm": "vocab_layer_norm",
        }
        return {
            "cls.predictions.decoder": "vocab_projector",
            **(transform if vocab_transform else {}),
        }
    return {}


def _with_parameters(copies: Mapping[str, str], weights: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Return (name of the model's parameter, name of the student's) for modules that are copied."""
    found = []
    prefix = "bert." if any(name.startswith("bert.") for name in weights) else ""
    target = "distilbert." if prefix else ""
    for ours, theirs in copies.items():
        is_body = ours.startswith(("embeddings.", "encoder."))
        source = f"{prefix}{ours}" if is_body else ours
        for kind in ("weight", "bias"):
            if f"{source}.{kind}" in weights:
                found.append((f"{source}.{kind}", f"{target if is_body else ''}{theirs}.{kind}"))
    return found
