"""Each fault of the machine, as libraries raise it, becomes one line."""

import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from kdpipe.artifacts.faults import tell_fault

LIMIT = 100_000
NUMBERS = np.random.default_rng(1).random(100_000)
TABLE = pa.table({"numbers": NUMBERS})


def write_arrow(path: Path, tokenizer: Any) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, TABLE.schema) as writer:
        writer.write_table(TABLE)


def write_tokenizer(path: Path, tokenizer: Any) -> None:
    many = tokenizer.__class__.from_str(tokenizer.to_str())
    many.add_tokens([f"a long word with the number {number}" for number in range(2000)])
    many.save(str(path))


WRITERS: dict[str, Callable[[Path, Any], Any]] = {
    "text": lambda path, tokenizer: path.write_text("a" * 2 * LIMIT),
    "parquet": lambda path, tokenizer: pq.write_table(TABLE, path),
    "arrow": write_arrow,
    "csv": lambda path, tokenizer: TABLE.to_pandas().to_csv(path),
    "safetensors": lambda path, tokenizer: save_file({"numbers": torch.from_numpy(NUMBERS)}, path),
    "torch": lambda path, tokenizer: torch.save({"numbers": torch.from_numpy(NUMBERS)}, path),
    "tokenizer": write_tokenizer,
}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file become larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_that_may_not_be_so_large(writer: str, wordpiece: Any, tmp_path: Path) -> None:
    write = WRITERS[writer]
    with largest_file(LIMIT), pytest.raises(Exception, match=r".") as caught:
        write(tmp_path / "file", wordpiece.backend_tokenizer)
    told = tell_fault(caught.value, tmp_path / ".state")
    assert told is not None
    assert "not be written to its end" in told if writer == "torch" else "ulimit -f" in told
    assert f"on the disk of {tmp_path / '.state'} (" in told


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk(writer: str, wordpiece: Any, small_disk: Path) -> None:
    with pytest.raises(Exception, match=r".") as caught:
        WRITERS[writer](small_disk / "file", wordpiece.backend_tokenizer)
    told = tell_fault(caught.value, small_disk / ".state")
    assert told is not None
    assert "for want of room" in told if writer == "torch" else told.startswith("there is no room left")
    assert "of 0.1 MB are free without the half-written files" in told


@pytest.mark.parametrize("writer", WRITERS)
def test_a_disk_that_is_read_only(writer: str, wordpiece: Any, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(Exception, match=r".") as caught:
        WRITERS[writer](small_disk / "file", wordpiece.backend_tokenizer)
    told = tell_fault(caught.value, small_disk)
    assert told is not None
    assert told.startswith(str(small_disk))
    assert "cannot be read or written (read-only file system, as user" in told


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EACCES])
def test_the_file_that_the_error_names_is_told(number: int, tmp_path: Path) -> None:
    told = tell_fault(OSError(number, os.strerror(number), str(tmp_path / "file")), Path("other"))
    assert told is not None
    assert str(tmp_path / "file") in told
    assert "other" not in told


def test_a_path_that_is_not_there_is_no_fault_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "missing").read_text()
    assert tell_fault(caught.value, tmp_path) is None


def die() -> None:
    os._exit(9)


def killed_worker() -> None:
    with ProcessPoolExecutor(1) as pool:
        pool.submit(die).result()


@pytest.mark.parametrize(
    "ask",
    [
        lambda: np.empty(1 << 60, dtype=np.int8),
        lambda: torch.empty(1 << 60, dtype=torch.int8),
        lambda: pa.allocate_buffer(1 << 60),
        lambda: bytearray(1 << 60),
        killed_worker,
    ],
    ids=["numpy", "torch", "arrow", "python", "worker"],
)
def test_memory_that_is_not_there(ask: Callable[[], Any], tmp_path: Path) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        ask()
    told = tell_fault(caught.value, tmp_path)
    assert told is not None
    assert told.startswith("not enough memory (")
    assert "lower per_device_train_batch_size" in told


def test_memory_of_a_gpu(tmp_path: Path) -> None:
    error = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity"
    )
    told = tell_fault(error, tmp_path)
    assert told is not None
    assert told.startswith("not enough memory (CUDA out of memory. Tried to allocate 2.00 GiB.")
