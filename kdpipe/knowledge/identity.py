"""What stored signals belong to, on whatever machine: a tokenizer, and the tokens and labels of examples."""

import hashlib
from typing import Any

from kdpipe.data.encoded import EncodedSplit
from kdpipe.digest import digest

# What is read of an encoded split, as far as it has it.
READ = ("input_ids", "token_type_ids", "labels", "words")


def vocabulary_digest(tokenizer: Any) -> str:
    """Return a digest of the entries of a tokenizer and their ids."""
    return digest(sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1]))


def data_digest(split: EncodedSplit) -> str:
    """Return a digest of the tokens and labels of the examples of a split, and of their order."""
    sha256 = hashlib.sha256()
    for name in (name for name in READ if name in split.columns):
        column = split.column(name)
        sha256.update(name.encode())
        for values, bounds in column.parts:
            sha256.update(values[bounds[0] : bounds[-1]].tobytes())
        sha256.update(column.lengths().tobytes())
    return sha256.hexdigest()
