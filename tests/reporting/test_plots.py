from itertools import combinations
from typing import Any

import pandas as pd
import pytest

from kdpipe.errors import ConfigError
from kdpipe.plan.graph import Graph
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.figures import grid_of_axes, name_points
from kdpipe.reporting.plots import Plot, further_plots, tradeoff_plots
from kdpipe.reporting.results import collect_results


def draw(graph: Graph) -> list[Plot]:
    aggregated = aggregate(collect_results(graph), graph)
    return further_plots(aggregated, graph.document.report.plots)


def sizes(aggregated: Any) -> dict[str, dict[str, float]]:
    return {"parameters": dict(zip(aggregated["model"], aggregated["parameters"], strict=True))}


def test_scores_against_parameters(example: Graph):
    aggregated = aggregate(collect_results(example), example)
    (plot,) = tradeoff_plots(aggregated, sizes(aggregated) | {"ms": {"unknown": 1.0}})
    assert plot.title == "Perplexity, accuracy against parameters"
    for text in ("text, test", "mrpc, test", "sst2, test"):
        assert f">{text}<" in plot.svg
    # Each point has its name, in each panel.
    for name in ("teacher-{task}", "student-{task}-{seed}"):
        assert plot.svg.count(f">{name}<") == 2


def test_many_points_have_a_legend(example: Graph):
    few = aggregate(collect_results(example), example)
    many = pd.concat([few.assign(model=few["model"] + str(number)) for number in range(9)], ignore_index=True)
    (plot,) = tradeoff_plots(many, sizes(many))
    assert plot.svg.count(">student-{task}-{seed}<") == 1


def test_names_do_not_cover_each_other():
    with grid_of_axes(1, 1, (6, 4)) as (figure, [axis]):
        axis.plot([1, 1, 1, 5], [1, 1, 1, 5], "o")
        points = [(1, 1), (1, 1), (1, 1), (5, 5)]
        assert name_points(axis, points, ["first", "second", "third", "fourth"])
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in axis.texts]
    assert [text.get_text() for text in axis.texts] == ["first", "second", "third", "fourth"]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_names_without_room_are_not_written():
    """Nor does a name cover another point."""
    with grid_of_axes(1, 1, (3, 2)) as (_, [axis]):
        points = [(x, 1.0) for x in (1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 5)] * 3
        axis.plot(*zip(*points, strict=True), "o")
        assert not name_points(axis, points, [f"a student with a long name {x}" for x, _ in points])
    assert not axis.texts


def test_no_plot_without_scores(config: dict[str, Any], make_results: Any):
    for entry in config["models"].values():
        for settings in entry.values():
            settings["evaluate"] = []
    graph = make_results(config)
    assert list(tradeoff_plots(aggregate(collect_results(graph), graph), {"parameters": {}})) == []


@pytest.mark.parametrize(
    ("plot", "texts"),
    [
        ({"x": "task", "y": "accuracy", "by": "template"}, ["mrpc", "teacher-{task}"]),
        ({"x": "depth", "y": "accuracy", "by": "dataset"}, ["mrpc", "sst2"]),
        ({"x": "split", "y": "accuracy"}, ["validation", "test", "plain-{task}-{seed}"]),
        ({"x": "model", "y": "perplexity"}, ["text, test", "base"]),
        ({"x": "{task}", "y": "accuracy"}, ["sst2, test"]),
    ],
)
def test_plots_that_are_asked_for(
    config: dict[str, Any], make_results: Any, plot: dict[str, str], texts: list[str]
):
    config["report"]["plots"] = [plot]
    (drawn,) = draw(make_results(config))
    assert drawn.title.startswith(f"{plot['y'].capitalize()} against {plot['x']}")
    for text in texts:
        assert f">{text}<" in drawn.svg


def test_plots_of_nothing_are_told_together(config: dict[str, Any], make_results: Any):
    config["report"]["plots"] = [
        {"x": "task", "y": "perplexity"},
        {"x": "depth", "y": "accuracy"},
        {"x": "model", "y": "perplexity", "by": "task"},
    ]
    with pytest.raises(ConfigError) as error:
        draw(make_results(config))
    lines = str(error.value).splitlines()
    assert lines[0].startswith("report.plots[0].x: no model that has the metric 'perplexity' has task")
    assert lines[1].startswith("report.plots[2].x: no model that has the metric 'perplexity' has model and")
