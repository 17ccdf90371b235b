"""First pieces of words, and their tags, in rows and in batches."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.source import Example
from kdpipe.data.tagging import TaggingEncoder
from kdpipe.errors import DataError
from tests.encoded import read_split

LABELS = ("O", "B-X", "I-X")


def sentence(text: str, tags: str | None, name: str = "s") -> Example:
    words = tuple(text.split())
    return Example(name, text, label=tuple(tags.split()) if tags else None, words=words)


WORDS = (
    "The",
    "film",
    "was",
    "(",
    "in",
    "1999",
    ")",
    "don",
    "'t",
    "10\xa0000",
    "\x01",
    "Café",
    "\N{FIRE}",
    "is",
)
GPT4 = Regex(r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s+")
BYTES = pre_tokenizers.ByteLevel
DIGITS = pre_tokenizers.Digits(individual_digits=True)
SIGNS = pre_tokenizers.Metaspace
KINDS = {
    "words": (pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer(), ""),
    "blanks": (pre_tokenizers.WhitespaceSplit(), None, ""),
    "bytes": (BYTES(add_prefix_space=False), None, ""),
    "bytes with a prefix": (BYTES(add_prefix_space=True, trim_offsets=False), None, ""),
    "digits and bytes": (
        pre_tokenizers.Sequence([DIGITS, BYTES(add_prefix_space=False)]), normalizers.NFC(), "",
    ),
    "a pattern and bytes": (
        pre_tokenizers.Sequence([
            pre_tokenizers.Split(GPT4, "isolated"), BYTES(add_prefix_space=False, use_regex=False),
        ]),
        None,
        "",
    ),
    "blanks as signs": (SIGNS(), normalizers.NFKC(), ""),
    "blanks as signs but the first": (SIGNS(prepend_scheme="never"), None, ""),
    "the sign at the start": (SIGNS(prepend_scheme="first"), None, ""),
    "no words at all": (
        None, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]), "",
    ),
    "ends of words": (pre_tokenizers.BertPreTokenizer(), normalizers.Lowercase(), "</w>"),
}  # fmt: skip


@pytest.fixture(params=KINDS)
def any_tokenizer(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A tokenizer of each kind, with special tokens at both ends of a text."""
    pre_tokenizer, normalizer, suffix = KINDS[request.param]
    tokenizer = Tokenizer(models.BPE(unk_token="?", end_of_word_suffix=suffix))
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>", "?"],
        initial_alphabet=BYTES.alphabet() if "bytes" in request.param else [],
        end_of_word_suffix=suffix,
    )
    tokenizer.train_from_iterator([" ".join(WORDS[:10]), "a filmed house was small"] * 20, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


@pytest.mark.parametrize("length", [64, 9])
def test_words_are_encoded_as_in_their_sentence(any_tokenizer: Path, length: int) -> None:
    text = " ".join(WORDS)
    encoder = TaggingEncoder(any_tokenizer, length, LABELS)
    (row,) = encoder([Example("s", text, words=WORDS)]).batch.to_pylist()
    tokenizer = Tokenizer.from_file(str(any_tokenizer))
    tokenizer.enable_truncation(length)
    whole = tokenizer.encode(text)
    assert row["input_ids"] == whole.ids
    # A piece that begins a word begins with its first character, or with the blank before it.
    begins = [-1, *(first for first, _ in whole.offsets[1:-1]), len(text)]
    places = {}
    for place, word in enumerate(WORDS):
        end = len(" ".join(WORDS[: place + 1]))
        own = range(max(0, end - len(word) - 1), end)
        places[word] = next((i for i, begin in enumerate(begins) if begin in own), -1)
    assert dict(zip(WORDS, row["words"], strict=True)) == places


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


def test_blanks_stay_with_words_of_bytes(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(), BYTES(add_prefix_space=False)
    ])  # fmt: skip
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=BYTES.alphabet())
    tokenizer.train_from_iterator(["the film was good"] * 20, trainer)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    encoder = TaggingEncoder(tmp_path / "tokenizer.json", 32, LABELS)
    (row,) = encoder([sentence("the film was", None)]).batch.to_pylist()
    assert [tokenizer.id_to_token(piece) for piece in row["input_ids"]] == ["the", "Ġfilm", "Ġwas"]
    assert row["words"] == [0, 1, 2]
    assert "labels" not in row


def test_a_sentence_without_pieces_gets_one_that_is_of_no_word(language_model: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(language_model / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    encoder = TaggingEncoder(tmp_path / "tokenizer.json", 9, LABELS)
    encoded = encoder([Example("s", "\x01", words=("\x01",)), sentence("the a", None)])
    rows = encoded.batch.to_pylist()
    assert [tokenizer.id_to_token(piece) for piece in rows[0]["input_ids"]] == ["[UNK]"]
    assert [row["words"] for row in rows] == [[-1], [0, 1]]
    assert encoded.counts["without_tokens"] == 1


def test_a_tag_that_is_no_label(language_model: Path) -> None:
    with pytest.raises(DataError, match="example s: expected one of the dataset's labels, found 'B-Y'"):
        TaggingEncoder(language_model / "tokenizer.json", 9, LABELS)([sentence("the", "B-Y")])


def test_batches_know_where_the_tagged_tokens_are(ner_data: Path) -> None:
    split = EncodedSplit(ner_data, "train")
    batch = Collator(split, pad_id=0)([5, 0, 31])
    table = read_split(split.path.parent, split.split).to_pylist()
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
