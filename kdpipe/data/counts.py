"""How often each token occurs in a preprocessed dataset."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kdpipe.errors import DataError


def count_tokens(file: Path, vocab_size: int) -> pa.Table:
    """Count the token ids of one split, special tokens included.

    What cleaning dropped is not counted: it is never trained on.

    Args:
        file: a Parquet file with a column `input_ids`.
        vocab_size: number of ids, whether they occur or not.

    Returns:
        A table of `token_id` and `count`, one row for every id.

    Raises:
        DataError: an id is not below `vocab_size`.
    """
    counts = np.zeros(vocab_size, dtype=np.int64)
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(columns=["input_ids"]):
            ids = batch.column(0).flatten().to_numpy()
            if len(ids) and ids.max() >= vocab_size:
                raise DataError(
                    f"{file}: expected token ids below {vocab_size}, found {ids.max()}; the dataset"
                    " was made with another tokenizer than the vocabulary given"
                )
            counts += np.bincount(ids, minlength=vocab_size)
    return pa.table({"token_id": np.arange(vocab_size, dtype=np.int32), "count": counts})
