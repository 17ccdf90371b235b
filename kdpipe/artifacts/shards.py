"""Tables that a long stage has finished so far: a stage that starts again does not compute them again."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from kdpipe.artifacts.checkpoints import SECONDS, Clock, read_seconds
from kdpipe.artifacts.state import discard, make_folder, whole
from kdpipe.artifacts.sums import file_digest


class Shards:
    """Tables by name; each table is whole or missing.

    The name of a file contains the digest of its bytes. So a file that a power cut broke off does not count.

    Args:
        folder: the folder of the tables.
        clock: the working time of the stage, which is stored beside the tables.
        check: raises an error if the newest table must not be stored.
    """

    def __init__(self, folder: Path, clock: Clock, check: Callable[[], object] = lambda: None) -> None:
        self._folder = folder
        self._clock = clock
        self._check = check
        for path in folder.glob("*"):
            if path.is_symlink() or not path.is_file():
                discard(path)
        clock.earlier = read_seconds(folder) or clock.earlier

    def table(self, name: str, make: Callable[[], pa.Table]) -> pa.Table:
        """Return a stored table, with its batches and metadata; make and store the table if it is missing."""
        for path in self._folder.glob(f"{name}.*.arrow"):
            if path.name == _file_name(name, path):
                with pa.memory_map(str(path)) as file:
                    return pa.ipc.open_file(file).read_all()
            path.unlink()
        table = make()
        self._check()
        self._keep(name, table)
        return table

    def _keep(self, name: str, table: pa.Table) -> None:
        make_folder(self._folder)
        with whole(self._folder / SECONDS) as seconds:
            seconds.write_text(json.dumps(self._clock.seconds()), encoding="utf-8")
        part = self._folder / f"{name}.part"
        try:
            with pa.OSFile(str(part), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            part.replace(self._folder / _file_name(name, part))
        finally:
            # On a full disk its room is needed.
            part.unlink(missing_ok=True)


def _file_name(name: str, path: Path) -> str:
    return f"{name}.{file_digest(path)}.arrow"
