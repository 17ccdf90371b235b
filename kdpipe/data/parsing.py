"""JSON of the user's, whatever it holds: a value, or a mistake that says where it is."""

import json
from typing import Any

from kdpipe.data.telling import reason
from kdpipe.errors import DataError, quoted


def parse_json(text: str, place: object, line: int = 1) -> Any:
    """Return what a JSON text says.

    Args:
        text: the text.
        place: the file that has it, or what else it is called.
        line: where in that place it begins.

    Raises:
        DataError: it is no JSON, is nested too deeply, has a number that is too long, or an object in it has
            a key twice, of which one would be lost.
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        line += error.lineno - 1
        found = f"a mistake at column {error.colno} ({error.msg})"
    except RecursionError:
        found = "lists or objects in each other that are too many to read"
    except ValueError as error:
        # What follows tells programmers how to read more digits.
        found = reason(error).partition(";")[0]
    raise DataError(f"{place}:{line}: expected JSON, found {found}; mend it or get the file again")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {quoted(twice)} twice in one object")
    return found
