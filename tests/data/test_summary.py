"""The log tells the labels of a dataset."""

from pathlib import Path

import pytest

from kdpipe.data.encoded import read_description
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.source import Answer, Example
from kdpipe.data.summary import labels_in_words


def summarized(folder, source, tokenizer_file, task, split="train"):
    description = write_dataset(folder, source, tokenizer_file, task=task, max_length=32, stride=4)
    return labels_in_words(folder, split, description)


@pytest.mark.parametrize(("task", "classes", "labels", "words"), [
    ("classification", ("no", "maybe", "yes"), ["yes", "no", "yes"], "no: 1, maybe: 0, yes: 2"),
    ("multi_label", ("a", "b"), [("a",), ("b", "a"), ()], "a: 2, b: 1"),
    ("regression", None, [0.5, -2.0, 3.0], "numbers from -2 to 3, 0.5 in the mean"),
])  # fmt: skip
def test_labels_of_examples(tmp_path, memory_source, tokenizer_file, task, classes, labels, words):
    examples = [Example(str(number), "a b", label=label) for number, label in enumerate(labels)]
    source = memory_source({"train": examples}, classes)
    assert summarized(tmp_path, source, tokenizer_file, task) == words


def test_entities_count_by_their_beginnings(tmp_path, memory_source, tokenizer_file):
    words = ("a", "b", "c", "d")
    example = Example("1", "a b c d", label=("B-X", "I-X", "O", "B-X"), words=words)
    source = memory_source({"train": [example]}, ("O", "B-X", "I-X", "B-Y", "I-Y"))
    assert summarized(tmp_path, source, tokenizer_file, "token_classification") == "X: 2, Y: 0"


def test_answers_of_questions(tmp_path, memory_source, tokenizer_file):
    examples = [Example("1", "a", "b c", (Answer(0, "b"),)), Example("2", "a", "b c", ())]
    assert summarized(tmp_path, memory_source({"train": examples}), tokenizer_file, "question_answering") == (
        "1 questions with answers, all found where they are said to be, 1 without"
    )


def test_a_split_without_labels(tmp_path, memory_source, tokenizer_file):
    examples = [Example("1", "a b")]
    source = memory_source({"train": examples, "test": examples}, ("x",))
    words = summarized(tmp_path, source, tokenizer_file, "classification", "test")
    assert words == "no labels, so it will not be scored"
    assert labels_in_words(tmp_path, "train", read_description(tmp_path)) == "no labels"


def test_text_needs_none(text_data: Path):
    assert (
        labels_in_words(text_data, "validation", read_description(text_data)) == "text, which needs no labels"
    )
