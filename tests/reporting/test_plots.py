from typing import Any

import pytest

from kdpipe.errors import ConfigError
from kdpipe.plan.graph import Graph
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.plots import Plot, further_plots, parameters_plot
from kdpipe.reporting.results import collect_results


def draw(graph: Graph) -> list[Plot]:
    aggregated = aggregate(collect_results(graph), graph)
    return further_plots(aggregated, graph.document.report.plots)


def test_scores_against_parameters(example: Graph):
    (plot,) = parameters_plot(aggregate(collect_results(example), example))
    assert plot.title == "Perplexity, accuracy against parameters"
    for text in ("text, test", "mrpc, test", "sst2, test", "teacher-{task}", "student-{task}-{seed}"):
        assert f">{text}<" in plot.svg


def test_no_plot_without_scores(config: dict[str, Any], make_results: Any):
    for entry in config["models"].values():
        for settings in entry.values():
            settings["evaluate"] = []
    graph = make_results(config)
    assert list(parameters_plot(aggregate(collect_results(graph), graph))) == []


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
