"""First pieces of words, and their tags, in rows and in batches."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.source import Example
from kdpipe.data.tagging import TaggingEncoder
from kdpipe.errors import DataError

LABELS = ("O", "B-X", "I-X")


def sentence(text: str, tags: str | None, name: str = "s") -> Example:
    words = tuple(text.split())
    return Example(name, text, label=tuple(tags.split()) if tags else None, words=words)


@pytest.fixture
def byte_level(tmp_path: Path) -> Path:
    """A byte-level tokenizer, to which a blank before a word is part of it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(["warm films are good films"] * 20, trainer)
    tokenizer.save(str(tmp_path / "bpe.json"))
    return tmp_path / "bpe.json"


def test_a_tag_belongs_to_the_first_piece(language_model: Path) -> None:
    file = language_model / "tokenizer.json"
    (row,) = TaggingEncoder(file, 32, LABELS)([sentence("the thethe a", "O B-X I-X")]).batch.to_pylist()
    pieces = [Tokenizer.from_file(str(file)).id_to_token(i) for i in row["input_ids"]]
    assert len(pieces) > 5
    assert [pieces[place] for place in row["words"]] == ["the", "the", "a"]
    assert pieces[row["words"][1] + 1].startswith("##")
    assert row["labels"] == [0, 1, 2]


def test_words_that_are_cut_keep_their_tags(language_model: Path) -> None:
    encoded = TaggingEncoder(language_model / "tokenizer.json", 4, LABELS)(
        [sentence("the a of", "O B-X I-X")]
    )
    (row,) = encoded.batch.to_pylist()
    assert row["words"] == [1, 2, -1]
    assert row["labels"] == [0, 1, 2]
    assert (encoded.counts["cut_words"], encoded.counts["truncated"]) == (1, 1)


def test_words_without_a_piece_are_not_cut(language_model: Path) -> None:
    encode = TaggingEncoder(language_model / "tokenizer.json", 4, LABELS)
    encoded = encode([Example("s", "", label=("O",) * 5, words=("the", "\x01", "a", "\x02", "of"))])
    (row,) = encoded.batch.to_pylist()
    assert row["words"] == [1, -1, 2, -1, -1]
    assert (encoded.counts["cut_words"], encoded.counts["words_without_pieces"]) == (1, 2)


def test_a_byte_level_tokenizer_sees_the_blank_before_a_word(byte_level: Path) -> None:
    (row,) = TaggingEncoder(byte_level, 32, LABELS)([sentence("good films", None)]).batch.to_pylist()
    assert row["input_ids"] == Tokenizer.from_file(str(byte_level)).encode("good films").ids
    assert "labels" not in row


def test_a_tag_that_is_no_label(language_model: Path) -> None:
    with pytest.raises(DataError, match="example s: expected one of the dataset's labels, found 'B-Y'"):
        TaggingEncoder(language_model / "tokenizer.json", 9, LABELS)([sentence("the", "B-Y")])


def test_batches_know_where_the_tagged_tokens_are(ner_data: Path) -> None:
    split = EncodedSplit(ner_data, "train")
    batch = Collator(split, pad_id=0)([5, 0, 31])
    table = split.table.to_pylist()
    width = batch["input_ids"].shape[1]
    expected = [
        (row * width + place, label)
        for row, index in enumerate([5, 0, 31])
        for place, label in zip(table[index]["words"], table[index]["labels"], strict=True)
        if place >= 0
    ]
    assert batch["label_rows"].tolist() == [row for row, _ in expected]
    assert batch["labels"].tolist() == [label for _, label in expected]
    assert np.array_equal(batch["token_rows"][batch["label_places"]], batch["label_rows"])
    assert split.logit_counts[[5, 0, 31]].sum() == len(expected)
    assert (split.logit_counts < split.word_lengths).any()
