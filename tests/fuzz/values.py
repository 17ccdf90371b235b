"""Unexpected values of a config: hostile values, and values at the limits of the schema."""

from collections.abc import Iterator, Mapping
from functools import cache
from random import Random
from typing import Any

from kdpipe.commands.schema import config_schema

Json = Any
NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    10**6,
    10**12,
    2**32,
    2**63,
    -(2**63),
    10**30,
    10**400,
    0.0,
    -0.5,
    1.5,
    1e-320,
    1e300,
)
NOT_FINITE = (float("inf"), float("-inf"), float("nan"), "nan", "inf", "1e999", "1e5", "-0")
WORDS = (
    "",
    " ",
    "x",
    "none",
    "null",
    "on",
    "auto",
    "train",
    "test",
    "first:0",
    "first:1000000000000",
    "every:0",
)
SIGNS = (
    "{seed}", "{task.x}", "{}", "{", "}", "{{x}}", "*", "[", "%s", "$(id)", ";", "'", '"', "\\", "a:b", "-rf",
)  # fmt: skip
ODD_TEXTS = (
    "x" * 300, "x" * 5000, "a\0b", "\ud800", "\udc80", "é漢🎉", "\n", "\t", "\u2028", "a\x7fb", "\x1b[31m",
)  # fmt: skip
PATHS = (
    ".", "..", "/", "~", "../..", "a/../b", "/dev/zero", "/dev/null", "/proc/self/mem", "/etc/passwd", "**/*",
)  # fmt: skip
PACKAGES = (
    "package:os", "package:__main__", "package:yaml", "package:", "package:a..b/c", "owner/name", "__main__",
)  # fmt: skip
# The folders of a draw have a pipe, a link to itself, a link to a device and a link to nothing.
PLACES = (
    "pipe", "circle", "device", "nowhere", "../data", "../models/bert", "../models", "notes.txt", "results",
)  # fmt: skip
LISTS: tuple[Json, ...] = (
    [], [None], [[]], [1], ["x"] * 50, ["a", "a"], [True], [[0, 0]], [[0, 10**30]], [[1, 2, 3]],
)  # fmt: skip
MAPPINGS: tuple[Json, ...] = (
    {}, {"a": 1}, {"": {}}, {"x" * 5000: 1}, {"__class__": "a"}, {"a": {"b": [None]}},
)  # fmt: skip
TERMS: tuple[Json, ...] = (
    [{}], [{"loss": "kl"}], [{"loss": "kl", "temperature": 1e300}], [{"loss": "hidden_mse"}],
)  # fmt: skip
HOSTILE = (
    None, True, False, *NUMBERS, *NOT_FINITE, *WORDS, *SIGNS, *ODD_TEXTS, *PATHS, *PACKAGES, *PLACES, *LISTS,
    *MAPPINGS, *TERMS,
)  # fmt: skip
OTHER_NAMES = (
    "", "x", "a b", "a.b", "é", "<<", "__init__", "model_config", "{seed}", "x" * 300, "on", "1", "~",
)  # fmt: skip


@cache
def schema() -> Json:
    """Return the schema of configs."""
    return config_schema()


def hostile(rng: Random) -> Json:
    """Return an unexpected value; some are nested, a few deeper than anybody reads."""
    value = rng.choice(HOSTILE)
    for _ in range(rng.choice((0,) * 12 + (1, 2, 120))):
        value = rng.choice(([value], {"a": value}))
    return value


def alternatives(part: Json) -> Iterator[Json]:
    """Yield the schemas that a value may have, with references followed."""
    if "$ref" in part:
        yield from alternatives(schema()["$defs"][part["$ref"].rpartition("/")[2]])
    elif "anyOf" in part:
        for one in part["anyOf"]:
            yield from alternatives(one)
    else:
        yield part


def properties(part: Json) -> dict[str, Json]:
    """Return the schemas of the keys that a mapping may have."""
    return {key: value for one in alternatives(part) for key, value in one.get("properties", {}).items()}


def below(part: Json, key: str | int) -> Json:
    """Return the schema of the value at a key or of the items of a list; without a schema, all is allowed."""
    if isinstance(key, str) and key in properties(part):
        return properties(part)[key]
    others = "additionalProperties" if isinstance(key, str) else "items"
    found = [one[others] for one in alternatives(part) if isinstance(one.get(others), Mapping)]
    return {"anyOf": found} if found else {}


def limits(rng: Random, part: Json, depth: int = 4) -> Json:
    """Return a value that a schema allows, at its limits or just beyond them."""
    one = rng.choice(list(alternatives(part)))
    if "enum" in one or "const" in one:
        return rng.choice(one.get("enum", [one.get("const")]))
    kind = one.get("type")
    if kind in ("integer", "number"):
        return _number(rng, one)
    if kind == "array" and depth:
        return [limits(rng, one.get("items", {}), depth - 1) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    if kind == "object" and depth:
        known = one.get("properties", {})
        return {
            key: limits(rng, known[key], depth - 1) for key in rng.sample(sorted(known), min(2, len(known)))
        }
    return rng.choice((one.get("default"), rng.choice(HOSTILE)))


def _number(rng: Random, one: Json) -> Json:
    names = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "default")
    known = [one[name] for name in names if one.get(name) is not None] or [0]
    step = rng.choice((0, 0, 1, -1, 0.5, 1e-9))
    return rng.choice(known) + step
