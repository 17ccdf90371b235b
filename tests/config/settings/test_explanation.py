from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from kdpipe.config.mistakes import explain
from kdpipe.config.settings.base import Settings
from kdpipe.config.settings.explanation import read_name


class Inner(Settings):
    size: int
    names: tuple[str, ...] = ()


class Outer(Settings):
    file: Path = Path("file")
    several: list[str | int] | None = None
    nested: dict[str, list[int | Inner]] | None = None
    number: Annotated[float, Field(gt=0)] = 1.0
    kind: Literal["linear", "cosine"] = "linear"
    either: int | dict[str, Annotated[int, Field(ge=1)]] | None = None
    pairs: str | list[tuple[int, int]] = "last"
    inner: Inner | None = None
    by_name: dict[str, Inner] | None = None


FRACTION = "should be a valid integer, got a number with a fractional part"
UNQUOTED = "names are strings; put this one in quotes"
NAMES = "should be a valid string or a valid integer"
QUOTES = "; put a name in quotes"


@pytest.mark.parametrize(("settings", "where", "what"), [
    ({"number": 0}, ("number",), "should be greater than 0, found 0"),
    ({"number": "x"}, ("number",), "should be a valid number, found 'x'"),
    ({"kind": "linaer"}, ("kind",), "'linaer' is not known; did you mean 'linear'?"),
    ({"kind": 3}, ("kind",), "3 is not known; there is cosine, linear"),
    ({"nmber": 1}, ("nmber",), "unknown key; did you mean 'number'?"),
    ({"either": "x"}, ("either",), "should be a valid integer or a valid mapping, found 'x'"),
    ({"either": {"a": 0}}, ("either", "a"), "should be greater than or equal to 1, found 0"),
    ({"pairs": 3}, ("pairs",), f"should be a valid string or a valid list, found 3{QUOTES}"),
    ({"pairs": [[1, 2], [1]]}, ("pairs", 1, 1), "is required"),
    ({"pairs": [[1, 2, 3]]}, ("pairs", 0), "should have at most 2 items, not 3, found [1, 2, 3]"),
    ({"inner": {}}, ("inner", "size"), "is required"),
    ({"inner": {"size": 1, "sise": 2}}, ("inner", "sise"), "unknown key; did you mean 'size'?"),
    ({"inner": 3}, ("inner",), "should be a valid mapping, found 3"),
    ({"inner": {"size": 1, "names": 3}}, ("inner", "names"), "should be a valid list, found 3"),
    ({"by_name": {1: {"size": 1}}}, ("by_name", "1"), "names are strings; put this one in quotes"),
    ({"by_name": {"a": {"size": "x"}}}, ("by_name", "a", "size"), "should be a valid integer, found 'x'"),
    ({"by_name": {True: {"size": 1}}}, ("by_name", "true"), f"{UNQUOTED}; YAML reads it as true"),
    ({"by_name": {None: {"size": 1}}}, ("by_name", "null"), UNQUOTED),
    ({"by_name": {1.5: {"size": 1}}}, ("by_name", "1.5"), UNQUOTED),
    ({"file": 3}, ("file",), f"should be a valid path, found 3{QUOTES}"),
    ({"several": ["a", 1, None]}, ("several", 2), f"{NAMES}, found None{QUOTES}"),
    ({"several": [True]}, ("several", 0), f"{NAMES}, found True{QUOTES}"),
    ({"nested": {"a": [1, {"size": -0.5}]}}, ("nested", "a", 1, "size"), f"{FRACTION}, found -0.5"),
    ({"nested": {"a": [{}]}}, ("nested", "a", 0, "size"), "is required"),
    ({"number": True}, ("number",), "should be a valid number, found True"),
    ({"either": {"a": True}}, ("either", "a"), "should be a valid integer, found True"),
    ({"pairs": [[1, False]]}, ("pairs", 0, 1), "should be a valid integer, found False"),
    ({"kind": 10**500}, ("kind",), "a number of about 500 digits is not known; there is cosine, linear"),
])  # fmt: skip
def test_each_mistake_has_one_account(settings, where, what):
    with pytest.raises(ValidationError) as error:
        Outer.model_validate(settings)
    assert explain(error.value) == [(where, what)]


def test_all_mistakes_are_told():
    with pytest.raises(ValidationError) as error:
        Outer.model_validate({"number": -1, "kind": "x", "inner": {"a": 1}, "either": {"a": 0, "b": "x"}})
    found = explain(error.value)
    assert {where for where, _ in found} == {
        ("number",),
        ("kind",),
        ("inner", "size"),
        ("inner", "a"),
        ("either", "a"),
        ("either", "b"),
    }
    assert len(found) == 6


@pytest.mark.parametrize(("value", "where", "what"), [
    ({"kind": "b"}, ("kind",), "'b' is not known; there is alpha, gamma"),
    ({"kind": "alhpa"}, ("kind",), "'alhpa' is not known; did you mean 'alpha'?"),
    ({"kind": ["alpha"]}, ("kind",), "['alpha'] is not known; did you mean 'alpha'?"),
    ({}, ("kind",), "is required; there is alpha, gamma"),
    ("alpha", (), "expected a mapping with the key `kind`, found 'alpha'"),
])  # fmt: skip
def test_a_name_that_is_not_known(value, where, what):
    with pytest.raises(ValidationError) as error:
        read_name(value, "kind", ["gamma", "alpha"])
    assert explain(error.value) == [(where, what)]


def test_a_name_that_is_known():
    assert read_name({"kind": "alpha"}, "kind", ["alpha"]) == "alpha"


DEEP: list[object] = []
for _ in range(900):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "found", ["x" * 10**5, ["x" * 100] * 1000, {"a" * 500: list("xyz" * 9)}, DEEP, {1: DEEP}]
)
@pytest.mark.parametrize("name", ["number", "kind", "inner", "nested", "by_name"])
def test_what_was_found_is_quoted_in_short(name, found):
    with pytest.raises(ValidationError) as error:
        Outer.model_validate({name: found})
    assert all(len(what) < 200 for _, what in explain(error.value))
