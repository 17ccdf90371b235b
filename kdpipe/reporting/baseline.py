"""The scores of a baseline, which every other score is compared with."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from statistics import fmean
from typing import Any

from kdpipe.plan.graph import Graph

Score = Mapping[str, Any]


def baseline_values(scores: Sequence[Score], graph: Graph) -> list[float | None]:
    """Return the baseline's value for each score, with the same dataset, split, metric and common variables.

    If the baseline is a template, its nodes match by the variables that both names have, so that seed 1 is
    compared with seed 1. If several nodes match, their mean counts. If the baseline is a node, every other
    model is compared with this node.

    Args:
        scores: rows of the results.
        graph: the graph, whose report names the baseline.
    """
    baseline = graph.document.report.baseline
    reference = [score for score in scores if baseline in (score["model"], score["template"])]
    variables = _variables_of(reference, graph, baseline)

    @cache
    def means(shared: tuple[str, ...]) -> dict[tuple[Any, ...], float]:
        values_by_key = defaultdict(list)
        for score in reference:
            values_by_key[_key(score, graph, shared)].append(score["value"])
        return {key: fmean(values) for key, values in values_by_key.items()}

    def value(score: Score) -> float | None:
        choice = graph.nodes[score["model"]].variables
        shared = tuple(name for name in variables if name in choice)
        return means(shared).get(_key(score, graph, shared))

    return [value(score) for score in scores]


def _variables_of(reference: Sequence[Score], graph: Graph, baseline: str | None) -> tuple[str, ...]:
    if not reference or reference[0]["template"] != baseline:
        return ()
    return tuple(graph.nodes[reference[0]["model"]].variables)


def _key(score: Score, graph: Graph, shared: tuple[str, ...]) -> tuple[Any, ...]:
    choice = graph.nodes[score["model"]].variables
    place = (score["dataset"], score["split"], score["metric"])
    return (*place, *(str(choice[name]) for name in shared))
