"""Whether models are as often right as they are sure.

Reference:
    Guo et al. 2017, On calibration of modern neural networks (arXiv 1706.04599), equations 3 and 5.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import softmax

from kdpipe.plan.graph import Graph
from kdpipe.reporting.figures import MUTED, add_legend, grid_of_axes, look_of, to_svg
from kdpipe.reporting.grouping import model_groups
from kdpipe.reporting.plots import PANEL_SIZES
from kdpipe.reporting.predictions import read_predictions, task_of

BINS = 10
# A bin with fewer predictions has no point in the figure.
FEWEST = 20
# Models of a panel; more lines could not be told apart.
MOST_LINES = 8


@dataclass(frozen=True)
class Bin:
    """Predictions of like probability: their number, mean probability, and the share that is right."""

    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """How sure a model is, and how often it is right; the predictions of several runs count together.

    Args:
        model: the group of runs.
        dataset, split: where it predicts.
        accuracy: the share of right predictions.
        confidence: the mean probability of what is predicted.
        error: the expected calibration error: the mean distance of both over the bins, by their counts.
        bins: the bins that have predictions.
    """

    model: str
    dataset: str
    split: str
    accuracy: float
    confidence: float
    error: float
    bins: tuple[Bin, ...]


def calibrations(graph: Graph, models: Collection[str], splits: Mapping[str, str]) -> list[Calibration]:
    """Return the calibration of classifiers.

    Args:
        graph: the graph.
        models: groups of runs.
        splits: the split of each dataset that counts.
    """
    groups = model_groups(graph)
    tables: dict[tuple[str, str], list[pa.Table]] = {}
    for model, dataset in graph.evaluations:
        task = task_of(graph, dataset)
        classifies = task.kind == "categorical" and task.positions == "examples"
        if classifies and groups[model] in models and dataset in splits:
            folder = graph.layout.evaluation(model, dataset)
            predictions = read_predictions(folder, splits[dataset], without=())
            tables.setdefault((groups[model], dataset), []).append(predictions)
    return [
        _calibration(model, dataset, splits[dataset], pa.concat_tables(each))
        for (model, dataset), each in tables.items()
    ]


def bins_of(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Return the bins that have predictions, from the probabilities of predictions and which are right."""
    places = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(int(mine.sum()), float(confidence[mine].mean()), float(right[mine].mean()))
        for mine in (places == number for number in range(BINS))
        if mine.any()
    )


def reliability_figure(calibrated: Collection[Calibration]) -> str:
    """Return the share of right predictions against their probability, a panel for each dataset, as SVG."""
    datasets = list(dict.fromkeys(each.dataset for each in calibrated))
    columns = min(len(datasets), 3)
    drawn = {name: [each for each in calibrated if each.dataset == name][:MOST_LINES] for name in datasets}
    names = dict.fromkeys(each.model for part in drawn.values() for each in part)
    looks = {name: look_of(index) for index, name in enumerate(names)}
    with grid_of_axes(len(datasets), columns, PANEL_SIZES[columns]) as (figure, axes):
        for axis, (dataset, part) in zip(axes, drawn.items(), strict=True):
            axis.axline((0.5, 0.5), slope=1, color=MUTED, linestyle=":", linewidth=1)
            for each in part:
                points = [bin for bin in each.bins if bin.count >= FEWEST]
                axis.plot(
                    [bin.confidence for bin in points], [bin.accuracy for bin in points], **looks[each.model]
                )
            axis.set_title(f"{dataset}, {part[0].split}")
            axis.set_xlabel("probability of the prediction")
            axis.set_ylabel("share that is right")
        add_legend(figure, looks)
        return to_svg(figure, salt="calibration")


def _calibration(model: str, dataset: str, split: str, predictions: pa.Table) -> Calibration:
    scores = np.array(predictions["scores"].to_pylist(), float)
    confidence = softmax(scores, -1).max(-1)
    right = np.array(predictions["prediction"].to_pylist()) == np.array(predictions["label"].to_pylist())
    bins = bins_of(confidence, right)
    error = sum(bin.count * abs(bin.accuracy - bin.confidence) for bin in bins) / len(right)
    return Calibration(
        model, dataset, split, float(right.mean()), float(confidence.mean()), float(error), bins
    )
