"""The mistakes that pydantic finds in settings, in the words of a config."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from kdpipe.config.mistakes import VALUE_ERROR, Where, explain
from kdpipe.errors import quoted, suggest

EXPLAINED = "explained"
# The mark of pydantic for a mistake in the key of a mapping, rather than in the value of the key.
KEY = "[key]"
QUOTED = re.compile(r"'([^']*)'")
TYPE_ERRORS = ("_type", "_parsing")
PLAINER = {
    r"^Input is not a valid path.*": "should be a valid path",
    r"^[A-Z]\w* should": "should",
    r" or instance of \w+$": "",
    r", unable to parse .*": "",
    rf" after validation|^{VALUE_ERROR}": "",
    r"tuple": "list",
    r"dictionary": "mapping",
}


def explained(model: type[BaseModel], value: Any, error: ValidationError) -> list[InitErrorDetails]:
    """Return one account of each mistake: what was expected and found, and the nearest of the known names."""
    details = _meant(error.errors(include_url=False), value)
    return [_account(_place(detail), _message(model, detail), detail["input"]) for detail in details]


def _account(where: Where, message: str, value: Any = None) -> InitErrorDetails:
    # Pydantic puts keys, indices and names of types before `where`; the depth tells where `where` begins.
    error = PydanticCustomError(EXPLAINED, "{message}", {"message": message, "depth": len(where)})
    return InitErrorDetails(type=error, loc=where, input=value)


def read_name(value: Any, key: str, known: Iterable[str]) -> str:
    """Return the known name that a mapping has under a key, or raise a `ValidationError`."""
    names = sorted(known)
    if not isinstance(value, dict):
        raise mistake((), f"expected a mapping with the key `{key}`, found {quoted(value)}")
    name = value.get(key)
    if isinstance(name, str) and name in names:
        return str(name)
    if name is None:
        raise mistake((key,), f"is required; there is {', '.join(names)}")
    raise mistake((key,), f"{quoted(name)} is not known; {suggest(name, names)}")


def mistake(where: Where, message: str) -> ValidationError:
    """Return the error of a mistake at one place of settings."""
    return ValidationError.from_exception_data("", [_account(where, message)])


def mistakes_below(where: Where, error: ValidationError) -> ValidationError:
    """Return the mistakes of settings as mistakes of the setting that contains them."""
    accounts = [_account((*where, *place), message) for place, message in explain(error)]
    return ValidationError.from_exception_data("", accounts)


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the types that an annotation allows besides None."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return tuple(kind for kind in kinds if kind is not type(None))


def _meant(details: Sequence[ErrorDetails], value: Any, depth: int = 0) -> Iterator[ErrorDetails]:
    """Yield one account of each mistake, at its place in the validated value.

    For a value of several possible types, pydantic reports the mistakes by each type, at a place that names
    the type.
    """
    groups: dict[Where, list[ErrorDetails]] = {}
    for detail in details:
        groups.setdefault(detail["loc"][depth : depth + 1], []).append(detail)
    types: list[list[ErrorDetails]] = []
    for part, group in groups.items():
        if not part:
            yield from group
        elif _is_place(group[0], value, depth):
            yield from _meant(group, value_at(value, part), depth + 1)
        else:
            types.append([{**one, "loc": (*one["loc"][:depth], *one["loc"][depth + 1 :])} for one in group])
    if types:
        yield from _meant(_of_type_meant(types, depth), value, depth)


def _is_place(detail: ErrorDetails, value: Any, depth: int) -> bool:
    """Tell whether the next part of a place is a key or an index, rather than the name of a type."""
    part, *others = detail["loc"][depth:]
    # Settings consist of fields; the default of a field may be wrong too.
    if depth == 0:
        return True
    inner = detail["ctx"]["depth"] if detail["type"] == EXPLAINED else detail["type"] == "missing"
    if len(others) < inner or KEY in (part, *others[:1]):
        return True
    if isinstance(value, Mapping):
        return part in value
    return isinstance(value, list | tuple) and isinstance(part, int) and part < len(value)


def value_at(value: Any, where: Iterable[int | str], missing: Any = None) -> Any:
    """Return the value to which keys and indices lead, or `missing`."""
    for part in where:
        try:
            value = value[part]
        except (LookupError, TypeError):
            return missing
    return value


def _of_type_meant(types: Sequence[list[ErrorDetails]], depth: int) -> list[ErrorDetails]:
    """Return the mistakes of the type that the user meant, or of all types together.

    The meant type is the type whose mistakes lie deepest, or whose mistakes are not in the type of a value.
    """
    best = max(types, key=lambda details: max(map(_closeness, details)))
    if len(types) == 1 or max(map(_closeness, best)) > (depth, False):
        return best
    expected = [_plain(details[0]["msg"]).removeprefix("should be ") for details in types]
    return [{**best[0], "type": "joined", "msg": f"should be {' or '.join(dict.fromkeys(expected))}"}]


def _closeness(detail: ErrorDetails) -> tuple[int, bool]:
    return len(detail["loc"]), not detail["type"].endswith(TYPE_ERRORS)


def _place(detail: ErrorDetails) -> Where:
    where, value = detail["loc"], detail["input"]
    if where[-1:] != (KEY,):
        return where
    # The value is the key itself; pydantic's place has 1 for the true that YAML reads of `on`.
    return (*where[:-2], _spelt(value))


def _spelt(key: Any) -> str:
    """Return a key in the spelling of YAML."""
    return json.dumps(key) if key is None or isinstance(key, bool) else str(key)


def _message(model: type[BaseModel], detail: ErrorDetails) -> str:
    message, value = detail["msg"].removeprefix(VALUE_ERROR), detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            key = str(detail["loc"][-1])
            return f"unknown key; {suggest(getattr(model, 'meant', {}).get(key, key), model.model_fields)}"
        case "missing":
            return "is required"
        case "literal_error":
            known = QUOTED.findall(message)
            hint = "there is `none` alone" if known == ["none"] else suggest(value, known)
            return f"{quoted(value)} is not known; {hint}"
    if detail["loc"][-1:] == (KEY,) and detail["type"] == "string_type":
        read = f"; YAML reads it as {_spelt(value)}" if isinstance(value, bool) else ""
        return f"names are strings; put this one in quotes{read}"
    plain = _plain(message)
    if detail["type"] == EXPLAINED or " should " not in f" {plain}":
        return message
    named = re.search("string|path", plain) and not isinstance(value, str | list | dict)
    hint = "; put a name in quotes" if named else ""
    return f"{plain}, found {quoted(value)}{hint}"


def _plain(message: str) -> str:
    for pattern, plainer in PLAINER.items():
        message = re.sub(pattern, plainer, message)
    return message
