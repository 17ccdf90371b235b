"""The error tree: the mistakes of a user, with a message of one paragraph each.

KdpipeError              a mistake that the user can mend; it ends a command with exit status 2
├── ConfigError          all mistakes of a config at once
├── DataError            a data file with wrong contents
├── ModelError           a model that does not fit its use
└── TrainingError        a training run that cannot go on

StoppedError             a stopped stage, which goes on when it runs again
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from reprlib import Repr
from typing import Any

EXIT_STATUS = 2
# A temporary failure, by sysexits.h.
STOPPED_STATUS = 75
# What shells give to a command that Ctrl-C has ended: 128, and the number of the signal.
INTERRUPTED_STATUS = 130
# The largest numbers of characters of a quoted value, of a place, and of a whole message.
MOST_QUOTED, MOST_PLACE, MOST_MESSAGE = 80, 200, 800
# The largest number of mistakes in one message.
MOST_PROBLEMS = 50
# The largest numbers of names in a list, and of characters of a list or of a library's message.
MOST_LISTED, MOST_REASON = 20, 300


class KdpipeError(Exception):
    """A user's mistake: what was expected, what was found, where, and what to do."""


class DataError(KdpipeError):
    """A data file that is missing, malformed or empty."""


class ModelError(KdpipeError):
    """A model folder that is missing, altered or of the wrong kind."""


class TrainingError(KdpipeError):
    """A training run that cannot go on, such as one whose loss is not finite."""


class StoppedError(Exception):
    """A stage has stopped in good order, on a signal or near its time limit."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a config.

    Args:
        where: key path, such as `models.student.distill.losses[0].loss`.
        what: what was expected and found, and what to do about it.
    """

    where: str
    what: str

    def __str__(self) -> str:
        what = shortened(self.what, MOST_MESSAGE)
        return f"{shortened(self.where, MOST_PLACE)}: {what}" if self.where else what


class ConfigError(KdpipeError):
    """Every mistake of a config.

    Args:
        problems: the mistakes; a mistake in several nodes of a matrix is reported once.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(dict.fromkeys(problems))
        more = len(self.problems) - MOST_PROBLEMS
        lines = map(str, self.problems[:MOST_PROBLEMS])
        super().__init__("\n".join([*lines, *([f"and {more} more"] if more > 0 else [])]))


class _Quotes(Repr):
    """Spells a value as Python does, and cuts long or deep values short."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = MOST_QUOTED
        self.maxdict = self.maxlist = self.maxtuple = 10

    def repr_int(self, value: int, level: int) -> str:
        """Spell an integer, even if it has more digits than Python writes."""
        if value.bit_length() > 4 * MOST_QUOTED:
            return f"a number of about {round(value.bit_length() * 0.30103)} digits"
        return repr(value)


QUOTES = _Quotes()


def quoted(value: Any) -> str:
    """Return a value as a message quotes it, in at most 80 characters."""
    return shortened(QUOTES.repr(value), MOST_QUOTED)


def shortened(text: str, most: int) -> str:
    """Return a text, or the beginning and the end of a long text."""
    return text if len(text) <= most else f"{text[: most // 2 - 1]} … {text[most // 2 - most + 2 :]}"


def some(names: Collection[str], most: int = 3) -> str:
    """Return the first few of some names, and how many more there are."""
    first = [name if len(name) <= 80 else f"{name[:80]}…" for name in list(names)[:most]]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more:,} more" if more else "")


def listed(names: Iterable[str]) -> str:
    """Return names one after the other, or the first of many names."""
    texts = [name if is_plain(name) else quoted(name) for name in names]
    first = ", ".join(texts[:MOST_LISTED])
    if len(first) > MOST_REASON:
        return f"{first[:MOST_REASON]}…"
    return f"{first}, …" if texts[MOST_LISTED:] else first


def is_plain(name: str) -> bool:
    """Tell whether a message can show a name without quotation marks."""
    return name.isprintable() and len(name) <= MOST_QUOTED


def reason(error: BaseException) -> str:
    """Return the message of a library's error on one line."""
    text = "".join(character if character.isprintable() else " " for character in str(error))
    return " ".join(text.split())[:MOST_REASON]


def not_installed(package: str, extra: str) -> str:
    """Return that a package is missing, and which extra of kdpipe has it."""
    return f"the package {package!r} is not installed; install `kdpipe[{extra}]`"


# The names that a message lists at most.
SHOWN = 20


def suggest(name: Any, known: Iterable[str]) -> str:
    """Return `did you mean 'X'?` with the nearest known name, else a list of the known names."""
    names = tuple(sorted(map(str, known)))
    nearest = _nearest(name if isinstance(name, str) else quoted(name), names)
    if nearest:
        return f"did you mean {nearest!r}?"
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"there is {', '.join(names[:SHOWN])}{more}" if names else "there is none"


@cache
def _nearest(name: str, names: tuple[str, ...]) -> str | None:
    # A mistake in a matrix looks up the same name for every model.
    return next(iter(get_close_matches(name, names, n=1, cutoff=0.6)), None)
