"""Metrics of resampled examples follow from sums of what each example adds."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from kdpipe import catalog
from kdpipe.evaluation.answers import answer_metrics, answer_scores
from kdpipe.evaluation.metrics import compute
from kdpipe.evaluation.task import Task
from kdpipe.evaluation.tasks import multi_label, regression
from kdpipe.evaluation.tasks.classification import classification_metrics
from kdpipe.evaluation.tasks.token_classification import entity_metrics

SIZE = 40
NAMES = ("zebra", "ant", "bee", "cat")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
# A table of predictions, the names of classes, and a function that gives the metrics of some of the examples.
Case = tuple[pa.Table, Sequence[str], Callable[[NDArray[np.int64]], dict[str, float]]]


def classification(rng: np.random.Generator, classes: int) -> Case:
    gold, predicted = rng.integers(0, classes, SIZE), rng.integers(0, classes, SIZE)
    names = NAMES[:classes]
    table = pa.table({"prediction": [names[i] for i in predicted], "label": [names[i] for i in gold]})
    metrics = classification_metrics(classes)
    return table, names, lambda rows: compute(metrics, list(metrics), gold[rows], predicted[rows])


def multi(rng: np.random.Generator) -> Case:
    gold, predicted = rng.integers(0, 2, (SIZE, 3)), rng.integers(0, 2, (SIZE, 3))
    # A label that applies to nothing.
    gold[:, 2] = predicted[:, 2] = 0
    columns = {
        name: pa.array([[NAMES[i] for i in np.flatnonzero(row)] for row in rows], pa.list_(pa.string()))
        for name, rows in {"prediction": predicted, "label": gold}.items()
    }
    metrics = multi_label.METRICS
    return (
        pa.table(columns),
        NAMES[:3],
        lambda rows: compute(metrics, list(metrics), gold[rows], predicted[rows]),
    )


def numbers(rng: np.random.Generator) -> Case:
    gold = rng.integers(0, 6, SIZE).astype(np.float32)
    predicted = (gold + rng.normal(size=SIZE)).astype(np.float32)
    metrics = {name: metric for name, metric in regression.METRICS.items() if "spearman" not in name}
    table = pa.table({"prediction": predicted, "label": gold})
    return table, (), lambda rows: compute(metrics, list(metrics), gold[rows], predicted[rows])


def tagging(rng: np.random.Generator) -> Case:
    gold, predicted = (
        [[TAGS[i] for i in rng.integers(0, 5, rng.integers(0, 7))] for _ in range(SIZE)] for _ in range(2)
    )
    predicted = [
        (found + ["O"] * len(true))[: len(true)] for found, true in zip(predicted, gold, strict=True)
    ]
    table = pa.table({"prediction": predicted, "label": gold})
    kept = ("f1", "precision", "recall", "accuracy")

    def metrics(rows: NDArray[np.int64]) -> dict[str, float]:
        found = entity_metrics([gold[i] for i in rows], [predicted[i] for i in rows])
        return {name: found[name] for name in kept}

    return table, TAGS, metrics


def answers(rng: np.random.Generator) -> Case:
    golds: list[list[str]] = [["the river", "sea"] if keep else [] for keep in rng.random(SIZE) < 0.6]
    predictions = [("river", "", "blue sea", "no")[i] for i in rng.integers(0, 4, SIZE)]
    scores = answer_scores(predictions, golds, ["x"] * SIZE)
    table = pa.table({
        "prediction": predictions,
        "label": pa.array([gold[0] if gold else None for gold in golds], pa.string()),
        "exact_match": scores[:, 0],
        "f1": scores[:, 1],
    })  # fmt: skip
    answerable = np.array([bool(gold) for gold in golds])
    return table, (), lambda rows: answer_metrics(scores[rows], answerable[rows])


def text(rng: np.random.Generator) -> Case:
    entropy, targets = rng.random(SIZE) * 9, rng.integers(0, 4, SIZE)

    def metrics(rows: NDArray[np.int64]) -> dict[str, float]:
        average = entropy[rows].sum() / targets[rows].sum()
        return {"perplexity": np.exp(average), "cross_entropy": average}

    return pa.table({"cross_entropy": entropy, "targets": targets}), (), metrics


CASES: dict[str, tuple[str, Callable[[np.random.Generator], Case]]] = {
    "two classes": ("classification", lambda rng: classification(rng, 2)),
    "four classes": ("classification", lambda rng: classification(rng, 4)),
    "several labels": ("multi_label", multi),
    "numbers": ("regression", numbers),
    "tags": ("token_classification", tagging),
    "answers": ("question_answering", answers),
    "text": ("language_modeling", text),
}


def test_every_task_has_a_case() -> None:
    assert {task for task, _ in CASES.values()} == set(catalog.TASKS)


@pytest.mark.parametrize("name", CASES)
def test_metrics_of_any_resample_follow_from_sums(name: str) -> None:
    task_name, make = CASES[name]
    task: type[Task] = catalog.resolve("tasks", task_name)
    rng = np.random.default_rng(0)
    table, classes, metrics = make(rng)
    parts = task.parts(table, classes)
    samples = [np.arange(SIZE), *rng.integers(0, SIZE, (20, SIZE))]
    counts = np.array([np.bincount(rows, minlength=SIZE) for rows in samples], float)
    found = task.from_sums(counts @ parts)
    for place, rows in enumerate(samples):
        expected = metrics(rows)
        assert {name: found[name][place] for name in expected} == pytest.approx(expected)
    # The names are those that a dataset may ask for.
    assert set(found) == set(task.all_metrics)


def test_ranks_are_those_of_the_whole_split() -> None:
    task: Any = catalog.resolve("tasks", "regression")
    table, classes, _ = numbers(np.random.default_rng(1))
    gold, predicted = table["label"].to_numpy(), table["prediction"].to_numpy()
    found = task.from_sums(task.parts(table, classes).sum(0, keepdims=True))
    expected = compute(regression.METRICS, list(regression.METRICS), gold, predicted)
    assert {name: value[0] for name, value in found.items()} == pytest.approx(expected)


def test_a_constant_side_has_no_correlation() -> None:
    task: Any = catalog.resolve("tasks", "regression")
    table = pa.table({"prediction": [2.0, 2.0, 2.0], "label": [1.0, 2.0, 4.0]})
    assert task.from_sums(task.parts(table, ()).sum(0, keepdims=True))["pearson"][0] == 0
    task = catalog.resolve("tasks", "classification")
    table = pa.table({"prediction": ["ant"] * 3, "label": ["ant", "bee", "bee"]})
    assert task.from_sums(task.parts(table, ("ant", "bee")).sum(0, keepdims=True))["matthews"][0] == 0
