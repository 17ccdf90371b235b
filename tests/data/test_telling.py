"""What messages quote of data is short, and one line."""

import pytest

from kdpipe.data.telling import LONGEST_LIST, LONGEST_VALUE, listed, reason, shown

DEEP: list[object] = []
for _ in range(900):
    DEEP = [DEEP]


@pytest.mark.parametrize(("value", "text"), [
    ("it's\n", r""" "it's\n" """.strip()),
    ("\0\ud800\u202e", r"'\x00\ud800\u202e'"),
    (None, "None"),
    (DEEP, "[[[...]]]"),
    (["a"] * 9, "['a', 'a', 'a', 'a', 'a', 'a', ...]"),
])  # fmt: skip
def test_values(value, text):
    assert shown(value) == text


@pytest.mark.parametrize("value", ["a" * 10**6, b"a" * 10**6, ["a" * 10**6] * 100, 10**4000])
def test_long_values(value):
    assert len(shown(value)) <= 2 * LONGEST_VALUE
    assert "..." in shown(value)


def test_names():
    assert listed(["a b", "c\r", *map(str, range(30))]).startswith(r"a b, 'c\r', 0, 1, 2")
    assert listed(map(str, range(30))).endswith("18, 19, …")
    assert len(listed("a" * 70 for _ in range(20))) == LONGEST_LIST + 1


def test_what_a_library_says():
    assert reason(OSError("cannot\x13 read\n\nit")) == "cannot read it"
    assert len(reason(OSError("a" * 10**6))) == LONGEST_LIST
