"""What pydantic finds wrong with settings, in the words of a config."""

import re
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from kdpipe.errors import suggest

EXPLAINED = "explained"
# How pydantic marks a mistake in the key of a mapping rather than in what stands there.
KEY = "[key]"
QUOTED = re.compile(r"'([^']*)'")
TYPE_ERRORS = ("_type", "_parsing")
PLAINER = {
    r"^[A-Z]\w* should": "should",
    r" or instance of \w+$": "",
    r", unable to parse .*": "",
    r" after validation": "",
    r"tuple": "list",
    r"dictionary": "mapping",
}


def explained(model: type[BaseModel], error: ValidationError) -> list[InitErrorDetails]:
    """Return one account of each mistake: what was expected, what was found, for a name the nearest one.

    Args:
        model: the settings that were validated.
        error: what came of it.
    """
    return [
        InitErrorDetails(
            type=PydanticCustomError(EXPLAINED, "{message}", {"message": _message(model, detail)}),
            loc=_place(detail["loc"]),
            input=detail["input"],
        )
        for detail in _closest(model, error.errors())
    ]


def read_name(value: Any, key: str, known: Iterable[str]) -> str:
    """Return the name that a mapping has under a key.

    Args:
        value: the mapping.
        key: the key.
        known: the names there are.

    Raises:
        pydantic.ValidationError: it is no mapping, or the name is missing or unknown.
    """
    names = sorted(known)
    if not isinstance(value, dict):
        raise mistake((), f"expected a mapping with the key `{key}`, found {value!r}")
    name = value.get(key)
    if name in names:
        return str(name)
    there_is = f"there is {', '.join(names)}"
    if name is None:
        raise mistake((key,), f"is required; {there_is}")
    raise mistake((key,), f"{name!r} is not known; {suggest(str(name), names)}")


def mistake(where: tuple[str, ...], message: str) -> ValidationError:
    """Return the error that says what is wrong at one place of some settings."""
    error = PydanticCustomError(EXPLAINED, "{message}", {"message": message})
    return ValidationError.from_exception_data("", [InitErrorDetails(type=error, loc=where, input=None)])


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the types that an annotation allows besides None."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return tuple(kind for kind in kinds if kind is not type(None))


def _closest(model: type[BaseModel], details: list[ErrorDetails]) -> Iterator[ErrorDetails]:
    """Yield one account of each mistake.

    Where a setting may be of several types, pydantic tells what each misses. The one that was meant is that
    whose mistakes lie deepest, or are not in the type; if there is no such one, all are named together.
    """
    for name in dict.fromkeys(detail["loc"][:1] for detail in details):
        found = [detail for detail in details if detail["loc"][:1] == name]
        field = model.model_fields.get(str(name[0])) if name else None
        if field is None or len(alternatives(field.annotation)) < 2:
            yield from found
            continue
        best = max(found, key=_closeness)
        if _closeness(best) > (2, False):
            # The second part of the location names the type.
            found = [detail for detail in found if detail["loc"][1:2] == best["loc"][1:2]]
        else:
            found = [_joined(found)]
        for detail in found:
            yield {**detail, "loc": (*name, *detail["loc"][2:])}


def _closeness(detail: ErrorDetails) -> tuple[int, bool]:
    return len(detail["loc"]), not detail["type"].endswith(TYPE_ERRORS)


def _joined(details: list[ErrorDetails]) -> ErrorDetails:
    expected = (_plain(detail["msg"]).removeprefix("should be ") for detail in details)
    return {**details[0], "type": "joined", "msg": f"should be {' or '.join(expected)}"}


def _place(where: tuple[int | str, ...]) -> tuple[int | str, ...]:
    return (*where[:-2], str(where[-2])) if where[-1:] == (KEY,) else where


def _message(model: type[BaseModel], detail: ErrorDetails) -> str:
    message, found = detail["msg"], detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            return f"unknown key; {suggest(str(detail['loc'][-1]), model.model_fields)}"
        case "missing":
            return "is required"
        case "literal_error":
            return f"{found!r} is not known; {suggest(found, QUOTED.findall(message))}"
    if detail["loc"][-1:] == (KEY,) and detail["type"] == "string_type":
        return "names are strings; put this one in quotes"
    if detail["type"] == EXPLAINED or " should " not in f" {message}":
        return message
    return f"{_plain(message)}, found {found!r}"


def _plain(message: str) -> str:
    for pattern, plainer in PLAINER.items():
        message = re.sub(pattern, plainer, message)
    return message
