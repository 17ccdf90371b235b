"""Samples, mixtures, and sources without labels."""

from collections import Counter
from itertools import chain

import pytest

from kdpipe.data.source import Example
from kdpipe.data.views import Combined, Sample, Shared, Unlabelled
from kdpipe.errors import DataError


def numbered(number, label="yes"):
    return [Example(str(i), f"text {i}", label=label) for i in range(number)]


@pytest.fixture
def source(memory_source):
    return memory_source({"train": numbered(50), "test": numbered(9)}, ("yes", "no"))


def ids(source, split="train"):
    return [int(example.id) for example in source.read(split)]


def test_a_sample_is_fixed_and_in_order(source):
    drawn = ids(Sample(source, 10, seed=1))
    assert len(set(drawn)) == 10
    assert drawn == sorted(drawn)
    assert drawn == ids(Sample(source, 10, seed=1))
    assert drawn != ids(Sample(source, 10, seed=2))
    assert drawn != list(range(10))


def test_a_sample_is_of_train_unless_said(source):
    assert len(ids(Sample(source, 10, seed=1), "test")) == 9
    other = Sample(source, {"test": 4}, seed=1)
    assert len(ids(other)) == 50
    assert len(ids(other, "test")) == 4


def test_a_sample_of_more_than_there_is(source):
    assert ids(Sample(source, 1000, seed=1)) == list(range(50))


def test_a_sample_of_a_split_that_is_not_there(source, memory_source):
    with pytest.raises(
        DataError, match="`rows` of the splits train, test, found 'tset'; did you mean 'test'"
    ):
        Sample(source, {"tset": 3}, seed=1).splits()
    with pytest.raises(DataError, match=r"`rows` of the splits test, found 'train'; .*: {test: 100}"):
        Sample(memory_source({"test": numbered(3)}), 3, seed=1).splits()
    assert Sample(source, {"test": 3}, seed=1).splits() == ("train", "test")


def test_shares_are_fixed_and_part_the_training_examples(source, memory_source):
    shared = Shared(
        memory_source({"train": numbered(50)}, ("yes", "no")), {"validation": 0.1, "test": 0.25}, 1
    )
    assert shared.splits() == ("train", "validation", "test")
    assert shared.labels == ("yes", "no")
    parts = [ids(shared, split) for split in shared.splits()]
    assert [len(part) for part in parts] == [33, 5, 12]
    assert all(part == sorted(part) for part in parts)
    assert sorted(chain(*parts)) == list(range(50))
    assert next(shared.read("validation")).label == "yes"
    one = Shared(source, {"validation": 0.1}, seed=1)
    assert one.splits() == ("train", "validation", "test")
    assert ids(one, "validation") == parts[1] != ids(Shared(source, {"validation": 0.1}, 2), "validation")
    assert len(ids(one, "test")) == 9


def test_shares_that_cannot_be_taken(source, memory_source):
    with pytest.raises(DataError, match=r"no split 'test' in the files beside .*; remove this share"):
        Shared(source, {"test": 0.1}, seed=1).splits()
    with pytest.raises(DataError, match="expected a training split to take shares of, found test"):
        Shared(memory_source({"test": numbered(3)}), {"validation": 0.1}, seed=1).splits()
    few = Shared(memory_source({"train": numbered(2)}), {"validation": 0.1, "test": 0.1}, seed=1)
    with pytest.raises(DataError, match=r"than the shares 0\.1 and 0\.1 take, found 2; get more, or"):
        list(few.read("train"))


def test_combined_train_is_a_merge_of_all(memory_source, source):
    other = memory_source({"train": numbered(30, "no")}, ("no",))
    combined = Combined([source, other], seed=1)
    train = [example.id for example in combined.read("train")]
    assert sorted(train) == sorted([f"0/{i}" for i in range(50)] + [f"1/{i}" for i in range(30)])
    assert [name for name in train if name.startswith("0/")] == [f"0/{i}" for i in range(50)]
    assert {name[0] for name in train[:20]} == {"0", "1"}
    assert train == [example.id for example in Combined([source, other], seed=1).read("train")]


def test_all_but_train_is_of_the_first(memory_source, source):
    combined = Combined([source, memory_source({"train": numbered(3)}, ("no", "yes"))], seed=1)
    assert combined.labels == ("yes", "no")
    assert combined.splits() == ("train", "test")
    assert ids(combined, "test") == list(range(9))


def test_proportions_sample_and_repeat(memory_source, source):
    other = memory_source({"train": numbered(30)}, ("yes", "no"))
    combined = Combined([source, other], seed=1, proportions=[0.5, 2.1])
    train = [example.id for example in combined.read("train")]
    assert len(set(train)) == len(train)
    names = Counter(name.partition("/")[0] for name in train)
    assert names == {"0": 25, "1": 30, "1.2": 30, "1.3": 3}
    assert {name for name in train if name.startswith("1.2")} == {f"1.2/{i}" for i in range(30)}
    kept = [int(name[2:]) for name in train if name.startswith("0/")]
    assert kept == sorted(kept) != list(range(25))
    assert train == [example.id for example in combined.read("train")]


def test_of_a_small_part_one_row_is_left(memory_source, source):
    other = memory_source({"train": numbered(3)}, ("yes", "no"))
    train = list(Combined([source, other], seed=1, proportions=[1, 0.1]).read("train"))
    assert len(train) == 51


def test_parts_with_other_labels(memory_source, source):
    parts = [source, memory_source({"train": numbered(3)}, ("no", "yes", "maybe"))]
    with pytest.raises(DataError, match="found 'maybe' in 'table b' but not in 'text a'"):
        _ = Combined(parts, seed=1, names=["text a", "table b"]).labels
    parts[1] = memory_source({"train": numbered(3)}, ("yes",))
    with pytest.raises(DataError, match="found 'no' in 'number 0' but not in 'number 1'"):
        _ = Combined(parts, seed=1).labels


def test_a_part_without_training_data(memory_source, source):
    parts = [source, memory_source({"test": numbered(3)}, ("yes", "no"))]
    with pytest.raises(
        DataError, match="a training split in all parts of a combination, 'table b' has only test"
    ):
        Combined(parts, seed=1, names=["text a", "table b"]).splits()


def test_a_part_that_has_become_shorter_since_it_was_counted(memory_source, source):
    rows = {"train": numbered(3)}
    part = memory_source(rows, ("yes", "no"))
    examples = Combined([part, source], seed=1, names=["a", "b"]).read("train")
    next(examples)
    rows["train"].clear()
    with pytest.raises(DataError, match="as many training examples in 'a' as when they were counted"):
        list(examples)


def test_parts_of_pairs_and_of_single_texts(memory_source, source):
    pairs = memory_source({"train": [Example("1", "a", "b", label="yes")]}, ("yes", "no"))
    with pytest.raises(DataError, match=r"expected pairs of texts in all .* in 'b' but not in 'a'"):
        list(Combined([source, pairs], seed=1, names=["a", "b"]).read("train"))


def test_unlabelled_keeps_the_labels_of_what_is_held_out(source):
    unlabelled = Unlabelled(source)
    assert {example.label for example in unlabelled.read("train")} == {None}
    assert {example.label for example in unlabelled.read("test")} == {"yes"}
    assert ids(unlabelled) == list(range(50))
    assert unlabelled.labels == ("yes", "no")
