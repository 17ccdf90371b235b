"""Local data files: which files hold which split."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from kdpipe.data.lines import UTF8, not_found
from kdpipe.data.source import STANDARD_SPLITS, TEST, TRAIN, VALIDATION
from kdpipe.data.stored import stored_splits
from kdpipe.errors import DataError
from kdpipe.matching import matching

# The names of a split's files where there is no official name.
USUAL_NAMES = {TRAIN: ("train",), VALIDATION: ("validation", "valid", "dev"), TEST: ("test",)}
RENAMED = {name: split for split, names in USUAL_NAMES.items() for name in names}


@dataclass(frozen=True)
class SplitFiles:
    """The files of a dataset by split.

    Args:
        path: folder that holds the files of `layout`, or splits that `datasets` or the stage `fetch` has
            stored; or a file, or a pattern of files, which are the train split.
        files: split name to file or pattern; overrides the file of the same split in `path`.
        layout: split name to the names that its file may have.
        suffixes: endings of these names.
        renamed: names of splits by the names that stored splits have.
        unlabelled: whether training and validation splits may lack labels, as other splits may.
    """

    path: Path | None
    files: Mapping[str, Path]
    layout: Mapping[str, tuple[str, ...]]
    suffixes: tuple[str, ...] = ("",)
    renamed: Mapping[str, str] = field(default_factory=lambda: RENAMED)
    unlabelled: bool = False

    def names(self) -> tuple[str, ...]:
        """Return the splits that have a file: train, validation, test, then others by name."""
        if not self._all:
            raise DataError(self._nothing_found())
        return in_order(self._all)

    def file(self, split: str) -> Path:
        """Return the file of a split."""
        if split not in self.names():
            raise DataError(f"expected a split {split!r}, found {', '.join(self.names())}")
        return self._all[split]

    def parts(self, split: str) -> list[tuple[str, Path]]:
        """Return the files of a split in sorted order, each with the beginning of its examples' ids.

        The ids begin with the split; of several files, also with the name of the file.
        """
        pattern = self.file(split)
        files = matching(pattern)
        if not files:
            raise DataError(not_found(pattern))
        if len(files) == 1:
            return [(split, files[0])]
        folder = os.path.commonpath([file.parent for file in files])
        return [(f"{split}:{file.relative_to(folder).as_posix()}", file) for file in files]

    def may_lack_labels(self, split: str) -> bool:
        """Tell whether a split may lack labels."""
        return self.unlabelled or split not in (TRAIN, VALIDATION)

    @property
    def _all(self) -> dict[str, Path]:
        return {**self._usual(), **self.files}

    def _usual(self) -> dict[str, Path]:
        if self.path is None:
            return {}
        if not self.path.is_dir():
            return {TRAIN: self.path} if matching(self.path) else {}
        if self._stored:
            return self._stored
        usual: dict[str, Path] = {}
        for split in self.layout.keys() - self.files.keys():
            names = [f"{name}{suffix}" for name in self.layout[split] for suffix in self.suffixes]
            # A folder or a broken link of such a name counts too: the message of its reader says what it is.
            present = [name for name in names if os.path.lexists(self.path / name)]
            if len(present) > 1:
                raise DataError(
                    f"{self.path}: expected one file of the split {split!r}, found {', '.join(present)};"
                    " remove the others, or give one of them by its split"
                )
            if present:
                usual[split] = self.path / present[0]
        return usual

    @cached_property
    def _stored(self) -> dict[str, Path]:
        stored = stored_splits(self.path) if self.path else {}
        names = {name: self.renamed.get(name, name) for name in stored}
        taken = list(names.values())
        return {name if taken.count(names[name]) > 1 else names[name]: file for name, file in stored.items()}

    def _nothing_found(self) -> str:
        expected = ", ".join(" or ".join(names) for names in self.layout.values())
        if any(self.suffixes):
            expected += f", each ending in {' or '.join(self.suffixes)}"
        there = "no `path` and no files" if self.path is None else f"none of them in {self.path}"
        if self.path is not None and not self.path.is_dir():
            there = f"nothing at {self.path}"
        return (
            f"expected data files {expected}; found {there}. Give the folder as `path`, or each"
            " file by its split; relative paths start at `data_dir`, which the environment's"
            " KDPIPE_DATA can set"
        )


class FileSource:
    """A source of local files.

    Args:
        files: its files by split.
        encoding: how the text of the files is encoded.
    """

    def __init__(self, files: SplitFiles, encoding: str = UTF8) -> None:
        self._files = files
        self._encoding = encoding

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have a file."""
        return self._files.names()


def in_order(splits: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names of splits: train, validation, test, then others by name."""
    others = sorted(set(splits) - set(STANDARD_SPLITS))
    return tuple(split for split in (*STANDARD_SPLITS, *others) if split in splits)
