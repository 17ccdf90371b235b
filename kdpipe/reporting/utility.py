"""How much of a teacher's states is enough: the scores of students against what they took of the teacher.

Reference:
    Lu et al. 2021, Marginal Utility Diminishes (arXiv 2106.05691), figure 1.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from statistics import fmean
from typing import Any, ClassVar

import pandas as pd

from kdpipe.anatomy.knowledge import Selection, Ways, ways_of
from kdpipe.artifacts.artifact import read_manifest
from kdpipe.config.settings.distillation import Distillation
from kdpipe.metrics import LOWER_IS_BETTER
from kdpipe.plan.graph import Graph
from kdpipe.plan.knowledge import selection_of
from kdpipe.reporting.figures import add_legend, grid_of_axes, look_of, to_svg, use_log_scale
from kdpipe.reporting.grouping import model_groups


@dataclass(frozen=True)
class Taken:
    """What a student took of its teacher's states.

    Args:
        amount: in words.
        dimension: which dimension is cut: `layers`, `tokens`, `width`, several, or none.
        ways: how the amount is chosen, where it is not as by default.
        megabytes: what it takes of all training examples, stored.
        seconds: of all its trainings: on states, and after states.
    """

    amount: str
    dimension: str
    ways: str
    megabytes: float
    seconds: float


@dataclass(frozen=True)
class Point:
    """The score of students, over their runs.

    Args:
        model: the group of runs.
        taken: what they took.
        score: the average.
        spread: the sample standard deviation; NaN of one run.
        kept: the share of what all states gain over none; None where all gain nothing.
    """

    model: str
    taken: Taken
    score: float
    spread: float
    kept: float | None


@dataclass(frozen=True)
class Utility:
    """The students of a dataset by what they took.

    Args:
        dataset, split, metric: where they are scored.
        none: the score of the baseline, which took no states.
        points: the students; the student that took least comes first.
        enough: the first of these that keeps the gain; None where none does, or where there is no gain.
        whole: the mean score of students that took all states; None where none did.
        svg: their scores against what they took.
    """

    dataset: str
    split: str
    metric: str
    none: float
    points: list[Point]
    enough: Point | None
    whole: float | None
    svg: str

    # The share of what all states gain that a part of them is to keep.
    ENOUGH: ClassVar[float] = 0.97


def utilities(graph: Graph, aggregated: pd.DataFrame) -> list[Utility]:
    """Return the students of each dataset that took all states or a part, where the baseline took none."""
    taken = _taken(graph)
    rows = aggregated[aggregated["primary"]].sort_values("selection", kind="stable")
    found = []
    for dataset, scores in rows.groupby("dataset", sort=False):
        scores = scores[scores["split"] == scores["split"].iloc[0]]
        none = scores[scores["template"] == graph.document.report.baseline]
        mine = scores[scores["model"].isin(taken)]
        if len(none) == 1 and len(mine) > 1:
            found.append(_utility(str(dataset), mine, float(none["average"].iloc[0]), taken))
    return found


def _utility(dataset: str, scores: pd.DataFrame, none: float, taken: Mapping[str, Taken]) -> Utility:
    first = scores.iloc[0]
    sign = -1 if first["metric"] in LOWER_IS_BETTER else 1
    every = [row["average"] for _, row in scores.iterrows() if not taken[row["model"]].dimension]
    whole = fmean(every) if every else None
    gain = 0.0 if whole is None else whole - none
    points = [
        Point(row["model"], taken[row["model"]], row["average"], row["spread"], kept)
        for _, row in scores.iterrows()
        for kept in [(row["average"] - none) / gain if sign * gain > 0 else None]
    ]
    points.sort(key=lambda point: point.taken.megabytes)
    keeping = (point for point in points if point.kept is not None and point.kept >= Utility.ENOUGH)
    split, metric = str(first["split"]), str(first["metric"])
    svg = _drawn(dataset, metric, none, points)
    return Utility(dataset, split, metric, none, points, next(keeping, None), whole, svg)


def _drawn(dataset: str, metric: str, none: float, points: list[Point]) -> str:
    """Return the scores against what was taken, as an SVG element."""
    by: dict[str, list[Point]] = {}
    for point in points:
        ways = f" ({point.taken.ways})" if point.taken.ways else ""
        by.setdefault((point.taken.dimension or "all") + ways, []).append(point)
    looks = {name: look_of(index) for index, name in enumerate(by)}
    with grid_of_axes(1, 1, (6.4, 3.4)) as (figure, [axis]):
        axis.axhline(none, color="#7d8590", linestyle=":")
        for name, part in by.items():
            places = [point.taken.megabytes for point in part]
            values, spreads = [point.score for point in part], [point.spread for point in part]
            axis.plot(places, values, color=looks[name]["color"], alpha=0.5)
            axis.errorbar(places, values, spreads, linestyle="", capsize=2, **looks[name])
        use_log_scale(axis, "x")
        axis.set_title(dataset)
        axis.set_xlabel("megabytes of the teacher's states")
        axis.set_ylabel(metric.replace("_", " "))
        add_legend(figure, looks)
        return to_svg(figure, salt=f"utility of {dataset}")


def _taken(graph: Graph) -> dict[str, Taken]:
    """Return what the models of each group took, if they or what they start from took states of a teacher."""
    found: dict[str, list[Taken]] = {}
    for model, group in model_groups(graph).items():
        chain = graph.trained_from(model)
        takes = [name for name in chain if getattr(graph.nodes[name].settings, "knowledge", None) is not None]
        source = next(iter(takes), None)
        # Earlier versions did not write down what students took.
        told = read_manifest(graph.layout.model(source)).get("knowledge") if source else None
        if source and told:
            seconds = sum(_seconds(graph, name) for name in chain[: chain.index(source) + 1])
            found.setdefault(group, []).append(_taken_by(graph, source, told["bytes"], seconds))
    return {group: _mean(each) for group, each in found.items()}


def _taken_by(graph: Graph, model: str, size: float, seconds: float) -> Taken:
    settings: Any = graph.nodes[model].settings
    assert isinstance(settings, Distillation)
    return Taken(*_described(selection_of(settings.lessons[0])), size / 1e6, seconds)


def _described(selection: Selection | None) -> tuple[str, str, str]:
    """Return what a selection takes in words, the dimensions that it cuts, and the ways in which it does."""
    if selection is None:
        return "all", "", ""
    amount, ways = selection.amount, []
    if amount.layers is not None:
        ways.append(("layers", f"{amount.layers} layer{'s' if amount.layers > 1 else ''}"))
    if amount.tokens is not None:
        ways.append(("tokens", f"{amount.tokens} tokens"))
    if amount.hidden is not None:
        ways.append(("width", f"{amount.hidden:g} of the width"))
    usual, own = Ways(), ways_of(amount, selection.token_scheme, selection.hidden_scheme, selection.compat)
    others = [way for way, other in zip(astuple(own), astuple(usual), strict=True) if way != other]
    others += [f"ranked by {selection.ranked_by}"] if selection.ranks and selection.ranked_by != "own" else []
    return ", ".join(text for _, text in ways), " and ".join(name for name, _ in ways), ", ".join(others)


def _seconds(graph: Graph, model: str) -> float:
    return float(read_manifest(graph.layout.model(model))["seconds"])


def _mean(each: list[Taken]) -> Taken:
    """Return what several runs took, with their mean seconds."""
    first = each[0]
    return replace(first, seconds=fmean(taken.seconds for taken in each))
