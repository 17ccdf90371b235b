"""Models with random weights, and tokenizers trained on text."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModel, AutoModelForMaskedLM, BertTokenizer, PreTrainedModel

from kdpipe import catalog
from kdpipe.anatomy.families import require_head
from kdpipe.errors import ModelError
from kdpipe.seeds import WEIGHTS, draw_seed

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def create_body(
    family: str, options: Mapping[str, Any], vocab_size: int, seed: int, auto_class: Any = AutoModel
) -> PreTrainedModel:
    """Return an untrained model that an Auto class builds, by default a body without a head.

    The `options` are fields of the config of its family.
    """
    facts = catalog.resolve("families", family)
    config = catalog.load(facts.config_class)(**options, vocab_size=vocab_size)
    if facts.reserved_positions and (config.pad_token_id or 0) >= facts.reserved_positions:
        raise ModelError(
            f"{family} counts positions from the id of the padding token, so this id must be less than "
            f"{facts.reserved_positions}, found {config.pad_token_id}; take a tokenizer with a lower id"
        )
    with torch.random.fork_rng():
        torch.manual_seed(draw_seed(seed, WEIGHTS))
        model: PreTrainedModel = auto_class.from_config(config)
    return model


def create_language_model(
    family: str, options: Mapping[str, Any], vocab_size: int, seed: int
) -> PreTrainedModel:
    """Return a model with a head that predicts masked tokens; arguments as of `create_body`."""
    require_head(family, "masked language modelling", ("ForMaskedLM",))
    return create_body(family, options, vocab_size, seed, AutoModelForMaskedLM)


def special_tokens(tokenizer: Any) -> dict[str, int | None]:
    """Return the fields of a config for the ids of the padding, begin and end tokens."""
    return {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "bos", "eos")}


def train_wordpiece(texts: Callable[[], Iterable[str]], vocab_size: int, max_length: int) -> BertTokenizer:
    """Train an uncased WordPiece tokenizer with BERT's special tokens and templates; texts are read twice."""
    return wordpiece_tokenizer(train_vocabulary(texts, vocab_size), max_length)


def train_vocabulary(texts: Callable[[], Iterable[str]], vocab_size: int) -> list[str]:
    """Return the entries of a WordPiece vocabulary by their ids; arguments as of `train_wordpiece`.

    The same text gives the same vocabulary in the same order.

    Raises:
        ModelError: the vocabulary has no room for the characters of the text.
    """
    # The trainer numbers characters inside words in an order that differs between runs, and breaks ties
    # between merges by these numbers. Special tokens keep their order, so the characters are passed as such.
    characters = sorted(_wordpieces(texts(), SPECIAL_TOKENS, vocab_size=1).keys() - {*SPECIAL_TOKENS})
    least = len(SPECIAL_TOKENS) + len(characters)
    if vocab_size < least:
        raise ModelError(
            f"vocab_size: expected at least {least}, as the text has {len(characters)} characters (the same "
            f"character at the start of a word and inside a word counts twice), found {vocab_size}; "
            "raise vocab_size"
        )
    vocabulary = _wordpieces(texts(), [*SPECIAL_TOKENS, *characters], vocab_size)
    return sorted(vocabulary, key=vocabulary.__getitem__)


def wordpiece_tokenizer(vocabulary: Sequence[str], max_length: int) -> BertTokenizer:
    """Return the tokenizer of a vocabulary from `train_vocabulary`."""
    ids = {entry: number for number, entry in enumerate(vocabulary)}
    return BertTokenizer(vocab=ids, model_max_length=max_length)


def _wordpieces(texts: Iterable[str], first: list[str], vocab_size: int) -> dict[str, int]:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=first, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    vocabulary: dict[str, int] = tokenizer.get_vocab()
    return vocabulary
