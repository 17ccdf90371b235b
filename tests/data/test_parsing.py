"""JSON of all kinds."""

import pytest

from kdpipe.data.parsing import parse_json
from kdpipe.errors import DataError


def test_what_is_json():
    assert parse_json('{"a": [1, {"b": null}]}', "f.json") == {"a": [1, {"b": None}]}


@pytest.mark.parametrize(("text", "message"), [
    ("[1,\n oops]", r"f\.json:8: expected JSON, found a mistake at column 2 \(Expecting value\); mend"),
    ("", r"f\.json:7: expected JSON, found a mistake at column 1"),
    ("[" * 99_999, r"f\.json:7: expected JSON, found lists or objects in each other that are too many"),
    ('{"a":' * 99_999, r"f\.json:7: expected JSON, found lists or objects in each other"),
    ("9" * 5_000, r"f\.json:7: .*, found Exceeds the limit \(4300 digits\) for .* has 5000 digits; mend it"),
    ('{"b": 1, "a": 2, "a": 3}', r"f\.json:7: expected JSON, found the key 'a' twice in one object"),
])  # fmt: skip
def test_what_is_none(text, message):
    with pytest.raises(DataError, match=message):
        parse_json(text, "f.json", 7)
