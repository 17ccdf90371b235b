"""Messages quote data in one short line."""

import pytest

from kdpipe.data.telling import LONGEST, listed, reason
from kdpipe.errors import MOST_QUOTED, quoted

DEEP: list[object] = []
for _ in range(900):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "value", ["\0\ud800\u202e", "a" * 10**6, b"a" * 10**6, ["a" * 10**6] * 100, 10**4000, DEEP, {"a\n": DEEP}]
)
def test_values_of_any_kind(value):
    assert len(quoted(value)) <= MOST_QUOTED
    assert quoted(value).isprintable()


def test_names():
    assert listed(["a b", "c\r", *map(str, range(30))]).startswith(r"a b, 'c\r', 0, 1, 2")
    assert listed(map(str, range(30))).endswith("18, 19, …")
    assert len(listed("a" * 70 for _ in range(20))) == LONGEST + 1


def test_what_a_library_says():
    assert reason(OSError("cannot\x13 read\n\nit")) == "cannot read it"
    assert len(reason(OSError("a" * 10**6))) == LONGEST
