"""Tables that the library `datasets` writes and reads: Parquet, folders of `save_to_disk`, and JSON.

The library is imported where such a table is read, as its import takes a second. The Arrow file that it makes
of a JSON file goes to a temporary folder, never to its cache: jobs that share a cache wait for its locks.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kdpipe.artifacts.sums import SUMS, verify
from kdpipe.data.labels import checked_classes
from kdpipe.data.lines import check_file
from kdpipe.data.source import TRAIN
from kdpipe.errors import DataError, reason

BATCH_ROWS = 1024
# The key of the metadata in which `datasets` declares the classes of columns.
FEATURES = b"huggingface"
# The files that `save_to_disk` writes beside several splits, and beside the rows of one split.
SEVERAL, ONE = "dataset_dict.json", "state.json"
# The schema of a table, and a function that reads some columns in record batches or small tables.
Contents = tuple[pa.Schema, Callable[[list[str]], Iterable[Any]]]


def stored_splits(folder: Path) -> dict[str, Path]:
    """Return the splits that `save_to_disk` or the stage `fetch` wrote to a folder, none of other folders.

    Raises:
        KdpipeError: a file that the stage wrote was altered.
    """
    if (folder / SEVERAL).is_file():
        names = json.loads((folder / SEVERAL).read_text(encoding="utf-8"))["splits"]
        return {name: folder / name for name in names}
    if (folder / ONE).is_file():
        return {TRAIN: folder}
    if not (folder / SUMS).is_file():
        return {}
    verify(folder)
    return {file.stem: file for file in sorted(folder.glob("*.parquet"))}


def is_stored(path: Path) -> bool:
    """Tell whether a path names a table which every source reads alike: Parquet or `save_to_disk`."""
    return path.suffix == ".parquet" or path.is_dir()


class StoredTable:
    """A table of Parquet, of JSON (an array, or an object a line), or a folder of `save_to_disk`.

    A column may be a field of another column: `review.title`. A column of declared classes holds the
    numbers of the classes, and is read as their names. A negative number stands for no label, read as None.

    Args:
        path: the file or the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def columns(self) -> Collection[str]:
        """Return the names of the columns, and of the fields in them."""
        return list(_names(self._schema))

    def class_names(self, column: str) -> tuple[str, ...] | None:
        """Return the names of a column's classes in the order of their numbers, None if none are declared.

        Raises:
            DataError: the metadata are not as `datasets` writes them, or two classes have one name.
        """
        feature = field(self._features, column)
        while hasattr(feature, "feature"):
            feature = feature.feature
        names = getattr(feature, "names", None)
        return names and checked_classes(names, f"{self._path}: column {column!r}", several=False)

    def cells(self, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Yield the number of each row, from 1, and its cells."""
        names = {column: self.class_names(column) for column in columns}
        for number, row in enumerate(self._rows(columns), start=1):
            where = f"{self._path}:{number}"
            yield number, {name: _named(field(row, name), names[name], where) for name in columns}

    def _rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        done = 0
        tops = {name if name in self._schema.names else name.partition(".")[0] for name in columns}
        try:
            for batch in self._contents[1]([name for name in self._schema.names if name in tops]):
                yield from batch.to_pylist()
                done += len(batch)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise DataError(
                f"{self._path}:{done + 1}: expected rows that can be read from here on, found:"
                f" {reason(error)}; get or write it again"
            ) from None

    @property
    def _schema(self) -> pa.Schema:
        return self._contents[0]

    @cached_property
    def _features(self) -> Mapping[str, Any]:
        """The features that the schema declares in its metadata."""
        if FEATURES not in (self._schema.metadata or {}):
            return {}
        from datasets import Features

        try:
            return Features.from_arrow_schema(self._schema)  # type: ignore[no-any-return]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{self._path}: expected metadata {FEATURES.decode()!r} as `datasets` writes them, found:"
                f" {reason(error)}; write the file again with `datasets`, or without these metadata"
            ) from None

    @cached_property
    def _contents(self) -> Contents:
        if not self._path.is_dir():
            check_file(self._path)
        try:
            return _parquet(self._path) if self._path.suffix == ".parquet" else _prepared(self._path)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(
                f"{self._path}: expected Parquet, JSON or a folder of `save_to_disk` by its name, found"
                f" something else: {reason(error)}; convert it, or name it by its format"
            ) from None


def _parquet(path: Path) -> Contents:
    parquet = pq.ParquetFile(path)
    # Only reading the names shows whether they are text.
    _ = parquet.schema_arrow.names
    return parquet.schema_arrow, lambda columns: parquet.iter_batches(BATCH_ROWS, columns=columns)


def _prepared(path: Path) -> Contents:
    from datasets import Dataset, disable_progress_bars
    from datasets.exceptions import DatasetsError

    disable_progress_bars()
    try:
        # A mapped file can be read until it is closed, even after its name is gone.
        with TemporaryDirectory() as folder:
            table = (
                Dataset.load_from_disk(str(path))
                if path.is_dir()
                else Dataset.from_json(escape(str(path.absolute())), cache_dir=folder)
            ).with_format("arrow")
    except DatasetsError as error:
        raise ValueError(error.__cause__ or error) from None
    return table.features.arrow_schema, lambda columns: table.select_columns(columns).iter(BATCH_ROWS)


def _names(fields: Any, above: str = "") -> Iterator[str]:
    for field in fields:
        yield f"{above}{field.name}"
        if pa.types.is_struct(field.type):
            yield from _names(field.type.fields, f"{above}{field.name}.")


def field(mapping: Any, name: str) -> Any:
    """Return the entry of a mapping, or by a name with dots the entry of a mapping in it; else None."""
    if not isinstance(mapping, Mapping):
        return None
    first, _, rest = name.partition(".")
    return mapping[name] if name in mapping else field(mapping.get(first), rest)


def _named(value: Any, names: tuple[str, ...] | None, where: str) -> Any:
    """Return the name of the class of a number, also in lists; other values stay."""
    if names is None or not isinstance(value, int | list):
        return value
    if isinstance(value, list):
        return [_named(item, names, where) for item in value]
    if value >= len(names):
        raise DataError(
            f"{where}: expected the number of one of {len(names)} declared classes, found {value}"
        )
    return names[value] if value >= 0 else None
