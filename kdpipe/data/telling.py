"""How messages quote what data hold, whatever it is: in one short line, of characters that can be seen."""

from collections.abc import Iterable

from kdpipe.errors import MOST_QUOTED, quoted

# Names that are listed, and characters of a list or of what a library says.
MOST_LISTED = 20
LONGEST = 300


def listed(names: Iterable[str]) -> str:
    """Return names one after the other, the first ones of many."""
    texts = [name if is_plain(name) else quoted(name) for name in names]
    first = ", ".join(texts[:MOST_LISTED])
    if len(first) > LONGEST:
        return f"{first[:LONGEST]}…"
    return f"{first}, …" if texts[MOST_LISTED:] else first


def is_plain(name: str) -> bool:
    """Tell whether a name can be quoted as it is."""
    return name.isprintable() and len(name) <= MOST_QUOTED


def reason(error: BaseException) -> str:
    """Return what a library's error says."""
    text = "".join(character if character.isprintable() else " " for character in str(error))
    return " ".join(text.split())[:LONGEST]
