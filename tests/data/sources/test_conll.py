"""Columns of words and tags; with KDPIPE_DATA set, the real CoNLL-2003 as well."""

import logging
import os
from pathlib import Path

import pytest

from kdpipe.data.source import Example
from kdpipe.data.sources.conll import ConllSource
from kdpipe.errors import DataError

TEXT = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O

Peter NNP I-NP I-PER
Blackburn NNP I-NP I-PER
Smith NNP I-NP B-PER
"""
real_data = pytest.mark.skipif(
    not Path(os.environ.get("KDPIPE_DATA", "none"), "conll2003").is_dir(),
    reason="KDPIPE_DATA has no folder conll2003",
)


def conll(folder, options=None, **files):
    for split, text in files.items():
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")
    return ConllSource(task="token_classification", path=folder, **(options or {}))


def test_sentences_tags_and_documents(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    source = conll(tmp_path, train=TEXT, valid="EU I-ORG\n")
    assert source.labels == ("O", "B-ORG", "I-ORG", "B-PER", "I-PER")
    assert list(source.read("train")) == [
        Example("train:3", "EU rejects", None, ("B-ORG", "O"), ("EU", "rejects")),
        Example(
            "train:6",
            "Peter Blackburn Smith",
            None,
            ("B-PER", "I-PER", "B-PER"),
            ("Peter", "Blackburn", "Smith"),
        ),
    ]
    assert [example.label for example in source.read("validation")] == [("B-ORG",)]
    assert "2 sentences, tags in IOB1, 2 tags converted to IOB2" in caplog.text


@pytest.mark.parametrize("name", ["dev.txt", "valid.conll", "eng.testa"])
def test_names_of_files(tmp_path, name):
    (tmp_path / name).write_text("a O\n")
    assert conll(tmp_path).splits() == ("validation",)


def test_tabs_and_blank_lines_at_both_ends(tmp_path):
    source = conll(tmp_path, test="\n\nA\tO\nB\tB-X\n\n\n")
    assert [example.words for example in source.read("test")] == [("A", "B")]


@pytest.mark.parametrize(("text", "told"), [
    ("a I-X\nb B-X\n\nc I-X\n", "2 sentences, tags in IOB1, 2 tags converted to IOB2"),
    ("a B-X\nb B-X\n\nc I-X\n", "in part IOB1 and in part IOB2 (1 tags), 1 tags converted to IOB2"),
    ("a B-X\nb I-X\nc B-X\n", "1 sentences, tags in IOB2"),
    ("a B-X\nb I-X\nc E-X\nd S-X\n", "1 sentences, tags in IOBES, 2 tags converted to IOB2"),
    ("# source 1\na O\n\n#\tanother = O B-X\nb O\n", "tags in IOB2, 2 lines of comments left out"),
    ("a O\n", "1 sentences, tags in IOB2"),
])  # fmt: skip
def test_the_scheme_is_told(tmp_path, caplog, text, told):
    caplog.set_level(logging.INFO)
    list(conll(tmp_path, {"classes": ["X"]}, train=text).read("train"))
    assert told in caplog.text


def test_other_blanks_are_of_words(tmp_path):
    source = conll(tmp_path, {"classes": ["X"]}, train="10\xa0000\tO\n\u3000 O\n")
    assert [example.words for example in source.read("train")] == [("10\xa0000", "\u3000")]


def test_comments_stand_before_sentences(tmp_path):
    text = "# id = 1\n#\n# O\n#EU B-X\n\n#newdoc\n# a b O x\n-DOCSTART- O\n\n# text = O\na O\n"
    sentences = [example.words for example in conll(tmp_path, {"classes": ["X"]}, train=text).read("train")]
    assert sentences == [("#", "#EU"), ("a",)]


def test_words_alone_may_begin_with_the_sign_of_comments(tmp_path):
    source = conll(tmp_path, train="EU B-ORG\n", test="#EU\nrejects\n\n# id = 2\n#\n")
    assert [example.words for example in source.read("test")] == [("#EU", "rejects"), ("#",)]


def test_tags_that_mark_ends(tmp_path):
    source = conll(tmp_path, train="EU S-ORG\nPeter B-PER\nBlackburn E-PER\nSmith S-PER\n")
    assert source.labels == ("O", "B-ORG", "I-ORG", "B-PER", "I-PER")
    assert next(source.read("train")).label == ("B-ORG", "B-PER", "I-PER", "B-PER")


GERMEVAL = """#\thttp://de.wikipedia.org/wiki/Manfred_Korfmann [2009-10-17]
1\tAufgrund\tO\tO
2\tDeutsche\tB-ORG\tB-LOC
3\tBank\tI-ORG\tO

#\thttp://de.wikipedia.org/wiki/1
1\t1\tO\tO
"""


@pytest.mark.parametrize("start", [0, 1])
def test_numbers_in_place_of_words_are_refused(tmp_path, start):
    rows = [f"{number}\tword\tO\tB-X\n" for number in range(start, start + 3)]
    message = (
        r"train\.txt:3: expected words in the first column, found numbers in order; .* `columns: {word: 1"
    )
    source = conll(tmp_path, train=f"{start} a O O\n\n{''.join(rows)}")
    with pytest.raises(DataError, match=message):
        _ = source.labels
    with pytest.raises(DataError, match=message):
        list(conll(tmp_path, {"classes": ["X"]}).read("train"))


def test_columns_that_are_named(tmp_path):
    source = conll(tmp_path, {"columns": {"word": 1, "tag": 2}}, train=GERMEVAL, test="1\tx\n2\tx\n")
    assert source.labels == ("O", "B-ORG", "I-ORG")
    assert [(example.words, example.label) for example in source.read("train")] == [
        (("Aufgrund", "Deutsche", "Bank"), ("O", "B-ORG", "I-ORG")),
        (("1",), ("O",)),
    ]
    assert [(example.words, example.label) for example in source.read("test")] == [(("x", "x"), None)]
    embedded = conll(tmp_path, {"columns": {"word": 1, "tag": 3}})
    assert embedded.labels == ("O", "B-LOC", "I-LOC")


def test_numbers_that_are_words_are_read_where_the_columns_are_named(tmp_path):
    source = conll(tmp_path, {"columns": {"word": 0, "tag": 1}, "classes": ["X"]}, train="1 O\n2 O\n3 B-X\n")
    assert next(source.read("train")).words == ("1", "2", "3")


def test_columns_that_are_not_there(tmp_path):
    source = conll(tmp_path, {"columns": {"word": 1, "tag": 3}, "classes": ["X"]}, train="1 a O\n")
    with pytest.raises(DataError, match=r"train\.txt:1: expected more than 3 columns, found 3"):
        list(source.read("train"))


def test_another_encoding(tmp_path):
    (tmp_path / "train.txt").write_bytes("Zürich B-LOC\n\nGenève B-LOC\n".encode("utf-16"))
    source = conll(tmp_path, {"encoding": "utf-16"})
    assert [example.words for example in source.read("train")] == [("Zürich",), ("Genève",)]


def test_held_out_words_may_stand_alone(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    source = conll(tmp_path, train="EU B-ORG\n", test="EU\nrejects\n\nPeter\n", valid="EU\n")
    assert [(example.words, example.label) for example in source.read("test")] == [
        (("EU", "rejects"), None),
        (("Peter",), None),
    ]
    assert "2 sentences, no tags" in caplog.text
    with pytest.raises(DataError, match=r"valid\.txt:1: expected 2 or 4 columns, found 1"):
        list(source.read("validation"))


def test_training_words_stand_alone_where_labels_are_dropped(tmp_path):
    source = conll(tmp_path, {"labels": "none", "classes": ["X"]}, train="EU\n", valid="EU B-X\n")
    assert [example.label for split in source.splits() for example in source.read(split)] == [None, ("B-X",)]
    with pytest.raises(DataError, match=r"train\.txt: expected tags, found words alone; give .* `classes`"):
        _ = conll(tmp_path, {"labels": "none"}).labels


def test_given_types_keep_their_order_and_may_be_more(tmp_path):
    source = conll(tmp_path, {"classes": ["Z", "A"]}, train="EU B-A\n")
    assert source.labels == ("O", "B-Z", "I-Z", "B-A", "I-A")
    assert [example.label for example in source.read("train")] == [("B-A",)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("EU O\nEU NNP I-NP O\n", r"train\.txt:2: expected 2 columns as in the first line, found 4"),
        ("EU NNP O\n", r"train\.txt:1: expected 2 or 4 columns, found 3; .* `columns: {word: 1, tag: 2}`"),
        (
            "EU O\nEU X-ORG\n",
            r"train\.txt:2: expected a tag O, B-TYPE or I-TYPE \(IOB1, IOB2\), or .*, found 'X-ORG'",
        ),
        ("a O\n# no comment\n", r"train\.txt:2: expected 2 columns as in the first line, found 3"),
        ("EU ORG\n", r"train\.txt:1: expected a tag"),
        ("EU B-\n", r"train\.txt:1: expected a tag"),
        ("EU B-A\nEU B-A\x07\n", r"train\.txt:2: expected a label that is a name .*, found 'B-A\\x07'"),
        ("EU B-A\nEU B-A\0\n", r"train\.txt:2: expected UTF-8 text, found a NUL at column 7"),
        ("EU B-A\nEU B-\u200bA\n", r"train\.txt: expected classes that differ, found 'B-A' and 'B-\\u200bA'"),
        ("EU O\n", r"train\.txt: expected two classes or more, found only 'O'"),
        ("\n-DOCSTART- O\n\n", r"train\.txt:1: expected words, found only blank lines"),
    ],
)
def test_malformed_lines(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        list(conll(tmp_path, train=text).read("train"))


def test_a_tag_that_the_training_split_lacks(tmp_path):
    source = conll(tmp_path, train="EU B-ORG\n", valid="a O\nEU B-ORGA\n")
    with pytest.raises(DataError, match=r"valid\.txt:2: .* found 'B-ORGA'; did you mean 'B-ORG'"):
        list(source.read("validation"))


@real_data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("split", "sentences", "tokens"),
    [("train", 14041, 203621), ("validation", 3250, 51362), ("test", 3453, 46435)],
)
def test_real_sizes(split, sentences, tokens):
    source = ConllSource(task="token_classification", path=Path(os.environ["KDPIPE_DATA"]) / "conll2003")
    lengths = [len(example.words) for example in source.read(split)]
    assert (len(lengths), sum(lengths)) == (sentences, tokens)
    assert len(source.labels) == 9
