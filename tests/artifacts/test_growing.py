"""A stage that was killed while it wrote an Arrow file goes on where it was, and writes the same bytes."""

import errno
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kdpipe.artifacts.checkpoints import SECONDS, Clock, read_seconds
from kdpipe.artifacts.growing import PARTS, RECORD, GrowingFile
from tests.made import PLACED

BATCHES = [pa.record_batch({"id": [f"{number}-{row}" for row in range(3)]}) for number in range(4)]
METADATA = {"examples": "9f2c"}


def made(number: int) -> pa.RecordBatch:
    return BATCHES[number]


def refuse() -> pa.RecordBatch:
    raise AssertionError("made again")


def begin(folder: Path, count: int) -> None:
    """Write the first batches of a file, and end there."""
    file = GrowingFile(folder, Clock(), METADATA)
    for number in range(count):
        file.add(partial(made, number))


def write(folder: Path, path: Path, known: int) -> bytes:
    """Write the whole file, of which an earlier run has made some batches; return its bytes."""
    file = GrowingFile(folder, Clock(), METADATA)
    for number in range(len(BATCHES)):
        file.add(refuse if number < known else partial(made, number))
    file.finish(path)
    with pa.ipc.open_file(path) as reader:
        assert reader.read_all() == pa.Table.from_batches(BATCHES)
        assert reader.schema.metadata == {b"examples": b"9f2c"}
    return path.read_bytes()


def test_a_batch_is_made_once(tmp_path: Path) -> None:
    undisturbed = write(tmp_path / "undisturbed", tmp_path / "one", 0)
    begin(tmp_path / "killed", 2)
    begin(tmp_path / "killed", 2)
    with pytest.raises(AssertionError, match="made again"):
        write(tmp_path / "killed", tmp_path / "two", 3)
    assert write(tmp_path / "killed", tmp_path / "three", 2) == undisturbed
    assert write(tmp_path / "killed", tmp_path / "four", 4) == undisturbed


def test_a_run_that_is_killed_while_it_copies_loses_nothing(tmp_path: Path) -> None:
    begin(tmp_path, 3)
    begin(tmp_path, 1)
    assert sorted(path.name for path in tmp_path.glob("*.arrow")) == list(PARTS)
    write(tmp_path, tmp_path / "whole", 3)
    assert len(list(tmp_path.glob("*.arrow"))) == 1


@pytest.mark.parametrize("end", [0, 8, -20])
@pytest.mark.parametrize("name", [PARTS[0], RECORD])
def test_what_is_not_whole_is_made_again(tmp_path: Path, name: str, end: int) -> None:
    begin(tmp_path, 2)
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[:end])
    write(tmp_path, tmp_path / "whole", 0)


def test_a_part_that_no_record_names_is_removed(tmp_path: Path) -> None:
    begin(tmp_path, 2)
    begin(tmp_path, 1)
    (tmp_path / RECORD).unlink()
    GrowingFile(tmp_path, Clock(), METADATA)
    assert [path.name for path in tmp_path.glob("*.arrow")] == [PARTS[0]]


def test_what_follows_the_last_whole_batch_does_not_count(tmp_path: Path) -> None:
    begin(tmp_path, 2)
    with (tmp_path / PARTS[0]).open("ab") as file:
        file.write(b"half a batch")
    write(tmp_path, tmp_path / "whole", 2)


@pytest.mark.parametrize("change", [
    {"part": "../growing-0.arrow"}, {"part": PARTS[1]}, {"ends": []}, {"ends": ["400"]}, {"digests": []},
    {"ends": [400, 10**9], "digests": ["0", "0"]},
])  # fmt: skip
def test_a_record_that_is_not_true_does_not_count(tmp_path: Path, change: dict[str, Any]) -> None:
    begin(tmp_path, 2)
    record = json.loads((tmp_path / RECORD).read_text())
    (tmp_path / RECORD).write_text(json.dumps(record | change))
    write(tmp_path, tmp_path / "whole", 0)


def test_a_batch_that_was_altered_is_made_again(tmp_path: Path) -> None:
    begin(tmp_path, 2)
    part = tmp_path / PARTS[0]
    assert b"1-2" in part.read_bytes()
    part.write_bytes(part.read_bytes().replace(b"1-2", b"1-9"))
    write(tmp_path, tmp_path / "whole", 0)


def test_the_working_time_lies_beside_the_part(tmp_path: Path) -> None:
    GrowingFile(tmp_path, Clock(earlier=100.0), METADATA).add(partial(made, 0))
    assert 100 < read_seconds(tmp_path) < 200


@pytest.mark.parametrize("known", [0, 2])
def test_a_batch_for_which_the_disk_has_no_room_leaves_what_was_whole(
    tmp_path: Path, known: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(tmp_path, known)
    file = GrowingFile(tmp_path, Clock(), METADATA)
    for number in range(known):
        file.add(partial(made, number))
    write_batch = GrowingFile._write

    def half(self: GrowingFile, batch: pa.RecordBatch) -> None:
        write_batch(self, batch)
        self._ends.pop()
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(GrowingFile, "_write", half)
    with pytest.raises(OSError, match="no room"):
        file.add(partial(made, known))
    monkeypatch.undo()
    assert len(list(tmp_path.glob("*.arrow"))) == min(known, 1)
    write(tmp_path, tmp_path / "whole", known)


@pytest.mark.parametrize("place", PLACED)
@pytest.mark.parametrize("name", [SECONDS, RECORD, *PARTS])
def test_what_is_no_file_is_made_again(tmp_path: Path, name: str, place: Callable[[Path], None]) -> None:
    place(tmp_path / name)
    write(tmp_path, tmp_path / "whole", 0)


def test_a_file_without_batches_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no record batch"):
        GrowingFile(tmp_path, Clock(), METADATA).finish(tmp_path / "whole")
