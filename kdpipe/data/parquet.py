"""Parquet files as tables, the classes of `datasets` by their names."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kdpipe.data.labels import checked_classes
from kdpipe.data.lines import check_file
from kdpipe.data.parsing import parse_json
from kdpipe.data.telling import reason
from kdpipe.errors import DataError, quoted

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
        names: list[str] = self._schema.names
        return names

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return the names of a column's classes in the order of their numbers, None if none are declared.

        Raises:
            DataError: the metadata are not as `datasets` writes them, or classes cannot be told apart.
        """
        classes = _classes_in(self._features.get(column))
        if classes is None:
            return None
        names, where = classes.get("names"), f"{self._metadata}: column {quoted(column)}"
        if not isinstance(names, list):
            raise DataError(
                f"{where}: expected a list of classes, found {quoted(names)}; write the file anew"
            )
        return checked_classes(names, where, several=False)

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
                f"{self._file}:{done + 1}: expected a whole Parquet file, found: {reason(error)}; get the"
                " file again"
            ) from None

    def _decoded(self, batch: pa.RecordBatch, before: int) -> list[dict[str, Any]]:
        try:
            rows: list[dict[str, Any]] = batch.to_pylist()
        except (ValueError, OverflowError) as error:
            if len(batch) > 1:
                # One row after the other shows which it is.
                return [
                    row for i in range(len(batch)) for row in self._decoded(batch.slice(i, 1), before + i)
                ]
            expected = f"values that Python has, found: {reason(error)}"
            if isinstance(error, UnicodeDecodeError):
                expected = f"UTF-8 text, found byte 0x{error.object[error.start]:02x}"
            raise DataError(
                f"{self._file}:{before + 1}: expected {expected}; write the file anew from its origin"
            ) from None
        return rows

    @property
    def _metadata(self) -> str:
        """What messages call the metadata."""
        return f"{self._file}: metadata {FEATURES.decode()!r}"

    @cached_property
    def _features(self) -> Mapping[str, Any]:
        """What the metadata say of each column."""
        text = (self._schema.metadata or {}).get(FEATURES)
        if text is None:
            return {}
        found = parse_json(text.decode(errors="replace"), self._metadata)
        for key in ("info", "features"):
            found = self._object(found).get(key)
            found = {} if found is None else found
        return self._object(found)

    def _object(self, value: Any) -> Mapping[str, Any]:
        if isinstance(value, dict):
            return value
        raise DataError(
            f"{self._metadata}: expected an object, found {quoted(value)}; write the file anew with"
            " `datasets`, or without these metadata"
        )

    @cached_property
    def _schema(self) -> pa.Schema:
        return self._parquet.schema_arrow

    @cached_property
    def _parquet(self) -> pq.ParquetFile:
        check_file(self._file)
        try:
            parquet = pq.ParquetFile(self._file)
            _ = parquet.schema_arrow.names
            return parquet
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(
                f"{self._file}: expected a Parquet file, found something else: {reason(error)}; convert it,"
                " or name it by its format"
            ) from None


def _classes_in(feature: Any) -> Mapping[str, Any] | None:
    """Return the feature of `datasets` that declares classes, itself or as a list of such; None without."""
    while True:
        match feature:
            case {"_type": "ClassLabel"}:
                return dict(feature)
            case {"feature": item} | [item]:
                feature = item
            case _:
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
