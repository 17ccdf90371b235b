"""Candidates of words, compared with one word at a time, and what texts become with these."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import ByteLevelBPETokenizer
from torch.nn import functional
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

from kdpipe.augmentation import candidates
from kdpipe.augmentation.candidates import WORD, CandidateWords
from kdpipe.augmentation.copies import Copies
from kdpipe.augmentation.masked_lm import MaskedLM, Slot, with_copies
from kdpipe.augmentation.stop_words import STOP_WORDS
from kdpipe.data.source import Example
from kdpipe.errors import ModelError
from kdpipe.models.loading import load_tokenizer
from tests.conftest import WORDS, sentences

# "actors" and "warmed" are several pieces; "don't", "3rd" and "x" are no words that may be replaced.
TEXT = "The film: a warm plot, don't (actors warmed) 3rd x scene"
NUMBER = 4


@pytest.fixture(scope="module")
def model(language_model: Path):
    return AutoModelForMaskedLM.from_pretrained(language_model).eval()


@pytest.fixture(scope="module")
def find(model, language_model: Path):
    return CandidateWords(model, load_tokenizer(language_model), NUMBER, 64)


def whole(tokenizer):
    """The entries of a WordPiece vocabulary that are words, with their ids."""
    return {
        word: number for word, number in tokenizer.get_vocab().items() if word.isalpha() and len(word) > 1
    }


def without(ranked, word):
    return [other for other in ranked if other != word.lower()][:NUMBER]


@torch.no_grad()
def expected(model, tokenizer, text, word):
    """The words that fit best in place of a word of one piece: the masked text, then the text."""
    masked = tokenizer(text.replace(word, tokenizer.mask_token), text, return_tensors="pt")
    place = masked["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    logits = model(**masked).logits[0, place]
    words = whole(tokenizer)
    return without(sorted(words, key=lambda other: -logits[words[other]]), word)


@torch.no_grad()
def nearest(model, tokenizer, word):
    """The words whose embeddings are nearest to the mean of the pieces of a word."""
    embeddings, words = model.get_input_embeddings().weight, whole(tokenizer)
    mean = embeddings[tokenizer(word, add_special_tokens=False)["input_ids"]].mean(0)
    scores = {
        other: functional.cosine_similarity(mean, embeddings[number], dim=0)
        for other, number in words.items()
    }
    return without(sorted(words, key=lambda other: -scores[other]), word)


def test_candidates_as_one_word_at_a_time_gives_them(find, model, language_model):
    tokenizer = load_tokenizer(language_model)
    texts = [TEXT, *sentences(20, seed=3, longest=12)]
    found = dict(zip(texts, find(texts), strict=True))
    names = [TEXT[slot.start : slot.end] for slot in found[TEXT]]
    assert names == ["film", "warm", "plot", "actors", "warmed", "scene"]
    for text, slots in found.items():
        for slot in slots:
            word = text[slot.start : slot.end]
            if len(tokenizer(word, add_special_tokens=False)["input_ids"]) > 1:
                assert slot.candidates == nearest(model, tokenizer, word)
            elif text.split().count(word) == 1 or text == TEXT:
                assert slot.candidates == expected(model, tokenizer, text, word)


def test_the_size_of_batches_changes_nothing(find, monkeypatch):
    texts = sentences(20, seed=3)
    before = find(texts)
    monkeypatch.setattr(candidates, "BATCH_TOKENS", 1)
    assert find(texts) == before


def test_words_after_the_tokens_that_are_read_stay(model, language_model):
    find = CandidateWords(model, load_tokenizer(language_model), NUMBER, 13)
    # Five tokens of each text are read; a film is two pieces.
    [slots] = find(["film plot film plot film plot film"])
    assert [slot.start for slot in slots] == [0, 5, 10]


def test_empty_texts_have_no_words(find):
    assert find(["", " ", "the", "!"]) == [[], [], [], []]
    assert find([]) == []


def test_a_small_vocabulary_has_fewer_candidates(model, language_model):
    find = CandidateWords(model, load_tokenizer(language_model), 1000, 64)
    [[slot]] = find(["film"])
    assert "film" not in slot.candidates
    assert {"plot", "good", "actor"} <= set(slot.candidates) <= whole(load_tokenizer(language_model)).keys()


def test_a_tokenizer_without_a_mask_token_is_refused(model, language_model):
    tokenizer = load_tokenizer(language_model)
    tokenizer.mask_token = None
    with pytest.raises(ModelError, match="its tokenizer has no mask token"):
        CandidateWords(model, tokenizer, NUMBER, 64)


def test_pieces_of_bytes_with_a_blank_before_them():
    """RoBERTa's words within a text have other pieces than words at the beginning."""
    trained = ByteLevelBPETokenizer(add_prefix_space=False)
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(sentences(200, seed=1), vocab_size=400, special_tokens=specials)
    named = dict(zip(("bos", "pad", "eos", "unk", "mask"), specials, strict=True))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, **{f"{name}_token": token for name, token in named.items()}
    )
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(1)
    model = RobertaForMaskedLM(RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=70, **sizes))
    [slots] = CandidateWords(model.eval(), tokenizer, NUMBER, 64)(["film was a story"])
    assert [(slot.start, slot.end) for slot in slots] == [(0, 4), (11, 16)]
    for slot in slots:
        assert len(slot.candidates) == NUMBER
        assert set(slot.candidates) <= set(WORDS) - {"story"}


@pytest.mark.parametrize(("text", "words"), [
    ("don't 'stop' well-known x y2k a_b caf\u00e9", ["stop", "well", "known", "caf\u00e9"]),
    ("the company\u2019s Amrozi, 1,234", ["the", "Amrozi"]),
])  # fmt: skip
def test_what_a_word_is(text, words):
    assert WORD.findall(text) == words


def test_stop_words_are_words():
    assert all(word.isalpha() and word.islower() for word in STOP_WORDS)


def test_words_are_replaced_with_the_probability():
    slots = [Slot(0, 4, ["one", "two"]), Slot(9, 13, ["three"])]
    method, text = MaskedLM(probability=0.4), "film was warm!"
    copies = [method.rewrite(text, slots, np.random.default_rng(seed)) for seed in range(2000)]
    assert set(copies) == {
        f"{first} was {second}!" for first in ("film", "one", "two") for second in ("warm", "three")
    }
    assert sum(copy.startswith("film") for copy in copies) / 2000 == pytest.approx(0.6, abs=0.05)
    assert sum(copy.startswith("one") for copy in copies) / 2000 == pytest.approx(0.2, abs=0.05)
    assert MaskedLM(probability=1).rewrite(text, [], np.random.default_rng(1)) == text


def test_copies_of_a_pair_differ_in_both_texts(find):
    pair = Example("e", "the film was warm", "a dull story of the actor", "1")
    rows = with_copies([pair], 0, find, MaskedLM(), Copies(20, seed=1))
    assert rows[0] == pair
    assert len({(row.text, row.text_pair) for row in rows}) == len(rows) > 10
    assert len({row.text for row in rows}) > 2
    assert len({row.text_pair for row in rows}) > 2
