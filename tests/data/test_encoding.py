"""Encoders of the tasks."""

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, Unigram
from tokenizers.processors import TemplateProcessing

from kdpipe.data.corpus import LanguageModelEncoder
from kdpipe.data.encoding import (
    ClassificationEncoder,
    MultiLabelEncoder,
    RegressionEncoder,
    encoder_for,
    load_fast_tokenizer,
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


def test_numbers(tokenizer, tokenizer_file):
    encode = RegressionEncoder(tokenizer_file, 8)
    batch, counts = encode(
        [Example("x", "a b", "c d e f g h i", label=2.5), Example("y", "a", "b", label=-1.0)]
    )
    assert batch["labels"].to_pylist() == [2.5, -1.0]
    assert batch["labels"].type == "float"
    assert batch["length"].to_pylist() == [8, 5]
    assert counts["truncated"] == 1
    assert "labels" not in encode([Example("x", "a")]).batch.schema.names


def test_several_classes(tokenizer_file):
    encode = MultiLabelEncoder(tokenizer_file, 8, ("red", "round", "hot"))
    labels = [("hot", "red"), (), ("round", "round")]
    batch, _ = encode([Example(str(i), "a", label=label) for i, label in enumerate(labels)])
    assert batch["labels"].to_pylist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert str(batch["labels"].type) == "fixed_size_list<item: int8>[3]"
    with pytest.raises(DataError, match=r"example x: .* found 'roun'; did you mean 'round'\?"):
        encode([Example("x", "a", label=("hot", "roun"))])


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
    assert len(load_fast_tokenizer(tmp_path / "tokenizer.json").encode("a b c d e f").ids) == 8


def with_template(tokenizer, file, template):
    altered = Tokenizer.from_str(tokenizer.to_str())
    altered.post_processor = TemplateProcessing(single=template, special_tokens=[("[CLS]", 2)])
    altered.save(str(file))
    return file


def test_language_modelling_needs_special_tokens_on_both_sides_or_none(tokenizer, tmp_path):
    file = with_template(tokenizer, tmp_path / "tokenizer.json", "[CLS] $A")
    with pytest.raises(DataError, match=r"tokenizer\.json: .* or none at all; found 1"):
        LanguageModelEncoder(file, 16)


def test_text_without_special_tokens_is_split_anywhere(tokenizer, tmp_path):
    file = with_template(tokenizer, tmp_path / "tokenizer.json", "$A")
    encoded = LanguageModelEncoder(file, 16)([Example("1", " ".join("abcd" * 10))])
    assert encoded.batch["length"].to_pylist() == [16, 16]
    assert encoded.counts["dropped_short"] == 1


def test_unknown_id_of_all_kinds_of_models(tokenizer):
    assert unknown_id(tokenizer) == 1
    assert unknown_id(Tokenizer(Unigram([("a", 0.0), ("<unk>", 0.0)], unk_id=1))) == 1
    assert unknown_id(Tokenizer(Unigram([("a", 0.0)]))) is None
    assert unknown_id(Tokenizer(BPE({"a": 0}, []))) is None


def test_a_text_without_tokens_gets_one(tokenizer, tmp_path):
    bare = Tokenizer.from_str(tokenizer.to_str())
    bare.post_processor = TemplateProcessing(single="$A", pair="$A $B:1")
    bare.save(str(tmp_path / "bare.json"))
    encode = ClassificationEncoder(tmp_path / "bare.json", 8, ("no", "yes"))
    batch, counts = encode([Example("x", ""), Example("y", "a b"), Example("z", "\x01")])
    assert [tokens(tokenizer, row) for row in batch["input_ids"].to_pylist()] == [
        ["[UNK]"],
        ["a", "b"],
        ["[UNK]"],
    ]
    assert (batch["length"].to_pylist(), counts["without_tokens"]) == ([1, 2, 1], 2)
    batch, counts = encode([Example("x", "", "", label="yes"), Example("y", "", "a", label="no")])
    assert [tokens(tokenizer, row) for row in batch["input_ids"].to_pylist()] == [["[UNK]"], ["a"]]
    assert (batch["token_type_ids"].to_pylist(), counts["without_tokens"]) == ([[0], [1]], 1)


def test_the_token_is_a_special_one_where_none_is_unknown(tmp_path):
    bare = Tokenizer(BPE({"a": 0, "end": 1}, []))
    bare.save(str(tmp_path / "none.json"))
    with pytest.raises(DataError, match="example train:7: expected a text that has tokens, found ' '"):
        RegressionEncoder(tmp_path / "none.json", 8)([Example("x", "a"), Example("train:7", " ")])
    bare.add_special_tokens(["end"])
    bare.save(str(tmp_path / "special.json"))
    batch, _ = RegressionEncoder(tmp_path / "special.json", 8)([Example("x", "a"), Example("y", " ")])
    assert batch["input_ids"].to_pylist() == [[0], [1]]


def test_mistakes_in_what_is_asked_for(tokenizer_file, tmp_path):
    with pytest.raises(DataError, match="expected a source with labels"):
        encoder_for("classification", tokenizer_file, 8, None)()
    with pytest.raises(DataError, match=r"none\.json: expected a tokenizer\.json"):
        encoder_for("language_modeling", tmp_path / "none.json", 8, None)()


def test_numbers_and_sets_of_labels(tokenizer_file):
    numbers = [Example("1", "a", label=2.5), Example("2", "b", label=0.0)]
    batch = encoder_for("regression", tokenizer_file, 8, None)()(numbers).batch
    assert batch["labels"].to_pylist() == [2.5, 0.0]
    sets = [Example("1", "a", label=("z", "x")), Example("2", "b", label=())]
    encoder = encoder_for("multi_label", tokenizer_file, 8, ("x", "y", "z"))()
    assert encoder(sets).batch["labels"].to_pylist() == [[1, 0, 1], [0, 0, 0]]
    with pytest.raises(DataError, match="example 3: expected one of the dataset's labels, found 'w'"):
        encoder([Example("3", "a", label=("w",))])
