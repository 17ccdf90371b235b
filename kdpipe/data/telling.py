"""How messages quote what data hold, whatever it is: in one short line, of characters that can be seen."""

from collections.abc import Iterable
from reprlib import Repr
from typing import Any

# Names that are listed, characters of a value, and characters of a list or of what a library says.
LISTED = 20
LONGEST_VALUE = 80
LONGEST_LIST = 300
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = LONGEST_VALUE
_SHORT.maxlevel = 2


def shown(value: Any) -> str:
    """Return a value as Python spells it."""
    return _SHORT.repr(value)[: 2 * LONGEST_VALUE]


def listed(names: Iterable[str]) -> str:
    """Return names one after the other, the first ones of many."""
    texts = [name if is_plain(name) else shown(name) for name in names]
    first = ", ".join(texts[:LISTED])
    if len(first) > LONGEST_LIST:
        return f"{first[:LONGEST_LIST]}…"
    return f"{first}, …" if texts[LISTED:] else first


def is_plain(name: str) -> bool:
    """Tell whether a name can be quoted as it is."""
    return name.isprintable() and len(name) <= LONGEST_VALUE


def reason(error: BaseException) -> str:
    """Return what a library's error says."""
    text = "".join(character if character.isprintable() else " " for character in str(error))
    return " ".join(text.split())[:LONGEST_LIST]
