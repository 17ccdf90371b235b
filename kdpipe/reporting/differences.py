"""How certain the differences to the baseline are: their intervals over examples and runs."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdpipe.anatomy.formats import exported
from kdpipe.evaluation.resampling import interval, over_runs, resampled_sums
from kdpipe.evaluation.task import Task
from kdpipe.plan.graph import Graph
from kdpipe.reporting.grouping import GROUP, Result
from kdpipe.reporting.predictions import classes_of, read_predictions, task_of

Parts = NDArray[np.float64]
# The numbers that are in memory at a time, in two copies, when models are resampled together: 128 MB each.
MOST_PARTS = 2**24
Interval = tuple[float, float]
# The model, the dataset and the split of a score.
Place = tuple[str, str, str]


class Resampled(NamedTuple):
    """A model on resampled examples: a key of the examples, and the metrics of each replicate [B] by name."""

    examples: int
    metrics: Mapping[str, NDArray[np.float64]]


def difference_intervals(
    scores: Sequence[Result], baselines: Sequence[Sequence[Result]], graph: Graph
) -> dict[tuple[Any, ...], Interval]:
    """Return the interval of each group's difference to the baseline, by the values of `GROUP`.

    A group is left out if it is the baseline, or if a run and its baseline predict other examples.

    Args:
        scores: rows of the results, with their groups.
        baselines: the baseline's scores for each of these rows.
        graph: the graph.
    """
    pairs = [
        (score, matches)
        for score, matches in zip(scores, baselines, strict=True)
        if matches and all(place_of(match) != place_of(score) for match in matches)
    ]
    sampled = resampled_metrics(graph, [score for score, matches in pairs for score in (score, *matches)])
    center = center_of(graph)
    differences = defaultdict(list)
    for score, matches in pairs:
        run, *others = (sampled[place_of(each)] for each in (score, *matches))
        found = resampled_difference(run, others, score["metric"], center)
        differences[tuple(score[name] for name in GROUP)].append(found)
    return {
        key: interval(np.array(each), partial(center, axis=0))
        for key, each in differences.items()
        if all(run is not None for run in each)
    }


def center_of(graph: Graph) -> Callable[..., Any]:
    """Return what averages runs: the mean, or as `report.statistic` says the median."""
    return np.median if graph.document.report.statistic == "median" else np.mean


def place_of(score: Result) -> Place:
    """Return the model in its format, the dataset and the split of a row of the results."""
    return exported(score["model"], score["format"]), score["dataset"], score["split"]


def resampled_difference(
    run: Resampled, others: Sequence[Resampled], metric: str, center: Callable[..., Any]
) -> NDArray[np.float64] | None:
    """Return the difference of a metric on each replicate; None where the examples are others.

    Several others, which are no pairs of the run, are runs that are resampled, alike for each run.
    """
    if metric not in run.metrics or any(other.examples != run.examples for other in others):
        return None
    base = over_runs(np.array([other.metrics[metric] for other in others]), partial(center, axis=0), 2)
    difference: NDArray[np.float64] = run.metrics[metric] - base
    return difference


def resampled_metrics(graph: Graph, scores: Iterable[Result]) -> dict[Place, Resampled]:
    """Return the metrics of all predictions on resampled examples."""
    models: dict[tuple[str, str], dict[str, None]] = {}
    for score in scores:
        model, dataset, split = place_of(score)
        models.setdefault((dataset, split), {})[model] = None
    found: dict[Place, Resampled] = {}
    for (dataset, split), names in models.items():
        for model, resampled in _on_split(graph, dataset, split, list(names)):
            found[model, dataset, split] = resampled
    return found


def _on_split(
    graph: Graph, dataset: str, split: str, models: Sequence[str]
) -> Iterator[tuple[str, Resampled]]:
    """Yield models with their metrics; models that predict the same examples are resampled together."""
    task = task_of(graph, dataset)
    by_examples: dict[int, dict[str, Parts]] = {}
    for model in models:
        predictions = read_predictions(graph.layout.evaluation(model, dataset), split)
        examples = hash(tuple(predictions["id"].to_pylist()))
        together = by_examples.setdefault(examples, {})
        together[model] = task.parts(predictions, classes_of(graph, model, dataset))
        if sum(parts.size for parts in together.values()) > MOST_PARTS:
            yield from _together(task, examples, by_examples.pop(examples))
    for examples, together in by_examples.items():
        yield from _together(task, examples, together)


def _together(
    task: type[Task], examples: int, parts_of: Mapping[str, Parts]
) -> Iterator[tuple[str, Resampled]]:
    """Yield models with their metrics on the same resampled examples."""
    widths = [parts.shape[1] for parts in parts_of.values()]
    sums = resampled_sums(np.concatenate(list(parts_of.values()), 1))
    for model, own in zip(parts_of, np.split(sums, np.cumsum(widths)[:-1], 1), strict=True):
        yield model, Resampled(examples, task.from_sums(own))
