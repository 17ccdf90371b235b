"""GLUE tasks as the Hub has them, in Parquet files that the stage `fetch` has stored."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kdpipe.config.settings.dataset import plain
from kdpipe.data.columns import Columns, TableReader
from kdpipe.data.fetched import FetchedFiles
from kdpipe.data.files import in_order
from kdpipe.data.glue import GlueTasks, layout_named
from kdpipe.data.source import TEST, VALIDATION, Example
from kdpipe.data.telling import listed
from kdpipe.errors import DataError

ENTAILMENT = {"entailment": "entailment", "not_entailment": "not_entailment"}


@dataclass(frozen=True)
class Layout:
    """How the repository lays out one GLUE task.

    Args:
        text: the column of the text.
        pair: the column of the second text of a pair.
        classes: what each declared class is called in the official files; none for a regression.
    """

    text: str
    pair: str | None
    classes: dict[str, str]


LAYOUTS = {
    "CoLA": Layout("sentence", None, {"unacceptable": "0", "acceptable": "1"}),
    "SST-2": Layout("sentence", None, {"negative": "0", "positive": "1"}),
    "MRPC": Layout("sentence1", "sentence2", {"not_equivalent": "0", "equivalent": "1"}),
    "STS-B": Layout("sentence1", "sentence2", {}),
    "QQP": Layout("question1", "question2", {"not_duplicate": "0", "duplicate": "1"}),
    "MNLI": Layout(
        "premise", "hypothesis", {name: name for name in ("contradiction", "entailment", "neutral")}
    ),
    "QNLI": Layout("question", "sentence", ENTAILMENT),
    "RTE": Layout("sentence1", "sentence2", ENTAILMENT),
    "WNLI": Layout("sentence1", "sentence2", {"not_entailment": "0", "entailment": "1"}),
}
# The splits of MNLI that the official files, and a choice among models, take first.
MATCHED = {"validation_matched": VALIDATION, "test_matched": TEST}


class GlueHubSource(GlueTasks):
    """One task of the GLUE benchmark, from the Hub.

    Its classes have the names of the official files, so that a model trained on one serves for the other.
    Labels of the test split are hidden; a score of -1 there is none.

    Args:
        task: `classification`, or `regression` for STS-B.
        path: folder of what was fetched of the repository; in a config its name, `nyu-mll/glue`, or a
            local folder that is laid out as it.
        name: a GLUE task, in any case and with or without the hyphen.
        revision: commit, branch or tag of the repository.

    Reference:
        The dataset card of nyu-mll/glue on the Hugging Face Hub.
    """

    def __init__(self, *, task: str, path: Path, name: str, revision: str = "main") -> None:
        self._layout = layout_named(name, LAYOUTS)
        self._files = FetchedFiles(path / plain(name) / revision)
        columns = Columns(self._layout.text, self._layout.pair, "label")
        self._reader = TableReader(task, columns, self._files)

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes, as the official files have them; None for a regression."""
        return tuple(self._layout.classes.values()) or None

    def splits(self) -> tuple[str, ...]:
        """Return the splits that were fetched; of MNLI the matched ones are `validation` and `test`."""
        return in_order(dict.fromkeys(MATCHED.get(split, split) for split in self._files.names()))

    def read(self, split: str) -> Iterator[Example]:
        """Yield one example per row; its id is `split:row` by the repository's name for the split.

        Raises:
            DataError: the classes are not those of the task, or a row is malformed.
        """
        self._check_classes()
        stored = {MATCHED.get(name, name): name for name in self._files.names()}.get(split, split)
        for example in self._reader.read(stored):
            label = example.label
            if isinstance(label, str):
                label = self._layout.classes[label]
            elif split.startswith(TEST) and label == -1:
                label = None
            yield replace(example, label=label)

    def _check_classes(self) -> None:
        expected, found = self._layout.classes, self._reader.labels or ()
        if set(found) != set(expected):
            file = self._files.parts(self._files.names()[0])[0][1]
            raise DataError(
                f"{file}: expected the classes {', '.join(expected)} to be declared, found {listed(found)}"
            )
