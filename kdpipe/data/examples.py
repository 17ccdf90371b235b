"""What is kept of a split's examples besides their rows, where answers are pieces of their texts."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kdpipe.data.pipeline import chunks
from kdpipe.data.source import Answer, Example

ANSWER = pa.struct([("start", pa.int32()), ("text", pa.string())])
SCHEMA = pa.schema([("id", pa.string()), ("context", pa.string()), ("answers", pa.list_(ANSWER))])


def examples_file(folder: Path, split: str) -> Path:
    """Return the file of a split's examples, which lies beside the file of its rows."""
    return folder / f"{split}.examples.parquet"


def keep_examples(file: Path, examples: Iterable[Example]) -> Iterator[Example]:
    """Pass questions on, and write id, context and answers of each as a row of a Parquet file.

    The answers are null where they are not known, and empty for a question without one.
    """
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for chunk in chunks(examples):
            writer.write_batch(pa.RecordBatch.from_pylist([_row(example) for example in chunk], SCHEMA))
            yield from chunk


def _row(example: Example) -> dict[str, object]:
    answers = None
    if isinstance(example.label, tuple):
        answers = [answer._asdict() for answer in example.label if isinstance(answer, Answer)]
    return {"id": example.id, "context": example.text_pair, "answers": answers}
