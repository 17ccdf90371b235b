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
    number: Annotated[float, Field(gt=0)] = 1.0
    kind: Literal["linear", "cosine"] = "linear"
    either: int | dict[str, Annotated[int, Field(ge=1)]] | None = None
    pairs: str | list[tuple[int, int]] = "last"
    inner: Inner | None = None
    by_name: dict[str, Inner] | None = None


@pytest.mark.parametrize(("settings", "where", "what"), [
    ({"number": 0}, ("number",), "should be greater than 0, found 0"),
    ({"number": "x"}, ("number",), "should be a valid number, found 'x'"),
    ({"kind": "linaer"}, ("kind",), "'linaer' is not known; did you mean 'linear'?"),
    ({"kind": 3}, ("kind",), "3 is not known; there is cosine, linear"),
    ({"nmber": 1}, ("nmber",), "unknown key; did you mean 'number'?"),
    ({"either": "x"}, ("either",), "should be a valid integer or a valid mapping, found 'x'"),
    ({"either": {"a": 0}}, ("either", "a"), "should be greater than or equal to 1, found 0"),
    ({"pairs": 3}, ("pairs",), "should be a valid string or a valid list, found 3"),
    ({"pairs": [[1, 2], [1]]}, ("pairs", 1, 1), "is required"),
    ({"pairs": [[1, 2, 3]]}, ("pairs", 0), "should have at most 2 items, not 3, found [1, 2, 3]"),
    ({"inner": {}}, ("inner", "size"), "is required"),
    ({"inner": {"size": 1, "sise": 2}}, ("inner", "sise"), "unknown key; did you mean 'size'?"),
    ({"inner": 3}, ("inner",), "should be a valid mapping, found 3"),
    ({"inner": {"size": 1, "names": 3}}, ("inner", "names"), "should be a valid list, found 3"),
    ({"by_name": {1: {"size": 1}}}, ("by_name", "1"), "names are strings; put this one in quotes"),
    ({"by_name": {"a": {"size": "x"}}}, ("by_name", "a", "size"), "should be a valid integer, found 'x'"),
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
