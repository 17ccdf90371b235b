"""Models with random weights, and tokenizers trained from text."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoModel, AutoModelForMaskedLM, PreTrainedModel, PreTrainedTokenizerFast

from kdpipe import catalog
from kdpipe.draws import WEIGHTS, draw_seed

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def create_body(family: str, options: Mapping[str, Any], vocab_size: int, seed: int) -> PreTrainedModel:
    """Return a model without a head.

    Args:
        family: its family in the catalog.
        options: fields of its transformers config.
        vocab_size: entries of its vocabulary.
        seed: seed of its weights.
    """
    return _create(AutoModel, family, options, vocab_size, seed)


def create_language_model(
    family: str, options: Mapping[str, Any], vocab_size: int, seed: int
) -> PreTrainedModel:
    """Return a model with a head that predicts tokens; arguments as of `create_body`."""
    return _create(AutoModelForMaskedLM, family, options, vocab_size, seed)


def train_wordpiece(texts: Iterable[str], vocab_size: int, max_length: int) -> PreTrainedTokenizerFast:
    """Train an uncased WordPiece tokenizer with BERT's special tokens and templates.

    Args:
        texts: the text.
        vocab_size: entries of the vocabulary, special tokens included.
        max_length: longest input in tokens that the model reads.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=SPECIAL_TOKENS, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    names = {f"{token.strip('[]').lower()}_token": token for token in SPECIAL_TOKENS}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **names,
    )


def _create(
    auto_class: Any, family: str, options: Mapping[str, Any], vocab_size: int, seed: int
) -> PreTrainedModel:
    module, _, name = catalog.resolve("families", family).config_class.partition(":")
    config = getattr(import_module(module), name)(**options, vocab_size=vocab_size)
    with torch.random.fork_rng():
        torch.manual_seed(draw_seed(seed, WEIGHTS))
        model: PreTrainedModel = auto_class.from_config(config)
    return model
