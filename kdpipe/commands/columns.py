"""What the columns of a user's table are for, told by their names and by the first rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

Row = Mapping[str, Any]
# Cells of rows that lack a value.
EMPTY: tuple[Any, ...] = ("", None)
# The most labels that a column of labels has.
MOST_LABELS = 100
# Usual names of columns of labels, and of texts.
LABELS = ("label", "labels", "sentiment", "class", "category", "target", "stars", "rating", "score")
TEXTS = ("text", "sentence", "review", "content", "comment", "message", "document", "body")
# Usual names of the columns of two texts, and ends of names that are alike but for these.
PAIRS = (("premise", "hypothesis"), ("question", "sentence"), ("question", "answer"), ("query", "passage"))
ENDS = (("1", "2"), ("a", "b"), ("0", "1"))


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are for.

    Args:
        names: all columns.
        text: the column of texts.
        label: the column of labels.
        text_pair: the column of second texts, if there is one.
    """

    names: tuple[str, ...]
    text: str
    label: str
    text_pair: str | None = None


def find_texts(rows: Sequence[Row], names: Sequence[str], pair: bool) -> tuple[str | None, str | None]:
    """Return the column of some rows that has texts, and of a pair the column of second texts.

    These are columns of usual names, or else the columns of the longest texts, in the order of the file.
    """
    lengths = dict(_lengths(rows, names))
    if not pair:
        usual = [name for name in lengths if name.lower() in TEXTS]
        return max(usual or lengths, key=lambda name: lengths[name], default=None), None
    if pairs := [(a, b) for a in lengths for b in lengths if _are_a_pair(a.lower(), b.lower())]:
        return pairs[0]
    longest = sorted(lengths, key=lambda name: lengths[name], reverse=True)[:2]
    first, second, *_ = [*(name for name in names if name in longest), None, None]
    return first, second


def _lengths(rows: Sequence[Row], names: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield the columns of texts, each with the mean number of characters of a text."""
    for name in names:
        cells = [row[name] for row in rows if row[name] not in EMPTY]
        # Lists and numbers are no texts, and words have blanks between them.
        texts = [cell for cell in cells if isinstance(cell, str) and " " in cell.strip()]
        if len(texts) > len(cells) / 2:
            yield name, fmean(map(len, texts))


def _are_a_pair(first: str, second: str) -> bool:
    alike = first[:-1] == second[:-1] and (first[-1:], second[-1:]) in ENDS
    return alike or (first, second) in PAIRS


def find_label(rows: Sequence[Row], names: Sequence[str], numbers: bool) -> str | None:
    """Return the column of some rows that has labels: one of a usual name, or else the last that may be one.

    Args:
        rows: the rows.
        names: the columns, without the columns of texts.
        numbers: whether labels are numbers.
    """
    cells = {name: [str(row[name]) for row in rows if row[name] not in EMPTY] for name in names}
    fit = {name: are_numbers(values) if numbers else len({*values}) > 1 for name, values in cells.items()}
    varied = {name.lower(): name for name in names if fit[name]}
    # A file may be sorted by its labels, so that its first rows have one label.
    alike = {} if numbers else {name.lower(): name for name in names if cells[name]}
    if found := next((usual[name] for usual in (varied, alike) for name in LABELS if name in usual), None):
        return found
    # A label comes again and again; numbers that count the rows do not.
    most = {name: max(2, min(MOST_LABELS, len(values) // 2)) for name, values in cells.items()}
    again = [name for name in names if fit[name] and (numbers or len({*cells[name]}) <= most[name])]
    if numbers:
        again = [name for name in again if len({*cells[name]}) < len(cells[name])] or again
    return again[-1] if again else None


def are_numbers(texts: Sequence[str]) -> bool:
    """Tell whether texts are numbers, and there is one."""
    try:
        return bool([*map(float, texts)])
    except ValueError:
        return False
