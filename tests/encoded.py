"""The rows of encoded splits as tables, for tests that look at them or change them."""

from pathlib import Path

import pyarrow as pa

from kdpipe.data.encoded import split_file
from kdpipe.data.mapped import open_batches


def read_split(folder: Path, split: str) -> pa.Table:
    return pa.Table.from_batches(open_batches(split_file(folder, split)))


def write_split(folder: Path, split: str, table: pa.Table) -> None:
    # Removed first: a file that is mapped is not written over.
    split_file(folder, split).unlink(missing_ok=True)
    with pa.ipc.new_file(str(split_file(folder, split)), table.schema) as writer:
        writer.write_table(table)
