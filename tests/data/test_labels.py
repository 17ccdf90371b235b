"""From cells to labels."""

import pytest

from kdpipe.data.labels import class_name, class_names_in, is_on, number, sorted_classes
from kdpipe.errors import DataError

WHERE = "t.csv:7"


@pytest.mark.parametrize(("found", "classes"), [
    (["b", "a", "b"], ("a", "b")),
    (["10", "9", "-1", "9"], ("-1", "9", "10")),
    (["10", "9", "x"], ("10", "9", "x")),
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


def test_numbers():
    assert [number(value, WHERE) for value in ("2.50", "-1e3", 3, 3e38)] == [2.5, -1000.0, 3.0, 3e38]


@pytest.mark.parametrize("value", ["high", "", "nan", "inf", "-1e39", 10**401, True, None])
def test_what_is_no_number(value):
    with pytest.raises(DataError, match=r"t\.csv:7: expected a number as label, found"):
        number(value, WHERE)
