"""Published values: the lines of a CSV of values from papers."""

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kdpipe.errors import DataError

COLUMNS = ("model", "dataset", "metric", "value")
OPTIONAL = ("split", "paper")
Key = tuple[str, ...]


class Line(NamedTuple):
    """A line of a CSV of published values; split and paper may be empty."""

    model: str
    dataset: str
    split: str
    metric: str
    value: float
    paper: str
    number: int

    @property
    def key(self) -> Key:
        """What the value is of."""
        return self.model, self.dataset, self.split, self.metric


def read_published(path: Path) -> list[Line]:
    """Return the published values of a file.

    Raises:
        DataError: the file or a line of it is malformed, or a paper has a value twice.
    """
    first: dict[Key, int] = {}
    lines = list(_lines(path))
    for line in lines:
        key = *line.key, line.paper
        if key in first:
            told = " ".join(filter(None, key))
            raise DataError(f"{path}:{line.number}: {told} stands twice, first in line {first[key]}")
        first[key] = line.number
    return lines


def _lines(path: Path) -> Iterator[Line]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            names = reader.fieldnames or ()
            if not set(COLUMNS) <= set(names) <= {*COLUMNS, *OPTIONAL} or len(set(names)) < len(names):
                columns = f"{','.join(COLUMNS)}, and maybe {' and '.join(OPTIONAL)}"
                raise DataError(
                    f"{path}:1: expected the columns {columns}, found {','.join(names) or 'nothing'}"
                )
            for row in reader:
                yield _read(row, len(names), path, reader.line_num)
    except OSError as error:
        raise DataError(f"report.published: {path} cannot be read: {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not CSV in UTF-8: {error}") from None


def _read(row: Mapping[str | None, Any], fields: int, path: Path, number: int) -> Line:
    if None in row or None in row.values():
        count = sum(value is not None for value in row.values()) + len(row.get(None, ())) - (None in row)
        raise DataError(f"{path}:{number}: expected {fields} fields, as in the first line, found {count}")
    try:
        value = float(row["value"])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}:{number}: value: expected a number, found {row['value']!r}")
    model, dataset, split, metric, paper = (
        row.get(name, "").strip() for name in ("model", "dataset", "split", "metric", "paper")
    )
    return Line(model, dataset, split, metric, value, paper, number)
