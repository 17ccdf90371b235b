"""Small Parquet tables of an artifact, such as a training's history or a model's metrics."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

HISTORY = pa.schema(
    [("step", pa.int64()), ("epoch", pa.float64()), ("name", pa.string()), ("value", pa.float64())]
)
# A macro average is taken over the `classes` that occur in the labels or the predictions of the split.
METRICS_SCHEMA = pa.schema(
    [
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("split", pa.string()),
        ("n", pa.int64()),
        ("classes", pa.int64()),
    ]
)
# The figures of a model on batches of one shape; `bytes` is the size of its weights on disk.
MEASUREMENTS_SCHEMA = pa.schema(
    [
        ("format", pa.string()),
        *((name, pa.int64()) for name in ("batch", "length", "threads", "warmup", "repeats")),
        ("median_seconds", pa.float64()),
        ("p95_seconds", pa.float64()),
        ("peak_bytes", pa.int64()),
        ("device", pa.string()),
        ("bytes", pa.int64()),
    ]
)


def write_parquet(path: Path, rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write rows to a Parquet file."""
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), path)


def read_parquet(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file."""
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows
