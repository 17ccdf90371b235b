"""Copies of examples: their ids, labels and draws, and copies that are left out."""

from itertools import pairwise

import pytest

from kdpipe import catalog
from kdpipe.augmentation.copies import Augmented, Copies
from kdpipe.data.source import Example
from kdpipe.errors import DataError

EXAMPLES = [Example(f"e{number}", "the film was  good\tand long", label="yes") for number in range(30)]
PAIRS = [example._replace(text_pair="nobody saw the other film there") for example in EXAMPLES]


class Memory:
    """A source in memory."""

    tasks = ("classification",)
    labels = ("no", "yes")

    def __init__(self, train):
        self._splits = {"train": train, "test": EXAMPLES[:3]}

    def splits(self):
        return tuple(self._splits)

    def read(self, split):
        return iter(self._splits[split])


def augmented(name, examples=EXAMPLES, number=3, seed=1, **options):
    copies = Copies(number, seed)
    method = catalog.resolve("augmentations", name)(**options)
    return Augmented(Memory(examples), method, copies, "[MASK]"), copies


def test_each_example_is_followed_by_copies():
    source, copies = augmented("mask", probability=0.5)
    rows = list(source.read("train"))
    assert [row for row in rows if "+" not in row.id] == EXAMPLES
    assert len(rows) == len(EXAMPLES) + copies.counts["copies"]
    assert copies.counts.total() == 3 * len(EXAMPLES)
    assert len({row.id for row in rows}) == len(rows)
    for before, row in pairwise(rows):
        original, _, number = row.id.partition("+")
        assert before.id.partition("+")[0] == original or not number
        assert row.label == "yes"
    assert rows[1].text.split(" ")[4] in ("and", "[MASK]")
    assert list(source.read("test")) == EXAMPLES[:3]


def test_copies_are_the_same_at_every_reading():
    source, copies = augmented("delete", probability=0.3)
    first, counts = list(source.read("train")), dict(copies.counts)
    assert list(source.read("train")) == first
    assert copies.counts == counts
    assert list(augmented("delete", probability=0.3)[0].read("train")) == first
    assert list(augmented("delete", probability=0.3, seed=2)[0].read("train")) != first


def test_a_copy_depends_on_its_place_and_not_on_the_rows_before():
    whole = list(augmented("delete", probability=0.3)[0].read("train"))
    changed = [EXAMPLES[0]._replace(text="a"), *EXAMPLES[1:]]
    other = list(augmented("delete", changed, probability=0.3)[0].read("train"))
    assert [row for row in whole if not row.id.startswith("e0")] == [
        row for row in other if not row.id.startswith("e0")
    ]


def test_both_texts_of_a_pair_are_changed():
    source, _ = augmented("short_disorder", PAIRS, probabilities=[0.2] * 5)
    copies = [row for row in source.read("train") if "+" in row.id]
    assert len({row.text for row in copies}) > 5
    assert len({row.text_pair for row in copies}) > 5
    assert all(sorted(row.text_pair.split()) == sorted(PAIRS[0].text_pair.split()) for row in copies)


@pytest.mark.parametrize(("name", "options"), [
    ("mask", {}), ("delete", {"probability": 1}), ("ngram", {}), ("short_disorder", {}),
    ("long_disorder", {}),
])  # fmt: skip
@pytest.mark.parametrize("text", ["", " ", "word"])
def test_copies_without_words_or_changes_are_left_out(name, options, text):
    source, copies = augmented(name, [Example("e", text)], number=50, **options)
    rows = list(source.read("train"))
    assert rows[0] == Example("e", text)
    assert [row.text for row in rows[1:]] == (["[MASK]"] if name == "mask" and text == "word" else [])
    assert copies.counts["left_out"] == 50 - len(rows[1:])


def test_equal_copies_are_left_out():
    source, copies = augmented("ngram", [Example("e", "a b")], number=100, probabilities=[1])
    assert sorted(row.text for row in source.read("train")) == ["a", "a b", "b"]
    assert copies.counts == {"copies": 2, "left_out": 98}


def test_words_cannot_be_masked_without_a_mask_token():
    source = Augmented(Memory(EXAMPLES), catalog.resolve("augmentations", "mask")(), Copies(3, 1), None)
    with pytest.raises(DataError, match="expected a tokenizer with a mask token for `augment: "):
        list(source.read("train"))
