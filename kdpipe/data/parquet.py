"""Parquet files as tables, the classes of `datasets` by their names."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kdpipe.errors import DataError

BATCH_ROWS = 1024
# The key of the metadata that `datasets` writes.
FEATURES = b"huggingface"


class ParquetTable:
    """A Parquet file.

    Where the metadata that `datasets` writes declares a column to be of classes, which the file has by
    number, their names are read; a negative number means that there is no label, and None is read.

    Args:
        file: the file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def columns(self) -> Collection[str]:
        """Return the names of the columns."""
        names: list[str] = self._parquet.schema_arrow.names
        return names

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return the names of a column's classes in the order of their numbers, None if none are declared."""
        content = json.loads((self._parquet.schema_arrow.metadata or {}).get(FEATURES, b"{}"))
        return _names_in(content.get("info", {}).get("features", {}).get(column))

    def cells(self, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the number of each row, from 1, and its cells."""
        names = {column: self.class_names(column) for column in columns}
        for number, row in enumerate(self._rows(columns), start=1):
            where = f"{self._file}:{number}"
            yield number, {column: _named(row[column], names[column], where) for column in columns}

    def _rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        done = 0
        try:
            for batch in self._parquet.iter_batches(BATCH_ROWS, columns=list(columns)):
                yield from self._decoded(batch, done)
                done += len(batch)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{self._file}:{done + 1}: expected a whole Parquet file, found: {error}; get the file again"
            ) from None

    def _decoded(self, batch: pa.RecordBatch, before: int) -> list[dict[str, Any]]:
        try:
            rows: list[dict[str, Any]] = batch.to_pylist()
        except UnicodeDecodeError as error:
            if len(batch) > 1:
                # One row after the other shows which it is.
                return [
                    row for i in range(len(batch)) for row in self._decoded(batch.slice(i, 1), before + i)
                ]
            raise DataError(
                f"{self._file}:{before + 1}: expected UTF-8 text, found byte"
                f" 0x{error.object[error.start]:02x}; write the file anew from its origin"
            ) from None
        return rows

    @cached_property
    def _parquet(self) -> pq.ParquetFile:
        if not self._file.is_file():
            raise DataError(f"{self._file}: expected a file, found none; check the path")
        try:
            return pq.ParquetFile(self._file)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{self._file}: expected a Parquet file, found something else: {error}; convert it, or"
                " name it by its format"
            ) from None


def _names_in(feature: Any) -> tuple[str, ...] | None:
    """Return the names of the classes that a feature of `datasets` declares, itself or as a list of such."""
    match feature:
        case {"_type": "ClassLabel", "names": list(names)}:
            return tuple(names)
        case {"feature": item} | [item]:
            return _names_in(item)
    return None


def _named(value: Any, names: tuple[str, ...] | None, where: str) -> Any:
    """Return the names for the numbers of classes, as far as they are numbers."""
    if names is None or not isinstance(value, int | list):
        return value
    if isinstance(value, list):
        return [_named(item, names, where) for item in value]
    if value >= len(names):
        raise DataError(
            f"{where}: expected the number of one of {len(names)} declared classes, found {value}"
        )
    return names[value] if value >= 0 else None
