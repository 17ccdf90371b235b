"""Encoders of the tasks."""

import json

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, Unigram

from kdpipe.data.encoding import (
    ClassificationEncoder,
    LanguageModelEncoder,
    encoder_for,
    load_tokenizer,
    unknown_id,
)
from kdpipe.data.source import Example
from kdpipe.errors import DataError


def tokens(tokenizer, ids):
    return [tokenizer.id_to_token(position) for position in ids]


def test_text_with_labels(tokenizer, tokenizer_file):
    encode = ClassificationEncoder(tokenizer_file, 8, ("no", "yes"))
    batch, counts = encode([Example("x", "ab", label="yes"), Example("y", "c d e", label="no")])
    assert batch.schema.names == ["id", "input_ids", "labels", "length"]
    assert [str(t) for t in batch.schema.types] == ["string", "list<item: int32>", "int64", "int32"]
    assert batch["id"].to_pylist() == ["x", "y"]
    rows = [tokens(tokenizer, row) for row in batch["input_ids"].to_pylist()]
    assert rows == [["[CLS]", "a", "##b", "[SEP]"], ["[CLS]", "c", "d", "e", "[SEP]"]]
    assert batch["labels"].to_pylist() == [1, 0]
    assert batch["length"].to_pylist() == [4, 5]
    assert counts == {"examples": 2, "rows": 2, "tokens": 9, "truncated": 0}


def test_of_a_pair_the_longer_text_is_cut(tokenizer, tokenizer_file):
    encode = ClassificationEncoder(tokenizer_file, 8, ("no",))
    batch, counts = encode([Example("x", "a b", "c d e f g h i"), Example("y", "a", "b")])
    first, second = batch["input_ids"].to_pylist()
    assert tokens(tokenizer, first) == ["[CLS]", "a", "b", "[SEP]", "c", "d", "e", "[SEP]"]
    assert tokens(tokenizer, second) == ["[CLS]", "a", "[SEP]", "b", "[SEP]"]
    assert batch["token_type_ids"].to_pylist() == [[0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1]]
    assert str(batch["token_type_ids"].type) == "list<item: int8>"
    assert "labels" not in batch.schema.names
    assert counts["truncated"] == 1


def test_a_label_that_is_none_of_them(tokenizer_file):
    encode = ClassificationEncoder(tokenizer_file, 8, ("negative", "positive"))
    with pytest.raises(DataError, match=r"example x: .* found 'positiv'; did you mean 'positive'\?"):
        encode([Example("x", "a", label="positiv")])


def test_language_modelling_splits_and_drops(tokenizer, tokenizer_file):
    encode = LanguageModelEncoder(tokenizer_file, 16)
    long, short, unknown = "a " * 28, "b " * 3, "1 " * 12
    batch, counts = encode([Example("l", long), Example("s", short), Example("u", unknown)])
    assert batch.schema.names == ["id", "input_ids", "length"]
    assert batch["id"].to_pylist() == ["l", "l#1"]
    assert batch["length"].to_pylist() == [15, 16]
    assert tokens(tokenizer, batch["input_ids"][1].as_py()) == ["[CLS]", *"a" * 14, "[SEP]"]
    # The last piece is cut off too: it has one token, which was [SEP].
    assert counts == {
        "split": 1,
        "dropped_short": 2,
        "dropped_unknown": 1,
        "examples": 3,
        "rows": 2,
        "tokens": 31,
    }


def test_what_a_tokenizer_file_says_of_cutting_and_padding_is_not_heeded(tokenizer, tmp_path):
    altered = Tokenizer.from_str(tokenizer.to_str())
    altered.enable_truncation(4)
    altered.enable_padding(length=32)
    altered.save(str(tmp_path / "tokenizer.json"))
    assert len(load_tokenizer(tmp_path / "tokenizer.json").encode("a b c d e f").ids) == 8


def test_language_modelling_needs_special_tokens_around_a_text(tokenizer, tmp_path):
    settings = {**json.loads(tokenizer.to_str()), "post_processor": None}
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(settings))
    with pytest.raises(DataError, match=r"tokenizer\.json: .* found 0 in all"):
        LanguageModelEncoder(file, 16)


def test_unknown_id_of_all_kinds_of_models(tokenizer):
    assert unknown_id(tokenizer) == 1
    assert unknown_id(Tokenizer(Unigram([("a", 0.0), ("<unk>", 0.0)], unk_id=1))) == 1
    assert unknown_id(Tokenizer(Unigram([("a", 0.0)]))) is None
    assert unknown_id(Tokenizer(BPE({"a": 0}, []))) is None


def test_mistakes_in_what_is_asked_for(tokenizer_file, tmp_path):
    with pytest.raises(DataError, match="'regression' is not available in this version; classification, "):
        encoder_for("regression", tokenizer_file, 8, None)
    with pytest.raises(DataError, match="expected a source with labels"):
        encoder_for("classification", tokenizer_file, 8, None)
    with pytest.raises(DataError, match=r"none\.json: expected a tokenizer\.json"):
        encoder_for("language_modeling", tmp_path / "none.json", 8, None)()
