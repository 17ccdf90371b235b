"""Weights follow the seed; the tokenizer is BERT's."""

import subprocess
import sys

import pytest
import torch

from kdpipe.errors import ModelError
from kdpipe.models.creation import create_body, create_language_model, special_tokens, train_wordpiece
from tests.models.conftest import SHAPES

OPTIONS = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def test_weights_follow_the_seed() -> None:
    first, again, other = (create_body("bert", OPTIONS, 50, seed) for seed in (1, 1, 2))
    name = "embeddings.word_embeddings.weight"
    assert torch.equal(first.state_dict()[name], again.state_dict()[name])
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


@pytest.mark.parametrize("name", SHAPES)
def test_every_family_is_drawn_from_the_seed(name) -> None:
    first, again, other = (create_body(name, SHAPES[name], 50, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert any(not torch.equal(value, other[key]) for key, value in first.items())


@pytest.mark.parametrize("name", ["bigru", "enct5", "gpt2", "t5"])
def test_a_family_that_predicts_no_masked_tokens_is_refused_by_name(name) -> None:
    families = "bert, distilbert, electra, roberta"
    with pytest.raises(ModelError, match=f"{name} has no head for masked language modelling; .*: {families}"):
        create_language_model(name, {}, 50, 1)


def test_roberta_needs_a_padding_token_that_comes_first() -> None:
    create_body("roberta", {**SHAPES["roberta"], "pad_token_id": 0}, 50, 1)
    with pytest.raises(ModelError, match="must be less than 2, found 2"):
        create_body("roberta", {**SHAPES["roberta"], "pad_token_id": 2}, 50, 1)


def test_a_model_goes_by_the_special_tokens_of_its_tokenizer(wordpiece) -> None:
    assert special_tokens(wordpiece) == {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}
    model = create_body("roberta", {**special_tokens(wordpiece), **SHAPES["roberta"]}, len(wordpiece), 1)
    assert model.embeddings.padding_idx == wordpiece.pad_token_id


def test_the_vocabulary_is_the_tokenizers(wordpiece) -> None:
    model = create_language_model("distilbert", {"dim": 16, "n_heads": 2, "n_layers": 1}, len(wordpiece), 1)
    assert model.config.vocab_size == len(wordpiece)


def test_pairs_are_framed_and_segmented_as_bert_does(wordpiece) -> None:
    encoded = wordpiece("the film", "was good")
    tokens = wordpiece.convert_ids_to_tokens(encoded["input_ids"])
    assert tokens[0] == "[CLS]"
    assert tokens.count("[SEP]") == 2
    first = tokens.index("[SEP]") + 1
    assert encoded["token_type_ids"] == [0] * first + [1] * (len(tokens) - first)


def test_special_tokens_have_the_first_ids(wordpiece) -> None:
    assert wordpiece.all_special_ids == [1, 3, 0, 2, 4]
    assert wordpiece.pad_token_id == 0
    assert wordpiece.mask_token == "[MASK]"


@pytest.mark.slow
def test_the_vocabulary_is_the_same_in_every_process() -> None:
    program = (
        "from kdpipe.models.creation import train_wordpiece\n"
        "texts = lambda: ['abcab bcabc cabca', 'acbac bacba cbacb'] * 3\n"
        "print(sorted(train_wordpiece(texts, 20, 32).get_vocab().items()))\n"
    )
    outputs = {subprocess.check_output([sys.executable, "-c", program]) for _ in range(3)}
    assert len(outputs) == 1
    assert b"'##a'" in outputs.pop()


def test_a_vocabulary_has_room_for_every_character() -> None:
    # Five special tokens, and two letters, each at the start of a word and inside.
    assert len(train_wordpiece(lambda: ["ab ba"], vocab_size=9, max_length=8)) == 9
    with pytest.raises(ModelError, match=r"expected at least 9, as the text has 4 characters .*, found 8"):
        train_wordpiece(lambda: ["ab ba"], vocab_size=8, max_length=8)
