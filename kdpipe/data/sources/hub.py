"""Datasets of the Hub, from the files that the stage `fetch` has stored."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kdpipe.data.columns import Columns, TableReader
from kdpipe.data.fetched import FetchedFiles
from kdpipe.data.source import Example


class HubSource:
    """The rows of a dataset of the Hub.

    Args:
        task: `classification`, `regression`, `multi_label` or `language_modeling`, as for `table`.
        path: folder of what was fetched of the repository; in a config the name of the repository, such as
            `nyu-mll/glue`, or a local folder that is laid out as one.
        name: configuration of the dataset.
        revision: commit, branch or tag of the repository.
        text: column of the text.
        text_pair: column of the second text of a pair.
        label: column of the label, for `multi_label` a list of names, or here a list of columns of 0 and 1.
        classes: names of the classes in their order; without them those that the dataset declares, or that
            its training split has, as for `table`.
        separator: what stands between the names of labels in one text.
        labels: `none` drops those of the training split; it and the validation split may lack labels.
    """

    tasks: tuple[str, ...] = ("classification", "regression", "multi_label", "language_modeling")

    def __init__(
        self,
        *,
        task: str,
        path: Path,
        text: str,
        name: str = "default",
        revision: str = "main",
        text_pair: str | None = None,
        label: str | list[str] | None = None,
        classes: list[str | int] | None = None,
        separator: str | None = None,
        labels: Literal["none"] | None = None,
    ) -> None:
        columns = Columns(text, text_pair, label, classes, separator, optional=labels == "none")
        self._files = FetchedFiles(path / name / revision)
        self._reader = TableReader(task, columns, self._files)

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes; None for text and regression."""
        return self._reader.labels

    def splits(self) -> tuple[str, ...]:
        """Return the splits that were fetched."""
        return self._files.names()

    def read(self, split: str) -> Iterator[Example]:
        """Yield one example per row; its id is `split:row`, with the file between where there are several.

        Raises:
            DataError: the files lack a column, or have a value that is not what the task needs.
        """
        return self._reader.read(split)
