"""Tables whose columns a config names: TSV, CSV, JSONL, Parquet."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from kdpipe.data.columns import TableReader
from kdpipe.data.files import USUAL_NAMES, FileSource, SplitFiles
from kdpipe.data.source import FIRST, Example
from kdpipe.data.table_files import SUFFIXES, Form


class TableSource(FileSource):
    """The rows of TSV, CSV, JSONL and Parquet files, told by their endings; `.gz` may follow the first three.

    A split other than train and validation may lack the column of labels.

    Args:
        task: `classification`, `regression` (labels are numbers), `multi_label` (a row has any number of
            labels) or `language_modeling` (the text alone is read).
        text: column of the text.
        text_pair: column of the second text of a pair.
        label: column of the label. For `multi_label` a list of names, in JSONL and Parquet; or names in one
            text, with `separator` between them; or here a list of columns of 0 and 1, one for each class.
        classes: names of the classes, in their order. Without them: what a Parquet file declares, or what the
            training split has, sorted, by value if all are whole numbers.
        separator: what stands between the names of labels in one text.
        path: a folder with `train`, `validation` (or `valid`, `dev`) and `test` in any of the formats, as far
            as they exist; or a file, or a pattern of files, which are the train split.
        files: split name to file or pattern; overrides `path`.
        delimiter: the character between the cells of TSV and CSV files, such as `;`; by default a tab or a
            comma.
        keep: columns of the training split that are kept as text, such as the column by which teachers are
            chosen.
        encoding: how the text of TSV, CSV and JSONL files is encoded, such as `utf-16` or `latin-1`.
        labels: `none` drops the training labels; the training and the validation split may lack labels.
    """

    tasks: tuple[str, ...] = ("classification", "regression", "multi_label", "language_modeling")

    def __init__(
        self,
        *,
        task: str,
        text: str,
        text_pair: str | None = None,
        label: str | list[str] | None = None,
        classes: list[str | int] | None = None,
        separator: str | None = None,
        delimiter: str | None = None,
        keep: list[str] | None = None,
        encoding: str = "utf-8",
        path: Path | None = None,
        files: Mapping[str, Path] = MappingProxyType({}),
        labels: Literal["none"] | None = None,
    ) -> None:
        texts = [text] if text_pair is None else [text, text_pair]
        super().__init__(SplitFiles(path, files, USUAL_NAMES, SUFFIXES, unlabelled=labels == "none"))
        self._reader = TableReader(
            task, self._files, texts, label, classes, separator, Form(delimiter, encoding), keep or ()
        )

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes; None for text and regression."""
        return self._reader.labels

    def read(self, split: str) -> Iterator[Example]:
        """Yield one example per row; its id is `split:line`, in Parquet `split:row`."""
        return self._reader.read(split)

    def peek(self, split: str) -> Iterator[Example]:
        """Yield the first rows of each file, whose labels may be any."""
        return self._reader.read(split, FIRST)
