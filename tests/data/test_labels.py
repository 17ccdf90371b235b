"""From cells to labels."""

from decimal import Decimal

import pytest

from kdpipe.data.labels import checked_classes, class_name, class_names_in, is_on, number, sorted_classes
from kdpipe.errors import DataError

WHERE = "t.csv:7"


@pytest.mark.parametrize(("found", "classes"), [
    (["b", "a", "b"], ("a", "b")),
    (["10", "9", "-1", "9"], ("-1", "9", "10")),
    (["10", "9", "x"], ("10", "9", "x")),
    (["9" * 5000, "8"], ("8", "9" * 5000)),
])  # fmt: skip
def test_classes_are_sorted_by_value_if_all_are_whole_numbers(found, classes):
    assert sorted_classes(found) == sorted_classes(reversed(found)) == classes


def test_numbers_and_truth_values_are_named_as_json_spells_them():
    assert [class_name(value, WHERE) for value in ("a b", 2, True)] == ["a b", "2", "true"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", "an empty one"),
        (" ", "an empty one"),
        (None, "an empty one"),
        (0.5, r"0\.5"),
        (["a"], r"\['a'\]"),
        (b"a", "b'a'"),
        ("a\0", r"'a\\x00'"),
        ("a\r", r"'a\\r'"),
        ("\x1b[31ma", r"'\\x1b\[31ma'"),
        ("\ud800", r"'\\ud800'"),
        (10**300, r"'1000.*000'"),
        ("a" * 10**7, "'aaaaa.*aaaaa'"),
    ],
)
def test_what_names_no_class(value, found):
    with pytest.raises(
        DataError, match=rf"t\.csv:7: expected a label that is .* whole number, found {found};"
    ):
        class_name(value, WHERE)


@pytest.mark.parametrize(("value", "separator", "names"), [
    (["z", 1], None, ("z", "1")),
    ([], None, ()),
    ("z | 1", "|", ("z", "1")),
    ("z", "|", ("z",)),
    ("", "|", ()),
    (["a|b"], "|", ("a|b",)),
])  # fmt: skip
def test_several_labels_as_a_list_or_in_one_text(value, separator, names):
    assert class_names_in(value, separator, WHERE) == names


@pytest.mark.parametrize(("value", "separator", "message"), [
    ("a|b", None, r"t\.csv:7: expected a list of labels, found 'a\|b'; .* as `separator`"),
    (None, "|", r"t\.csv:7: expected a list of labels, found None"),
    ("a||b", "|", r"t\.csv:7: expected a label that is a name .*, found an empty one"),
])  # fmt: skip
def test_what_is_no_list_of_labels(value, separator, message):
    with pytest.raises(DataError, match=message):
        class_names_in(value, separator, WHERE)


def test_on_and_off():
    assert [is_on(value, WHERE) for value in ("0", "1", 0, 1, False, True)] == [False, True] * 3
    with pytest.raises(DataError, match=r"t\.csv:7: expected 0 or 1, found '2'"):
        is_on("2", WHERE)
    for value in (b"1", [1], 1.0, Decimal(1), "9" * 10**6):
        with pytest.raises(DataError, match=r"t\.csv:7: expected 0 or 1, found .{,200}$"):
            is_on(value, WHERE)


def test_numbers():
    assert [number(value, WHERE) for value in ("2.50", "-1e3", 3, 3e38, Decimal("0.5"))] == [
        2.5, -1000.0, 3.0, 3e38, 0.5,
    ]  # fmt: skip


@pytest.mark.parametrize(("names", "found"), [
    (["b", 1, "a\u200cb", "B"], ("b", "1", "a\u200cb", "B")),
    ([False, True], ("false", "true")),
])  # fmt: skip
def test_classes_that_can_be_told_apart(names, found):
    assert checked_classes(names, WHERE) == found


@pytest.mark.parametrize(("names", "message"), [
    ([], r"t\.csv:7: expected two classes or more, found none; get data .* `classes`"),
    (["2"], r"t\.csv:7: expected two classes or more, found only '2'; get"),
    (["a", "b", "a"], r"t\.csv:7: expected classes that differ, found 'a' and 'a'; mend"),
    ([1, "1"], "found '1' and '1'"),
    (["a", "a "], "found 'a' and 'a '"),
    (["a b", "a\xa0\xa0b"], r"found 'a b' and 'a\\xa0\\xa0b'"),
    (["a", "\u200ba"], r"found 'a' and '\\u200ba'"),
    (["caf\u00e9", "cafe\u0301"], "found 'caf\u00e9' and 'cafe\u0301'"),
    (["a", None], "expected a label that is a name .* found an empty one"),
])  # fmt: skip
def test_classes_that_cannot(names, message):
    with pytest.raises(DataError, match=message):
        checked_classes(names, WHERE)


@pytest.mark.parametrize(
    "value", ["high", "", "nan", "inf", "-1e39", 10**401, "9" * 5000, "1_0", True, None, b"1", [1]]
)
def test_what_is_no_number(value):
    with pytest.raises(DataError, match=r"t\.csv:7: expected a number as label, found"):
        number(value, WHERE)
