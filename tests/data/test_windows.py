"""Windows equal the windows that `tokenizers` cuts, and the answer is where the text has it."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Whitespace
from tokenizers.processors import ByteLevel as ByteLevelProcessing
from tokenizers.processors import RobertaProcessing, TemplateProcessing
from tokenizers.trainers import BpeTrainer

from kdpipe.data.preprocess import write_dataset
from kdpipe.data.source import Answer, Example
from kdpipe.data.windows import QuestionEncoder
from kdpipe.errors import DataError
from tests.encoded import read_split

CONTEXT = "The Rhône flows through Lyon, 北京 has none; a 𝄞 clef (and naïve cafés) do not flow at all. " * 3
QUESTION = "What flows through Lyon?"


def byte_level(processor):
    """Return a byte-level BPE tokenizer as RoBERTa or GPT-2 has it."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "<pad>", "</s>"],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([CONTEXT, QUESTION], trainer)
    tokenizer.post_processor = processor
    return tokenizer


@pytest.fixture(params=["letters", "roberta", "gpt2"])
def any_tokenizer(request, tokenizer):
    if request.param == "letters":
        return tokenizer
    if request.param == "roberta":
        return byte_level(RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False))
    return byte_level(ByteLevelProcessing(trim_offsets=False))


@pytest.fixture
def encoder(any_tokenizer, tmp_path):
    """Return a function that makes an encoder with some tokenizer."""

    def make(max_length, stride):
        any_tokenizer.save(str(tmp_path / "tokenizer.json"))
        return QuestionEncoder(tmp_path / "tokenizer.json", max_length, stride)

    return make


def question(context=CONTEXT, answers=(), text=QUESTION, name="q"):
    return Example(name, text, context, answers)


def answer(text, context=CONTEXT):
    return Answer(context.index(text), text)


@pytest.mark.parametrize(("max_length", "stride"), [(64, 0), (64, 16), (72, 20), (96, 31), (512, 128)])
def test_they_are_those_of_the_tokenizer(any_tokenizer, encoder, max_length, stride):
    batch, counts = encoder(max_length, stride)([question()])
    any_tokenizer.enable_truncation(max_length, stride=stride, strategy="only_second")
    whole = any_tokenizer.encode(QUESTION, CONTEXT)
    expected = [whole, *whole.overflowing]
    assert counts["rows"] == len(expected)
    for row, window in zip(batch.to_pylist(), expected, strict=True):
        assert row["input_ids"] == window.ids
        assert row["token_type_ids"] == window.type_ids
        assert row["length"] == len(window.ids) <= max_length
        offsets = [
            trimmed(CONTEXT, *place) if sequence == 1 else (-1, -1)
            for place, sequence in zip(window.offsets, window.sequence_ids, strict=True)
        ]
        assert list(zip(row["starts"], row["ends"], strict=True)) == offsets


def trimmed(text, start, end):
    """Return the characters of a token without blanks around it."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def test_blanks_belong_to_no_token(tmp_path):
    context = "\u00a0 the  film\n\u3000ran "
    byte_level(ByteLevelProcessing(trim_offsets=False)).save(str(tmp_path / "tokenizer.json"))
    batch, _ = QuestionEncoder(tmp_path / "tokenizer.json", 96, 8)([question(context)])
    (row,) = batch.to_pylist()
    places = [place for place in zip(row["starts"], row["ends"], strict=True) if place[0] >= 0]
    assert places == sorted(places)
    assert all(trimmed(context, *place) == place for place in places)
    signs = {place for start, end in places for place in range(start, end)}
    assert signs == {place for place, sign in enumerate(context) if not sign.isspace()}


@pytest.mark.parametrize("text", ["Rhône", "The", "北京", "𝄞", "naïve cafés", "Lyon, 北京", "flow at all."])
def test_labels_are_the_places_of_the_answer(encoder, text):
    where = CONTEXT.rindex(text)
    batch, counts = encoder(80, 24)([question(answers=(Answer(where, text),))])
    found = 0
    for row in batch.to_pylist():
        first, last = row["labels"]
        if (first, last) != (0, 0):
            found += 1
            assert CONTEXT[row["starts"][first] : row["ends"][last]].strip() == text
    assert found
    assert counts["windows_without_answer"] == counts["rows"] - found


def test_an_answer_that_is_cut_is_in_no_window(tokenizer_file):
    context = "a b c d e f g h i j k l m n o p q r s t"
    examples = [
        question(context, (answer(text, context),), "z") for text in ("c d", "j k", "k l", "a b c d e f")
    ]
    encode = QuestionEncoder(tokenizer_file, 14, 4)
    batch, counts = encode(examples)
    assert batch["labels"].to_pylist() == [
        *([5, 6], [0, 0], [0, 0]),
        *([0, 0], [6, 7], [0, 0]),
        *([0, 0], [7, 8], [0, 0]),
        *([3, 8], [0, 0], [0, 0]),
    ]
    assert counts["windows_without_answer"] == 8
    assert counts["cut_answers"] == 0
    short = "a b c d e f g h i j k l"
    _, counts = encode(
        [question(short, (answer(text, short),), "z") for text in ("b", "a b c d e f g h i j k")]
    )
    assert counts["cut_answers"] == 1
    assert batch["id"].to_pylist()[:4] == ["q", "q#1", "q#2", "q"]
    assert batch["example"].to_pylist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_the_first_answer_is_learned_and_none_is_the_first_token(tokenizer_file):
    examples = [
        question("a b c", (answer("b", "a b c"), answer("c", "a b c")), "z"),
        question("a b c", (), "z"),
    ]
    batch, counts = QuestionEncoder(tokenizer_file, 16, 4)(examples)
    assert batch["labels"].to_pylist() == [[4, 4], [0, 0]]
    assert counts == {
        "cut_questions": 0,
        "cut_answers": 0,
        "windows_without_answer": 1,
        "examples": 2,
        "rows": 2,
        "tokens": 14,
    }


def test_unlabelled_questions_have_no_labels(tokenizer_file):
    batch, counts = QuestionEncoder(tokenizer_file, 16, 4)([Example("q", "a", "b")])
    assert batch.schema.names == ["id", "input_ids", "token_type_ids", "example", "starts", "ends", "length"]
    assert [str(field) for field in batch.schema.types] == [
        *("string", "list<item: int32>", "list<item: int8>"),
        *("int32", "list<item: int32>", "list<item: int32>", "int32"),
    ]
    assert "windows_without_answer" not in counts


def test_long_questions_are_cut_and_empty_contexts_have_a_window(tokenizer, tokenizer_file):
    batch, counts = QuestionEncoder(tokenizer_file, 16, 5)(
        [question("", (), "a " * 9), question("b", (), "a")]
    )
    assert counts["cut_questions"] == 1
    assert [[tokenizer.id_to_token(i) for i in ids] for ids in batch["input_ids"].to_pylist()] == [
        ["[CLS]", "a", "a", "a", "a", "[SEP]", "[SEP]"],
        ["[CLS]", "a", "[SEP]", "b", "[SEP]"],
    ]


def test_a_question_without_tokens_gets_one_where_there_are_no_special_tokens(tmp_path):
    tokenizer = Tokenizer(WordLevel({"question": 0, "context": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    batch, counts = QuestionEncoder(tmp_path / "tokenizer.json", 16, 4)(
        [question("", (), ""), question("context", (), "question")]
    )
    assert batch["input_ids"].to_pylist() == [[2], [0, 1]]
    assert (batch["length"].to_pylist(), counts["without_tokens"]) == ([1, 2], 1)


def test_a_length_without_room_is_refused(tokenizer_file):
    with pytest.raises(DataError, match="found 16 with `stride` 12 and 3 special tokens; give a larger"):
        QuestionEncoder(tokenizer_file, 16, 12)


def test_a_tokenizer_that_puts_the_context_first_is_refused(tmp_path):
    tokenizer = Tokenizer(WordLevel({"question": 0, "context": 1}, unk_token="question"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A", pair="$B $A", special_tokens=[])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match="found one that makes 'context question'"):
        QuestionEncoder(tmp_path / "tokenizer.json", 16, 4)


def test_examples_lie_beside_their_windows(tmp_path, memory_source, tokenizer_file):
    long = "a b c d e f g h i j k l m n o p q r s t"
    labelled = [question(long, (answer("k l", long),), "z", str(i)) for i in range(3000)] + [
        question("b", (), "z")
    ]
    source = memory_source({"train": labelled, "test": [Example("x", "z", "a")]})
    for processes in (1, 2):
        (tmp_path / str(processes)).mkdir()
        description = write_dataset(
            tmp_path / str(processes),
            source,
            tokenizer_file,
            task="question_answering",
            max_length=14,
            stride=4,
            processes=processes,
        )
    names = [
        "dataset.json",
        "test.arrow",
        "test.examples.parquet",
        "train.arrow",
        "train.examples.parquet",
    ]
    assert sorted(file.name for file in (tmp_path / "1").iterdir()) == names
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert description["splits"]["train"]["examples"] == 3001
    assert description["splits"]["train"]["rows"] == 9001
    examples = pq.read_table(tmp_path / "1" / "train.examples.parquet").to_pylist()
    assert examples[0] == {"id": "0", "context": long, "answers": [{"start": 20, "text": "k l"}]}
    assert examples[-1] == {"id": "q", "context": "b", "answers": []}
    rows = read_split(tmp_path / "1", "train")["example"].to_numpy()
    assert rows.tolist() == np.repeat(np.arange(3001), [3] * 3000 + [1]).tolist()
    unknown = pq.read_table(tmp_path / "1" / "test.examples.parquet").to_pylist()
    assert unknown == [{"id": "x", "context": "a", "answers": None}]
