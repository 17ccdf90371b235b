"""Published values, which the report shows beside the values of its models."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdpipe.errors import DataError, suggest

COLUMNS = ("model", "dataset", "metric", "value")
Key = tuple[str, ...]


def published_values(scores: Sequence[Mapping[str, Any]], path: Path) -> list[float | None]:
    """Return the published value for each score; None for a score without a published value.

    A model or dataset matches by its name, else by its group, else by its template.

    Raises:
        DataError: a line is malformed, stands twice, or matches no score.
    """
    lines = read_published(path)
    keys = [_keys(score) for score in scores]
    known = {key for candidates in keys for key in candidates}
    for key, (number, _) in lines.items():
        if key not in known:
            raise DataError(f"{path}:{number}: {_explain(key, known)}")
    return [next((lines[key][1] for key in candidates if key in lines), None) for candidates in keys]


def read_published(path: Path) -> dict[Key, tuple[int, float]]:
    """Read published values: a line number and a value by (model, dataset, metric).

    Raises:
        DataError: the file or a line of it is malformed.
    """
    values: dict[Key, tuple[int, float]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            if set(reader.fieldnames or ()) != set(COLUMNS):
                columns = ",".join(reader.fieldnames or ()) or "nothing"
                raise DataError(f"{path}:1: expected the columns {','.join(COLUMNS)}, found {columns}")
            for row in reader:
                key, value = _read(row, f"{path}:{reader.line_num}")
                if key in values:
                    first = values[key][0]
                    raise DataError(
                        f"{path}:{reader.line_num}: {' '.join(key)} stands twice, first in line {first}"
                    )
                values[key] = (reader.line_num, value)
    except OSError as error:
        raise DataError(f"report.published: {path} cannot be read: {error.strerror}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is not CSV in UTF-8: {error}") from None
    return values


def _read(row: Mapping[str | None, Any], where: str) -> tuple[Key, float]:
    if None in row or None in row.values():
        count = sum(value is not None for value in row.values()) + len(row.get(None, ())) - (None in row)
        raise DataError(f"{where}: expected {len(COLUMNS)} fields ({', '.join(COLUMNS)}), found {count}")
    try:
        value = float(row["value"])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: value: expected a number, found {row['value']!r}")
    return tuple(row[column].strip() for column in COLUMNS[:3]), value


def _keys(score: Mapping[str, Any]) -> list[Key]:
    models = dict.fromkeys((score["model"], score["model_group"], score["template"]))
    datasets = dict.fromkeys((score["dataset"], score["dataset_group"], score["dataset_template"]))
    return [(model, dataset, score["metric"]) for model in models for dataset in datasets]


def _explain(key: Key, known: Iterable[Key]) -> str:
    """Return a message about the first part of a key that matches no result."""
    for index, column in enumerate(COLUMNS[:3]):
        names = {other[index] for other in known if other[:index] == key[:index]}
        if key[index] not in names:
            beside = f" for {' on '.join(key[:index])}" if index else ""
            return f"{column} {key[index]!r} has no results{beside}; {suggest(key[index], names)}"
    raise AssertionError(f"{key} is known")
