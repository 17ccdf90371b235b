"""An Arrow file that a long stage writes batch by batch: a stage that starts again goes on where it was."""

import hashlib
import mmap
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, Field, ValidationError

from kdpipe.artifacts.checkpoints import SECONDS, Clock
from kdpipe.artifacts.state import discard, link, make_folder, whole
from kdpipe.artifacts.sums import read_listing, sync
from kdpipe.errors import KdpipeError

PARTS = "growing-0.arrow", "growing-1.arrow"
RECORD = "growing.json"
# An Arrow file is its name, padded to 8 bytes, and then what a stream has.
NAME_BYTES = 8


class Record(BaseModel, strict=True):
    """A part of which the disk has some whole record batches.

    Args:
        part: its name.
        ends: the places in the part where each batch ends.
        digests: the SHA-256 of the bytes of each batch; the first has the beginning of the file, too.
    """

    part: str = Field(pattern="^growing-[01][.]arrow$")
    ends: list[int] = Field(min_length=1)
    digests: list[str]


class GrowingFile:
    """An Arrow file in a folder of state, until it is whole.

    The end of a killed run's part is missing, so a stage that starts again copies the record batches of that
    part into another one. A record names the part once the disk has its batches. So after a power cut, too,
    what the record says is there.

    Args:
        folder: the folder of state.
        clock: the working time of the stage, which is stored beside the part; `Shards` reads it there.
        metadata: the metadata of the file.
    """

    def __init__(self, folder: Path, clock: Clock, metadata: Mapping[str, str]) -> None:
        make_folder(folder)
        for path in (folder / name for name in (*PARTS, RECORD, SECONDS)):
            if path.is_symlink() or not path.is_file():
                discard(path)
        self._folder, self._clock, self._metadata = folder, clock, dict(metadata)
        old, batches = _earlier(folder)
        self._batches = iter(batches)
        self._ends: list[int] = []
        self._digests: list[str] = []
        self._part, self._old = (folder / name for name in sorted(PARTS, key=lambda name: name == old))
        for path in (self._part, self._old)[: 1 if old else 2]:
            discard(path)
        self._file = pa.OSFile(str(self._part), "wb")
        self._writer: pa.RecordBatchFileWriter | None = None

    def add(self, make: Callable[[], pa.RecordBatch]) -> None:
        """Write the next record batch: the batch of the earlier run, else a batch that is made now."""
        batch = next(self._batches, None)
        known = batch is not None
        if batch is None:
            batch = make()
        try:
            self._write(batch)
            if not known:
                self._record()
        except BaseException:
            self._make_room()
            raise

    def finish(self, path: Path) -> None:
        """Give the whole file another name; the part stays until the stage has written its artifact."""
        if self._writer is None:
            raise ValueError("no record batch was added")
        self._writer.close()
        self._file.close()
        link(self._part, path)

    def _write(self, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            self._writer = pa.ipc.new_file(self._file, batch.schema.with_metadata(self._metadata))
        self._writer.write_batch(batch)
        start, end = (self._ends or [0])[-1], self._file.tell()
        with (
            self._part.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            self._digests.append(_digest(content, start, end))
        self._ends.append(end)

    def _record(self) -> None:
        """Note what the disk has."""
        sync(self._part)
        record = Record(part=self._part.name, ends=self._ends, digests=self._digests)
        for name, text in ((SECONDS, str(self._clock.seconds())), (RECORD, record.model_dump_json())):
            with whole(self._folder / name) as part:
                part.write_text(text, encoding="utf-8")
                sync(part)
        discard(self._old)

    def _make_room(self) -> None:
        """Remove a part that no record names; of another part, remove the half batch at its end."""
        with suppress(pa.ArrowException, OSError):
            self._file.close()
        if self._old.exists() or not self._ends:
            discard(self._part)
        else:
            os.truncate(self._part, self._ends[-1])


def _earlier(folder: Path) -> tuple[str, list[pa.RecordBatch]]:
    """Return the part of an earlier run and its mapped batches; none if the part or its record is damaged."""
    try:
        record = Record.model_validate_json(read_listing(folder / RECORD))
        file = pa.memory_map(str(folder / record.part))
        content = memoryview(file.read_buffer())
        places = zip([0, *record.ends], record.ends, record.digests, strict=False)
        if len(record.ends) != len(record.digests) or record.ends[-1] > len(content):
            return "", []
        if any(_digest(content, start, end) != digest for start, end, digest in places):
            return "", []
        file.seek(NAME_BYTES)
        reader = pa.ipc.open_stream(file)
        return record.part, [reader.read_next_batch() for _ in record.ends]
    except (KdpipeError, OSError, ValidationError, pa.ArrowInvalid, StopIteration):
        return "", []


def _digest(content: Any, start: int, end: int) -> str:
    return hashlib.sha256(memoryview(content)[start:end]).hexdigest()
