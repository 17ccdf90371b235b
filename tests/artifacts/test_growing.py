"""A stage that was killed while it wrote an Arrow file goes on where it was, and writes the same bytes."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from kdpipe.artifacts.checkpoints import SECONDS, Clock
from kdpipe.artifacts.growing import PARTS, RECORD, GrowingFile
from tests.made import NO_SECONDS, PLACED

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


def test_what_follows_the_last_whole_batch_does_not_count(tmp_path: Path) -> None:
    begin(tmp_path, 2)
    with (tmp_path / PARTS[0]).open("ab") as file:
        file.write(b"half a batch")
    write(tmp_path, tmp_path / "whole", 2)


@pytest.mark.parametrize("text", [
    "{}", "2", '{"part": "../growing-0.arrow", "batches": 1}', '{"part": "growing-0.arrow", "batches": 0}',
    '{"part": "growing-0.arrow", "batches": "1"}', '{"part": "growing-0.arrow", "batches": 5}',
])  # fmt: skip
def test_a_record_that_is_not_true_does_not_count(tmp_path: Path, text: str) -> None:
    begin(tmp_path, 2)
    (tmp_path / RECORD).write_text(text)
    write(tmp_path, tmp_path / "whole", 0)


@pytest.mark.parametrize("text", NO_SECONDS)
def test_a_time_that_is_not_whole_does_not_count(tmp_path: Path, text: bytes) -> None:
    begin(tmp_path, 1)
    (tmp_path / SECONDS).write_bytes(text)
    clock = Clock()
    GrowingFile(tmp_path, clock, METADATA)
    assert clock.earlier == 0


def test_the_working_time_of_earlier_runs_counts(tmp_path: Path) -> None:
    begin(tmp_path, 1)
    (tmp_path / SECONDS).write_text("7.5")
    clock = Clock()
    GrowingFile(tmp_path, clock, METADATA)
    assert clock.earlier == 7.5


@pytest.mark.parametrize("place", PLACED)
@pytest.mark.parametrize("name", [SECONDS, RECORD, *PARTS])
def test_what_is_no_file_is_made_again(tmp_path: Path, name: str, place: Callable[[Path], None]) -> None:
    place(tmp_path / name)
    write(tmp_path, tmp_path / "whole", 0)


def test_a_file_without_batches_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no record batch"):
        GrowingFile(tmp_path, Clock(), METADATA).finish(tmp_path / "whole")
