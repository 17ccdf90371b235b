"""Encoding a stream of examples in several processes, in order and in little memory.

Processes are faster than the threads of the tokenizer: on two cores they read, encode, clean and write
818,000 tokens a second, where the threads alone encode 729,000 (`benchmarks/preprocess.py`).
"""

import json
import multiprocessing
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from itertools import count, islice
from threading import Thread
from types import ModuleType
from typing import Self

import pyarrow as pa

from kdpipe.artifacts.shards import Shards
from kdpipe.data.encoding import Encoded, Encoder
from kdpipe.data.source import Example

CHUNK_EXAMPLES = 1024
CHUNK_CHARACTERS = 1 << 19
LOOKAHEAD = 2
CHUNKS_OF_A_SHARD = 64
COUNTS_KEY = b"counts"

_encoder: Callable[[], Encoder]


class Pipeline:
    """Encodes chunks of examples; the rows are the same for any number of processes.

    At most `LOOKAHEAD` chunks per process wait at a time, so memory does not grow with the corpus.

    Args:
        make_encoder: makes the encoder, once in each process.
        processes: 1 encodes in this process; more start that many workers beside it.
    """

    def __init__(self, make_encoder: Callable[[], Encoder], processes: int) -> None:
        self._waiting = LOOKAHEAD * processes
        self._encoder = make_encoder() if processes == 1 else None
        # A fork would copy the locks of the caller's threads in whatever state they are.
        context = multiprocessing.get_context("spawn")
        self._pool = (
            None if self._encoder else ProcessPoolExecutor(processes, context, _start, (make_encoder,))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def encode(self, batches: Iterable[list[Example]]) -> Iterator[Encoded]:
        """Yield the rows of chunks of examples, in their order."""
        if self._pool is None:
            assert self._encoder is not None
            yield from map(self._encoder, batches)
            return
        waiting: deque[Future[Encoded]] = deque()
        for batch in batches:
            with _without_main():
                waiting.append(self._pool.submit(_encode, batch))
            if len(waiting) > self._waiting:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def encode_examples(
        self, examples: Iterable[Example], shards: Shards | None, name: str
    ) -> Iterator[Encoded]:
        """Yield the rows of examples, and store them many chunks at a time.

        Args:
            examples: the examples.
            shards: the rows that this run and earlier runs have encoded; None stores no rows.
            name: the name of the shards.
        """
        left = chunks(examples)
        if shards is None:
            yield from self.encode(left)
            return
        for number in count():
            part = list(islice(left, CHUNKS_OF_A_SHARD))
            if not part:
                return
            table = shards.table(f"{name}-{number}", partial(self._encode_table, part))
            counts = json.loads(table.schema.metadata[COUNTS_KEY])
            whole = table.replace_schema_metadata(None)
            # A table loses some batches without rows, but their examples count.
            batches = (batch for batch in whole.to_batches() if len(batch))
            empty = pa.RecordBatch.from_pylist([], whole.schema)
            for counted in counts:
                yield Encoded(next(batches) if counted["rows"] else empty, Counter(counted))

    def _encode_table(self, part: list[list[Example]]) -> pa.Table:
        batches, counts = zip(*self.encode(part), strict=True)
        return pa.Table.from_batches(batches).replace_schema_metadata({COUNTS_KEY: json.dumps(counts)})


def chunks(examples: Iterable[Example]) -> Iterator[list[Example]]:
    """Group examples, up to a number of them or of characters, whichever comes first."""
    chunk: list[Example] = []
    characters = 0
    for example in examples:
        chunk.append(example)
        characters += len(example.text) + len(example.text_pair or "")
        if len(chunk) == CHUNK_EXAMPLES or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module: a spawned process imports the main module, which in a stage imports torch."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _start(make_encoder: Callable[[], Encoder]) -> None:
    global _encoder
    Thread(target=_end_with_parent, daemon=True).start()
    # The first chunk makes the encoder: an error of an initializer does not reach the caller.
    _encoder = cache(make_encoder)


def _end_with_parent() -> None:
    """End this process when its parent has ended, even if the parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _encode(examples: list[Example]) -> Encoded:
    return _encoder()(examples)
