"""GLUE tasks: the official TSV files, and tables as nyu-mll/glue of the Hub has them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from kdpipe.data.columns import TableReader
from kdpipe.data.files import RENAMED, FileSource, SplitFiles
from kdpipe.data.source import FIRST, TEST, TRAIN, VALIDATION, Example
from kdpipe.data.stored import is_stored
from kdpipe.data.table_files import Form, open_table
from kdpipe.errors import DataError, listed, suggest
from kdpipe.matching import plain

STANDARD = {TRAIN: ("train.tsv",), VALIDATION: ("dev.tsv",), TEST: ("test.tsv",)}
# The splits of MNLI that a choice among models takes first.
FIRST_SPLITS = {**RENAMED, "validation_matched": VALIDATION, "test_matched": TEST}


@dataclass(frozen=True)
class GlueTask:
    """One GLUE task: what it is scored by, and how its files are laid out.

    Args:
        task: what its examples are for.
        metrics: the metrics of the benchmark.
        submission: split to the name that the benchmark gives the file of its predictions.
        texts: the columns of the text or the pair.
        label: the column of the label.
        labels: the names of the classes in the official files; none for a regression.
        header: the columns of files that have no header.
        files: split to the names that its official file may have.
        short_rows: whether the training file has rows with too few columns, which are skipped.
        stored_texts: the columns of texts in a stored table, by default `texts`.
        classes: the names of the classes in a stored table, in the order of `labels`; by default the same.
    """

    task: str
    metrics: tuple[str, ...]
    submission: Mapping[str, str]
    texts: tuple[str, ...]
    label: str = "label"
    labels: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    files: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: STANDARD)
    short_rows: bool = False
    stored_texts: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


class GlueSource(FileSource):
    """One task of the GLUE benchmark, from its official files.

    The header names the columns, so that GLUE's own test file, which has no labels, and a test file with gold
    labels are both read. Quotation marks are text. The training file of QQP has rows that are too short; they
    are skipped and counted in the log. A stored table has columns and classes as nyu-mll/glue of the Hub has
    them. The classes have the names of the official files, so that a model trained on files also serves for
    tables. The test split of such a table has no labels.

    Args:
        task: `classification`, or `regression` for STS-B.
        name: a GLUE task, in any case and with or without the hyphen.
        path: a folder with the official files, as far as they exist.
        files: split name to file; overrides `path`.
        encoding: how the text of the files is encoded, such as `utf-16` or `latin-1`.
        labels: `none` drops the training labels; the training and the validation split may lack labels.

    Reference:
        Wang et al. 2018, GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language
        Understanding (arXiv 1804.07461), table 1, for the metrics; the dataset card of nyu-mll/glue.
    """

    tasks: tuple[str, ...] = ("classification", "regression")
    # What the facts of a task leave out.
    usual: ClassVar[dict[str, Any]] = {
        "task": "classification",
        "metrics": ("accuracy",),
        "texts": ("sentence1", "sentence2"),
        "labels": ("0", "1"),
    }
    names: ClassVar[dict[str, dict[str, Any]]] = {
        "CoLA": {
            "metrics": ("matthews",),
            "submission": {"test": "CoLA"},
            "texts": ("sentence",),
            "header": ("source", "label", "mark", "sentence"),
            "classes": ("unacceptable", "acceptable"),
        },
        "SST-2": {
            "submission": {"test": "SST-2"},
            "texts": ("sentence",),
            "classes": ("negative", "positive"),
        },
        "MRPC": {
            "metrics": ("accuracy", "f1", "accuracy_and_f1"),
            "submission": {"test": "MRPC"},
            "texts": ("#1 String", "#2 String"),
            "label": "Quality",
            "stored_texts": ("sentence1", "sentence2"),
            "classes": ("not_equivalent", "equivalent"),
        },
        "STS-B": {
            "task": "regression",
            "metrics": ("pearson", "spearman", "pearson_and_spearman"),
            "submission": {"test": "STS-B"},
            "label": "score",
            "labels": (),
        },
        "QQP": {
            "metrics": ("accuracy", "f1", "accuracy_and_f1"),
            "submission": {"test": "QQP"},
            "texts": ("question1", "question2"),
            "label": "is_duplicate",
            "short_rows": True,
            "classes": ("not_duplicate", "duplicate"),
        },
        "MNLI": {
            "submission": {"test": "MNLI-m", "test_mismatched": "MNLI-mm"},
            "label": "gold_label",
            "labels": ("contradiction", "entailment", "neutral"),
            "files": {
                "train": ("train.tsv",),
                "validation": ("dev_matched.tsv",),
                "validation_mismatched": ("dev_mismatched.tsv",),
                "test": ("test_matched.tsv",),
                "test_mismatched": ("test_mismatched.tsv",),
            },
            "stored_texts": ("premise", "hypothesis"),
        },
        "QNLI": {
            "submission": {"test": "QNLI"},
            "texts": ("question", "sentence"),
            "labels": ("entailment", "not_entailment"),
        },
        "RTE": {"submission": {"test": "RTE"}, "labels": ("entailment", "not_entailment")},
        "WNLI": {"submission": {"test": "WNLI"}, "classes": ("not_entailment", "entailment")},
    }

    def __init__(
        self,
        *,
        task: str,
        name: str,
        path: Path | None = None,
        files: Mapping[str, Path] = MappingProxyType({}),
        encoding: str = "utf-8",
        labels: Literal["none"] | None = None,
    ) -> None:
        self._glue = glue_task(name)
        layout, unlabelled = self._glue.files, labels == "none"
        super().__init__(
            SplitFiles(path, files, layout, renamed=FIRST_SPLITS, unlabelled=unlabelled), encoding
        )

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes in the official files; None for a regression."""
        return self._glue.labels or None

    def read(self, split: str) -> Iterator[Example]:
        """Yield one example per row; its id is `split:line`, its label None if the file has none."""
        stored = is_stored(self._files.file(split))
        return self._read_stored(split) if stored else self._official(split).read(split)

    def peek(self, split: str) -> Iterator[Example]:
        """Yield the first rows; of stored tables none, as a look at them takes as long as reading them."""
        stored = is_stored(self._files.file(split))
        return iter(()) if stored else self._official(split).read(split, FIRST)

    def _official(self, split: str) -> TableReader:
        glue = self._glue
        form = Form("\t", self._encoding, glue.header, short_rows=glue.short_rows and split == TRAIN)
        return TableReader(glue.task, self._files, glue.texts, glue.label, glue.labels, form=form)

    def _read_stored(self, split: str) -> Iterator[Example]:
        glue, file = self._glue, self._files.file(split)
        classes = dict(zip(glue.classes or glue.labels, glue.labels, strict=True))
        declared = open_table(file).class_names("label") or ()
        if set(declared) != set(classes):
            raise DataError(
                f"{file}: expected the classes {', '.join(classes)} to be declared, found {listed(declared)}"
            )
        texts = glue.stored_texts or glue.texts
        for example in TableReader(glue.task, self._files, texts, "label", [*classes]).read(split):
            label = classes[example.label] if isinstance(example.label, str) else example.label
            unknown = split.startswith(TEST) and label == -1
            yield example._replace(label=None if unknown else label)


def glue_task(name: str) -> GlueTask:
    """Return the task of a name, in any case and with or without the hyphen."""
    tasks = {
        plain(known): GlueTask(**{**GlueSource.usual, **facts}) for known, facts in GlueSource.names.items()
    }
    if plain(name) not in tasks:
        raise DataError(f"expected a GLUE task as `name`, found {name!r}; {suggest(name, GlueSource.names)}")
    return tasks[plain(name)]
