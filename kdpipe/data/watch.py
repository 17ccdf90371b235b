"""Files that must stay as they are while they are read: what is made of them is told by what they held."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from kdpipe.artifacts.sums import file_digest
from kdpipe.errors import DataError

# Which file it is, its size, and when its content and anything of it was changed last.
Stats = Mapping[str, tuple[int, int, int, int]]


class Watch:
    """What some files held when their reading began; in its block they are read.

    The block ends with an error if one of them does not hold the same any more, and so does what a reader
    complains of in a file that is being changed.

    Args:
        files: lists the files.

    Attributes:
        digests: the SHA-256 of each file, by its path.
    """

    def __init__(self, files: Callable[[], Iterable[Path]]) -> None:
        self._files = files
        # Looked at first: a change before the digest is known is seen too.
        self._stats = self._look()
        self.digests = self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, Exception):
            self.check()
        if error is None:
            # Disks that are shared by machines tell late that a file has changed.
            _compare(self.digests, self._read())

    def check(self) -> None:
        """Raise DataError if a file has been changed, removed or added, by its size and its times."""
        _compare(self._stats, self._look())

    def _look(self) -> Stats:
        stats = {str(file): file.stat() for file in self._files() if file.exists()}
        return {
            file: (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            for file, stat in stats.items()
        }

    def _read(self) -> dict[str, str]:
        return {str(file): file_digest(file) for file in self._files() if file.exists()}


def _compare(before: Mapping[str, object], now: Mapping[str, object]) -> None:
    for file in sorted({*before, *now}):
        if before.get(file) != now.get(file):
            raise DataError(
                f"{file}: expected a file that stays as it is, found that it was changed while it was read;"
                " run the stage again once nothing writes it"
            )
