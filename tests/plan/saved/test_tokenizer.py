"""A check reads from a tokenizer's file what the tokenizer does."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, processors

from kdpipe.plan.saved.tokenizer import pair_segments, vocabulary_size

WORDS = {"[CLS]": 0, "[SEP]": 1, "a": 2, "b": 7}


def written(tokenizer: Tokenizer) -> dict[str, object]:
    content: dict[str, object] = json.loads(tokenizer.to_str())
    return content


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer(models.WordLevel(WORDS, unk_token="a"))


@pytest.mark.parametrize("processor", [
    None,
    processors.BertProcessing(("[SEP]", 1), ("[CLS]", 0)),
    processors.RobertaProcessing(("[SEP]", 1), ("[CLS]", 0)),
    processors.ByteLevel(),
    processors.TemplateProcessing("$A [SEP]", "$A [SEP] $B:1", [("[SEP]", 1)]),
    processors.TemplateProcessing("$A [SEP]", "$A [SEP] $B:0", [("[SEP]", 1)]),
])  # fmt: skip
def test_the_segments_of_pairs(processor: processors.PostProcessor | None, tokenizer: Tokenizer) -> None:
    if processor is not None:
        tokenizer.post_processor = processor
    assert pair_segments(written(tokenizer)) == 1 + max(tokenizer.encode("a", "b").type_ids)


def test_ids_are_counted_up_to_the_largest(tokenizer: Tokenizer, language_model: Path) -> None:
    assert vocabulary_size(written(tokenizer)) == 8
    tokenizer.add_tokens(["c", "d"])
    assert vocabulary_size(written(tokenizer)) == 1 + max(tokenizer.get_vocab().values())
    assert vocabulary_size(written(Tokenizer(models.Unigram([("a", 0.0), ("b", -1.0)], unk_id=0)))) == 2
    assert vocabulary_size(json.loads((language_model / "tokenizer.json").read_text())) == 80


@pytest.mark.parametrize("content", [
    {},
    {"model": 3, "added_tokens": "x", "post_processor": 3},
    {"model": {"vocab": "x"}, "added_tokens": [3]},
    {"post_processor": {"type": "TemplateProcessing", "pair": [3, {"Sequence": 3}]}},
])  # fmt: skip
def test_what_is_no_tokenizer_is_left_to_the_library(content: dict[str, object]) -> None:
    assert (vocabulary_size(content), pair_segments(content)) == (0, 2)
