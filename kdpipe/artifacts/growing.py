"""An Arrow file that a long stage writes batch by batch: a stage that starts again goes on where it was."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel, Field, ValidationError

from kdpipe.artifacts.checkpoints import SECONDS, Clock, read_seconds
from kdpipe.artifacts.state import discard, link, make_folder, whole
from kdpipe.artifacts.sums import read_listing
from kdpipe.errors import KdpipeError

PARTS = "growing-0.arrow", "growing-1.arrow"
RECORD = "growing.json"
# An Arrow file is its name, padded to 8 bytes, and then what a stream has.
NAME_BYTES = 8


class Record(BaseModel, strict=True):
    """A part of which the disk has so many whole record batches."""

    part: str = Field(pattern="^growing-[01][.]arrow$")
    batches: int = Field(ge=1)


class GrowingFile:
    """An Arrow file in a folder of state, until it is whole.

    The end of a killed run's part is missing, so a stage that starts again copies the record batches of that
    part into another one. A record names the part once the disk has its batches. So after a power cut, too,
    what the record says is there.

    Args:
        folder: the folder of state.
        clock: the working time of the stage, which is stored beside the part.
        metadata: the metadata of the file.
    """

    def __init__(self, folder: Path, clock: Clock, metadata: Mapping[str, str]) -> None:
        make_folder(folder)
        for path in (folder / name for name in (*PARTS, RECORD, SECONDS)):
            if path.is_symlink() or not path.is_file():
                discard(path)
        self._folder, self._clock, self._metadata = folder, clock, dict(metadata)
        clock.earlier = read_seconds(folder) or clock.earlier
        old, batches = _earlier(folder)
        self._batches = iter(batches)
        self._count = 0
        self._part, self._old = (folder / name for name in sorted(PARTS, key=lambda name: name == old))
        discard(self._part)
        self._file = pa.OSFile(str(self._part), "wb")
        self._writer: pa.RecordBatchFileWriter | None = None

    def add(self, make: Callable[[], pa.RecordBatch]) -> None:
        """Write the next record batch: that of the earlier run, else a batch that is made now."""
        batch = next(self._batches, None)
        known = batch is not None
        if batch is None:
            batch = make()
        if self._writer is None:
            self._writer = pa.ipc.new_file(self._file, batch.schema.with_metadata(self._metadata))
        self._writer.write_batch(batch)
        self._count += 1
        if not known:
            self._record()

    def finish(self, path: Path) -> None:
        """Give the whole file another name; the part stays until the stage has written its artifact."""
        if self._writer is None:
            raise ValueError("no record batch was added")
        self._writer.close()
        self._file.close()
        link(self._part, path)

    def _record(self) -> None:
        with self._part.open("rb") as stream:
            os.fsync(stream.fileno())
        record = Record(part=self._part.name, batches=self._count)
        for name, text in ((SECONDS, str(self._clock.seconds())), (RECORD, record.model_dump_json())):
            with whole(self._folder / name) as part:
                part.write_text(text, encoding="utf-8")
        discard(self._old)


def _earlier(folder: Path) -> tuple[str, list[pa.RecordBatch]]:
    """Return the part of an earlier run and its mapped batches; none if the part or its record is damaged."""
    try:
        record = Record.model_validate_json(read_listing(folder / RECORD))
        file = pa.memory_map(str(folder / record.part))
        file.seek(NAME_BYTES)
        reader = pa.ipc.open_stream(file)
        return record.part, [reader.read_next_batch() for _ in range(record.batches)]
    except (KdpipeError, OSError, ValidationError, pa.ArrowInvalid, StopIteration):
        return "", []
