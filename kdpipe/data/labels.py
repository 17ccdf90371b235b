"""From the cells of a table to labels: names of classes, numbers, and the order of classes."""

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from kdpipe.errors import DataError

# Numbers are stored in 32 bits.
LARGEST = 3.4028234663852886e38
WHOLE_NUMBER = re.compile(r"-?\d+")
ON_OFF = {"0": False, "1": True, "false": False, "true": True}


def sorted_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of classes in an order that only they decide: by value if all are whole numbers.

    Args:
        names: the names, in any order, as often as they occur.
    """
    found = sorted(set(names))
    if all(WHOLE_NUMBER.fullmatch(name) for name in found):
        found.sort(key=int)
    return tuple(found)


def class_name(value: Any, where: str) -> str:
    """Return the name of a class: a text, or a whole number or truth value as JSON spells it.

    Raises:
        DataError: it is empty, or something else.
    """
    if isinstance(value, int):
        return json.dumps(value)
    if not isinstance(value, str) or not value.strip():
        found = "an empty one" if value is None or isinstance(value, str) else repr(value)
        raise DataError(
            f"{where}: expected a label that is a name or a whole number, found {found}; mend or remove the"
            " row"
        )
    return value


def class_names_in(value: Any, separator: str | None, where: str) -> tuple[str, ...]:
    """Return the names of the classes that a cell lists, none if it is an empty list or text.

    Args:
        value: a list, or a text in which `separator` stands between the names.
        separator: what stands between names.
        where: file and line, for errors.

    Raises:
        DataError: it lists something else than names, or is a text and there is no separator.
    """
    if isinstance(value, str) and separator:
        value = [name.strip() for name in value.split(separator)] if value.strip() else []
    if not isinstance(value, list):
        raise DataError(
            f"{where}: expected a list of labels, found {value!r}; of labels in one text give the character"
            " between them as `separator`"
        )
    return tuple(class_name(name, where) for name in value)


def is_on(value: Any, where: str) -> bool:
    """Tell whether a cell switches its class on.

    Raises:
        DataError: it is neither 0 nor 1.
    """
    text = value if isinstance(value, str) else json.dumps(value)
    if text not in ON_OFF:
        raise DataError(f"{where}: expected 0 or 1, found {value!r}; mend or remove the row")
    return ON_OFF[text]


def number(value: Any, where: str) -> float:
    """Return the number that a cell holds.

    Raises:
        DataError: it is none, not finite, or too large for 32 bits.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not abs(found) <= LARGEST:
        raise DataError(f"{where}: expected a number as label, found {value!r}; mend or remove the row")
    return found
