"""What pydantic finds wrong with settings, in the words of a config."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from kdpipe.errors import quoted, suggest

EXPLAINED = "explained"
# How pydantic marks a mistake in the key of a mapping rather than in what stands there.
KEY = "[key]"
QUOTED = re.compile(r"'([^']*)'")
TYPE_ERRORS = ("_type", "_parsing")
PLAINER = {
    r"^Input is not a valid path.*": "should be a valid path",
    r"^[A-Z]\w* should": "should",
    r" or instance of \w+$": "",
    r", unable to parse .*": "",
    r" after validation": "",
    r"tuple": "list",
    r"dictionary": "mapping",
}


def explained(model: type[BaseModel], value: Any, error: ValidationError) -> list[InitErrorDetails]:
    """Return one account of each mistake: what was expected, what was found, for a name the nearest one."""
    details = error.errors(include_url=False)
    return [
        _account(_place(detail), _message(model, detail), detail["input"])
        for detail in _meant(details, value)
    ]


def _account(where: tuple[int | str, ...], message: str, found: Any = None) -> InitErrorDetails:
    # How many keys and indices lead there is kept: pydantic will put others, and names of types, before them.
    error = PydanticCustomError(EXPLAINED, "{message}", {"message": message, "depth": len(where)})
    return InitErrorDetails(type=error, loc=where, input=found)


def read_name(value: Any, key: str, known: Iterable[str]) -> str:
    """Return the known name that a mapping has under a key, or raise a `ValidationError`."""
    names = sorted(known)
    if not isinstance(value, dict):
        raise mistake((), f"expected a mapping with the key `{key}`, found {quoted(value)}")
    name = value.get(key)
    if isinstance(name, str) and name in names:
        return str(name)
    there_is = f"there is {', '.join(names)}"
    if name is None:
        raise mistake((key,), f"is required; {there_is}")
    raise mistake((key,), f"{quoted(name)} is not known; {suggest(name, names)}")


def mistake(where: tuple[int | str, ...], message: str) -> ValidationError:
    """Return the error that says what is wrong at one place of some settings."""
    return ValidationError.from_exception_data("", [_account(where, message)])


def mistakes_below(where: tuple[int | str, ...], error: ValidationError) -> ValidationError:
    """Return the mistakes of settings as those of a setting that holds them."""
    details = error.errors(include_url=False)
    accounts = [_account((*where, *detail["loc"]), detail["msg"], detail["input"]) for detail in details]
    return ValidationError.from_exception_data("", accounts)


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the types that an annotation allows besides None."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return tuple(kind for kind in kinds if kind is not type(None))


def _meant(details: Sequence[ErrorDetails], value: Any, depth: int = 0) -> Iterator[ErrorDetails]:
    """Yield one account of each mistake, where it stands in what was validated.

    Where that may be of several types, pydantic tells what each misses, at a place that names the type.
    """
    types: list[list[ErrorDetails]] = []
    for part, found in _grouped(details, depth).items():
        if not part:
            yield from found
        elif _is_place(found[0], value, depth):
            yield from _meant(found, value_at(value, part), depth + 1)
        else:
            types.append([{**one, "loc": (*one["loc"][:depth], *one["loc"][depth + 1 :])} for one in found])
    if types:
        yield from _meant(_of_type_meant(types, depth), value, depth)


def _grouped(details: Sequence[ErrorDetails], depth: int) -> dict[tuple[int | str, ...], list[ErrorDetails]]:
    found: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for detail in details:
        found.setdefault(detail["loc"][depth : depth + 1], []).append(detail)
    return found


def _is_place(detail: ErrorDetails, value: Any, depth: int) -> bool:
    """Tell whether the next part of a place is a key or an index, rather than the name of a type."""
    part, *others = detail["loc"][depth:]
    # What settings consist of are their fields, also one whose default is wrong.
    if depth == 0:
        return True
    own = (
        detail.get("ctx", {}).get("depth", 0) if detail["type"] == EXPLAINED else detail["type"] == "missing"
    )
    if len(others) < own or KEY in (part, *others[:1]):
        return True
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list | tuple) and isinstance(part, int) and part < len(value)


def value_at(value: Any, where: Iterable[int | str]) -> Any:
    """Return what keys and indices lead to, or None."""
    for part in where:
        try:
            value = value[part]
        except (LookupError, TypeError):
            return None
    return value


def _of_type_meant(types: Sequence[list[ErrorDetails]], depth: int) -> list[ErrorDetails]:
    """Return the mistakes of the type that was meant.

    That is the type whose mistakes lie deepest, or are not in the type; if there is no such one, all are
    named together.
    """
    best = max(types, key=lambda details: max(map(_closeness, details)))
    if len(types) == 1 or max(map(_closeness, best)) > (depth, False):
        return best
    expected = [_plain(details[0]["msg"]).removeprefix("should be ") for details in types]
    return [{**best[0], "type": "joined", "msg": f"should be {' or '.join(dict.fromkeys(expected))}"}]


def _closeness(detail: ErrorDetails) -> tuple[int, bool]:
    return len(detail["loc"]), not detail["type"].endswith(TYPE_ERRORS)


def _place(detail: ErrorDetails) -> tuple[int | str, ...]:
    where, found = detail["loc"], detail["input"]
    if where[-1:] != (KEY,):
        return where
    # What was found is the key itself; pydantic's place has 1 for the true that YAML reads of `on`.
    return (*where[:-2], _spelt(found))


def _spelt(key: Any) -> str:
    """Return a key as YAML spells what it reads of it."""
    return json.dumps(key) if key is None or isinstance(key, bool) else str(key)


def _message(model: type[BaseModel], detail: ErrorDetails) -> str:
    message, found = detail["msg"], detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key; {suggest(str(detail['loc'][-1]), model.model_fields)}"
        case "missing":
            return "is required"
        case "literal_error":
            return f"{quoted(found)} is not known; {suggest(found, QUOTED.findall(message))}"
    if detail["loc"][-1:] == (KEY,) and detail["type"] == "string_type":
        read = f"; YAML reads it as {_spelt(found)}" if isinstance(found, bool) else ""
        return f"names are strings; put this one in quotes{read}"
    plain = _plain(message)
    if detail["type"] == EXPLAINED or " should " not in f" {plain}":
        return message
    named = re.search("string|path", plain) and not isinstance(found, str | list | dict)
    hint = "; put a name in quotes" if named else ""
    return f"{plain}, found {quoted(found)}{hint}"


def _plain(message: str) -> str:
    for pattern, plainer in PLAINER.items():
        message = re.sub(pattern, plainer, message)
    return message
