"""Where students agree with their teachers, and texts on which only one of them is right."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from kdpipe.plan.graph import Graph
from kdpipe.reporting.grouping import model_groups
from kdpipe.reporting.predictions import decode, read_predictions, task_of

TEACHER = "teacher"
# Texts of a student on which one side is right, and characters of a text.
MOST_TEXTS, LONGEST_TEXT = 2, 300
# Students with texts.
MOST_WITH_TEXTS = 20


class Text(NamedTuple):
    """A text as the models read it, its label, what both predict, and whether the teacher is right."""

    text: str
    label: str
    teacher: str
    student: str
    teacher_right: bool


@dataclass(frozen=True)
class Agreement:
    """How often a student and its teacher predict the same; shares are means over runs.

    Args:
        student, teacher: groups of runs.
        dataset, split: where they predict.
        same: the share of their predictions that are the same.
        both, teacher_alone, student_alone, neither: the shares of predictions on which these are right.
        texts: of the first run, texts on which one is right and the other is not.
    """

    student: str
    teacher: str
    dataset: str
    split: str
    same: float
    both: float
    teacher_alone: float
    student_alone: float
    neither: float
    texts: tuple[Text, ...]


def agreements(graph: Graph, students: Collection[str], splits: Mapping[str, str]) -> list[Agreement]:
    """Return how students agree with their teachers where both predict labels, tags or answers.

    Args:
        graph: the graph.
        students: groups of runs.
        splits: the split of each dataset on which they are compared.
    """
    groups = model_groups(graph)
    runs: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
    for student, teacher, dataset in _pairs(graph):
        if groups[student] in students and dataset in splits:
            runs.setdefault((groups[student], groups[teacher], dataset), []).append((student, teacher))

    @cache
    def read(model: str, dataset: str) -> pa.Table:
        return read_predictions(graph.layout.evaluation(model, dataset), splits[dataset])

    found: list[Agreement] = []
    for (student, teacher, dataset), models in runs.items():
        by_word = task_of(graph, dataset).positions == "labelled"
        tables = {pair: (read(pair[0], dataset), read(pair[1], dataset)) for pair in models}
        # Texts that different tokenizers cut may be others.
        alike = {pair: both for pair, both in tables.items() if both[0]["id"].equals(both[1]["id"])}
        if not alike:
            continue
        shares = np.mean([_shares(ours, theirs, by_word) for ours, theirs in alike.values()], 0)
        (_, first), predictions = next(iter(alike.items()))
        texts = _texts(graph, first, dataset, splits[dataset], *predictions)
        shown = tuple(texts) if len(found) < MOST_WITH_TEXTS else ()
        told: list[Any] = [student, teacher, dataset, splits[dataset], *shares.tolist(), shown]
        found.append(Agreement(*told))
    return found


def _pairs(graph: Graph) -> Iterator[tuple[str, str, str]]:
    """Yield student, teacher and dataset where predictions are the same or not."""
    scored = set(graph.evaluations)
    for model, dataset in graph.evaluations:
        task = task_of(graph, dataset)
        if task.kind == "regression" or task.masked:
            continue
        for setting, _, source in graph.nodes[model].settings.references():
            if setting == TEACHER and (source, dataset) in scored:
                yield model, source, dataset


def _shares(student: pa.Table, teacher: pa.Table, by_word: bool) -> list[float]:
    """Return the shares of same and of right predictions, in the order of `Agreement`."""
    (ours, right), (theirs, teacher_right) = (_predicted(table, by_word) for table in (student, teacher))
    same = [one == other for one, other in zip(ours, theirs, strict=True)]
    quarters = (
        right & teacher_right,
        ~right & teacher_right,
        right & ~teacher_right,
        ~right & ~teacher_right,
    )
    return [float(np.mean(each)) for each in (same, *quarters)]


def _predicted(table: pa.Table, by_word: bool) -> tuple[list[Any], NDArray[np.bool_]]:
    """Return the predictions, and which of them are right; with `by_word`, the tags of all words."""
    predicted, labels = (table[name].to_pylist() for name in ("prediction", "label"))
    if by_word:
        predicted, labels = (list(chain(*tags)) for tags in (predicted, labels))
    if "exact_match" in table.column_names:
        return predicted, table["exact_match"].to_numpy() == 1
    return predicted, np.array([one == other for one, other in zip(predicted, labels, strict=True)], bool)


def _texts(
    graph: Graph, model: str, dataset: str, split: str, student: pa.Table, teacher: pa.Table
) -> Iterator[Text]:
    """Yield texts on which the teacher alone is right, then texts on which the student alone is."""
    (_, right), (_, teacher_right) = (_predicted(table, by_word=False) for table in (student, teacher))
    for of_teacher, apart in ((True, teacher_right & ~right), (False, right & ~teacher_right)):
        places = np.flatnonzero(apart)[:MOST_TEXTS].tolist()
        for place, text in zip(places, decode(graph, model, dataset, split, places), strict=True):
            said = ((student, "label"), (teacher, "prediction"), (student, "prediction"))
            label, theirs, ours = (_cut(_words(table[name][place].as_py())) for table, name in said)
            yield Text(_cut(text), label, theirs, ours, of_teacher)


def _words(value: Any) -> str:
    """Return a label, an answer, labels or tags as text."""
    return " ".join(value) or "none" if isinstance(value, list) else str(value or "no answer")


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1].rstrip() + "…"
