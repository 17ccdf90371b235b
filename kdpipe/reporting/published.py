"""Published values, which the report shows beside the values of its models, and as rows of their own."""

import csv
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kdpipe.errors import DataError, suggest

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


def published_values(
    scores: Sequence[Mapping[str, Any]], lines: Iterable[Line], path: Path
) -> list[float | None]:
    """Return the published value for each score; None for a score without a published value.

    A model or dataset matches by its name, else by its group, else by its template. A line without a split is
    for all splits. Of several papers the first line counts.

    Args:
        scores: the scores.
        lines: the lines that are of models of the report.
        path: the file of the lines.

    Raises:
        DataError: a line matches no score.
    """
    values: dict[Key, float] = {}
    keys = [_keys(score) for score in scores]
    known = {key for candidates in keys for key in candidates}
    for line in lines:
        if line.key not in known:
            raise DataError(f"{path}:{line.number}: {_explain(line.key, known)}")
        values.setdefault(line.key, line.value)
    return [next((values[key] for key in candidates if key in values), None) for candidates in keys]


def read_published(path: Path, models: Collection[str]) -> tuple[list[Line], list[Line]]:
    """Return the published values of some models, and those of all other models.

    Raises:
        DataError: the file or a line of it is malformed, or a paper has a value twice.
    """
    first: dict[Key, int] = {}
    beside: list[Line] = []
    others: list[Line] = []
    for line in _lines(path):
        key = *line.key, line.paper
        if key in first:
            raise DataError(f"{path}:{line.number}: {_told(line)} stands twice, first in line {first[key]}")
        first[key] = line.number
        (beside if line.model in models else others).append(line)
    return beside, others


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


def _told(line: Line) -> str:
    return " ".join(filter(None, (*line.key, line.paper)))


def _keys(score: Mapping[str, Any]) -> list[Key]:
    models = dict.fromkeys((score["model"], score["model_group"], score["template"]))
    datasets = dict.fromkeys((score["dataset"], score["dataset_group"], score["dataset_template"]))
    return [
        (model, dataset, split, score["metric"])
        for model in models
        for dataset in datasets
        for split in (score["split"], "")
    ]


def _explain(key: Key, known: Iterable[Key]) -> str:
    """Return a message about the first part of a key that matches no result."""
    for index, column in enumerate(("model", "dataset", "split", "metric")):
        names = {other[index] for other in known if other[:index] == key[:index]}
        if key[index] not in names:
            told = " on ".join(filter(None, key[:index]))
            beside = f" for {told}" if told else ""
            return f"{column} {key[index]!r} has no results{beside}; {suggest(key[index], names - {''})}"
    raise AssertionError(f"{key} is known")
