"""From the cells of a table to labels: names of classes, numbers, and the order of classes."""

import json
import math
import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from kdpipe.errors import DataError, quoted

# Numbers are stored in 32 bits.
LARGEST = 3.4028234663852886e38
# Python reads integers of up to 4300 digits.
WHOLE_NUMBER = re.compile(r"-?\d{1,4000}")
# A longer name is a text in the wrong column.
LONGEST_CLASS = 256
# Categories of Unicode: control characters and halves of surrogate pairs; characters without a shape.
NO_TEXT, UNSEEN = ("Cc", "Cs"), "Cf"
NUMBERS = (int, float, str, Decimal)
ON_OFF = {"0": False, "1": True, "false": False, "true": True}


def sorted_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Return the different names of classes, sorted by value if all are whole numbers, else as texts."""
    classes = sorted(set(names))
    if all(WHOLE_NUMBER.fullmatch(name) for name in classes):
        classes.sort(key=int)
    return tuple(classes)


def class_name(value: Any, where: str) -> str:
    """Return the name of a class: a text, or a whole number or truth value as JSON spells it."""
    name = json.dumps(value) if isinstance(value, int) else value
    if isinstance(name, str) and name.strip() and len(name) <= LONGEST_CLASS and not _no_text(name):
        return name
    fault = "an empty one" if name is None or (isinstance(name, str) and not name.strip()) else quoted(name)
    raise DataError(
        f"{where}: expected a label that is a name or a whole number, found {fault}; mend or remove it: a"
        f" name has at most {LONGEST_CLASS} characters, and no control characters"
    )


def checked_classes(names: Iterable[Any], where: str, several: bool = True) -> tuple[str, ...]:
    """Return the names of all classes in their order, if no two are the same or look the same.

    Args:
        names: the names.
        where: file or key, for errors.
        several: whether there must be at least two classes.
    """
    classes = tuple(class_name(name, where) for name in names)
    if several and len(classes) < 2:
        only = f"only {quoted(classes[0])}" if classes else "none"
        raise DataError(
            f"{where}: expected two classes or more, found {only}; get data with others, or give all as"
            " `classes`; a label that applies or not makes two"
        )
    seen: dict[str, str] = {}
    for name in classes:
        if (look := _look(name)) in seen:
            raise DataError(
                f"{where}: expected classes that differ, found {quoted(seen[look])} and {quoted(name)}; mend"
                " the data, or rename one"
            )
        seen[look] = name
    return classes


def _no_text(name: str) -> bool:
    return not name.isprintable() and any(unicodedata.category(character) in NO_TEXT for character in name)


def _look(name: str) -> str:
    """Return a name as a reader sees it."""
    seen = "".join(character for character in name if unicodedata.category(character) != UNSEEN)
    return unicodedata.normalize("NFC", " ".join(seen.split()))


def class_names_in(value: Any, separator: str | None, where: str) -> tuple[str, ...]:
    """Return the names of the classes that a cell lists, none of an empty list or text.

    Args:
        value: a list, or a text of names with a separator between them.
        separator: the characters between names.
        where: file and line, for errors.
    """
    if isinstance(value, str) and separator:
        value = [name.strip() for name in value.split(separator)] if value.strip() else []
    if not isinstance(value, list):
        raise DataError(
            f"{where}: expected a list of labels, found {quoted(value)}; of labels in one text give the"
            " character between them as `separator`"
        )
    return tuple(class_name(name, where) for name in value)


def is_on(value: Any, where: str) -> bool:
    """Tell whether a cell switches its class on."""
    text = json.dumps(value) if isinstance(value, int) else value
    if not isinstance(text, str) or text not in ON_OFF:
        raise DataError(f"{where}: expected 0 or 1, found {quoted(value)}; mend or remove the row")
    return ON_OFF[text]


def number(value: Any, where: str) -> float:
    """Return the number that a cell holds."""
    try:
        label = float(value) if isinstance(value, NUMBERS) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        label = math.nan
    # Python takes 1_0 for 10.
    if not abs(label) <= LARGEST or (isinstance(value, str) and "_" in value):
        raise DataError(f"{where}: expected a number as label, found {quoted(value)}; mend or remove the row")
    return label
