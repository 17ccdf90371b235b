"""How often each token occurs in a preprocessed dataset."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from kdpipe.data.encoded import open_batches
from kdpipe.errors import DataError


def count_tokens(file: Path, vocab_size: int) -> pa.Table:
    """Count the token ids of one split, special tokens included.

    What cleaning dropped is not counted: it is never trained on.

    Args:
        file: the split's Arrow file.
        vocab_size: number of ids, whether they occur or not.

    Returns:
        A table of `token_id` and `count`, one row for every id.
    """
    counts = np.zeros(vocab_size, dtype=np.int64)
    for batch in open_batches(file):
        ids = batch.column("input_ids").flatten().to_numpy()
        if len(ids) and ids.max() >= vocab_size:
            raise DataError(
                f"{file}: expected token ids below {vocab_size}, found {ids.max()}; the dataset"
                " was made with another tokenizer than the vocabulary given"
            )
        counts += np.bincount(ids, minlength=vocab_size)
    return pa.table({"token_id": np.arange(vocab_size, dtype=np.int32), "count": counts})
