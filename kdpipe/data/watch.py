"""Files that must not change while they are read: an artifact is known by the content of its files."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from kdpipe.artifacts.sums import file_digest
from kdpipe.errors import DataError

# The inode of each file, its size, and the times of the last changes of its content and of its entry.
Stats = Mapping[str, tuple[int, int, int, int]]


class Watch:
    """The content of some files when their reading began; the block of a `with` reads the files.

    The block ends with an error if the content of a file has changed. This error also replaces the error of a
    reader, whose cause may be the change.

    Args:
        files: lists the files.

    Attributes:
        digests: the SHA-256 of each file, by its path.
    """

    def __init__(self, files: Callable[[], Iterable[Path]]) -> None:
        self._files = files
        # The times come first, so that a change is seen even if it precedes the digest.
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
            # A disk that machines share reports late that a file has changed.
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
