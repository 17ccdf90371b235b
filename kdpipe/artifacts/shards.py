"""What a long stage has done so far, in tables: started again, it does not do them again."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from kdpipe.artifacts.checkpoints import SECONDS, Clock
from kdpipe.artifacts.sums import file_digest


class Shards:
    """Tables by name, each of which is whole or not there.

    The name of a file has the digest of its bytes: what a machine that went off has cut short does not count.

    Args:
        folder: where they are kept.
        clock: how long the stage has worked, which is kept with them.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        with suppress(FileNotFoundError, ValueError):
            clock.earlier = float(json.loads((folder / SECONDS).read_text(encoding="utf-8")))

    def table(self, name: str, make: Callable[[], pa.Table]) -> pa.Table:
        """Return a table, made if it is not there; its batches and metadata are as they were made."""
        for path in self._folder.glob(f"{name}.*.arrow"):
            if path.name == _file_name(name, path):
                with pa.memory_map(str(path)) as file:
                    return pa.ipc.open_file(file).read_all()
            path.unlink()
        table = make()
        self._folder.mkdir(parents=True, exist_ok=True)
        part = self._folder / f"{name}.part"
        with pa.OSFile(str(part), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        _write(self._folder / SECONDS, json.dumps(self._clock.seconds()))
        part.replace(self._folder / _file_name(name, part))
        return table


def _file_name(name: str, path: Path) -> str:
    return f"{name}.{file_digest(path)}.arrow"


def _write(path: Path, text: str) -> None:
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
