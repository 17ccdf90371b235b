"""Training splits that a model has made: copies of examples, or labels of examples."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kdpipe.data.source import TRAIN, Example, Source
from kdpipe.data.views import View

ROWS, ABOUT = "train.parquet", "labels.json"
# The labels of sentences by task.
LABEL_TYPES = {
    "classification": pa.string(),
    "multi_label": pa.list_(pa.string()),
    "regression": pa.float64(),
}


class Made(View):
    """A source with another training split, which a folder has; the other splits stay.

    Args:
        source: the source.
        folder: the folder that `write_made` has written to.
    """

    def __init__(self, source: Source, folder: Path) -> None:
        super().__init__(source)
        self._folder = folder

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The labels of the folder."""
        labels = json.loads((self._folder / ABOUT).read_text(encoding="utf-8"))
        return None if labels is None else tuple(labels)

    def read(self, split: str) -> Iterator[Example]:
        """Yield the examples of a split."""
        return self._made() if split == TRAIN else self._source.read(split)

    def _made(self) -> Iterator[Example]:
        with pq.ParquetFile(self._folder / ROWS) as file:
            for batch in file.iter_batches():
                yield from (_example(row) for row in batch.to_pylist())


def made_schema(task: str) -> pa.Schema:
    """Return the columns of the examples of a task."""
    texts = [(name, pa.string()) for name in ("id", "text", "text_pair")]
    return pa.schema([*texts, ("label", LABEL_TYPES[task]), ("kept", pa.map_(pa.string(), pa.string()))])


def made_table(examples: Iterable[Example], task: str) -> pa.Table:
    """Return examples as a table."""
    schema = made_schema(task)
    return pa.Table.from_pylist([{name: getattr(e, name) for name in schema.names} for e in examples], schema)


def write_made(folder: Path, tables: Iterable[pa.Table], task: str, labels: Sequence[str] | None) -> int:
    """Write examples and the names of their labels, and return the number of examples.

    Args:
        folder: the folder, which exists.
        tables: tables of examples, as `made_table` gives them.
        task: their task.
        labels: the names of the classes in their order; None for a regression.
    """
    text = json.dumps(None if labels is None else list(labels))
    (folder / ABOUT).write_text(f"{text}\n", encoding="utf-8")
    with pq.ParquetWriter(folder / ROWS, made_schema(task), compression="zstd") as writer:
        rows = 0
        for table in tables:
            writer.write_table(table)
            rows += len(table)
    return rows


def _example(row: dict[str, Any]) -> Example:
    label, kept = row.pop("label"), tuple(map(tuple, row.pop("kept")))
    return Example(**row, label=tuple(label) if isinstance(label, list) else label, kept=kept)
