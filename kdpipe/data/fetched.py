"""What the stage `fetch` stores of a dataset of the Hub: a folder of Parquet files, named by their splits."""

import re
from functools import cached_property
from pathlib import Path

from kdpipe.artifacts.sums import verify
from kdpipe.data.files import in_order, named_parts
from kdpipe.errors import DataError

_PART = re.compile(r"(.+)-\d{5}\.parquet")


def part_name(split: str, position: int) -> str:
    """Return the name of the file that holds a part of a split, the first of which has position 0."""
    return f"{split}-{position:05d}.parquet"


class FetchedFiles:
    """The files of such a folder, once they have been checked against their digests.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> tuple[str, ...]:
        """Return the splits: train, validation, test, then others by name.

        Raises:
            KdpipeError: the folder is not there, or was altered.
        """
        return in_order(self._splits)

    def parts(self, split: str) -> list[tuple[str, Path]]:
        """Return the files of a split, each with what the ids of its examples begin with.

        Raises:
            DataError: there is no such split.
        """
        if split not in self._splits:
            raise DataError(f"expected a split {split!r}, found {', '.join(self.names())}")
        return named_parts(split, self._splits[split])

    @cached_property
    def _splits(self) -> dict[str, list[Path]]:
        verify(self._folder)
        found: dict[str, list[Path]] = {}
        for file in sorted(self._folder.iterdir()):
            if match := _PART.fullmatch(file.name):
                found.setdefault(match[1], []).append(file)
        return found
