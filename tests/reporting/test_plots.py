from typing import Any

import pytest

from kdpipe.config.graph import Graph
from kdpipe.errors import ConfigError
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


def test_all_mistakes_are_told_together(config: dict[str, Any], make_results: Any):
    config["report"]["plots"] = [
        {"x": "parameter", "y": "acuracy"},
        {"x": "seed", "y": "accuracy", "by": "tsk"},
        {"x": "task", "y": "perplexity"},
    ]
    with pytest.raises(ConfigError) as error:
        draw(make_results(config))
    lines = str(error.value).splitlines()
    assert lines[0] == "report.plots[0].x: there is no column 'parameter'; did you mean 'parameters'?"
    assert lines[1] == "report.plots[0].y: there is no metric 'acuracy'; did you mean 'accuracy'?"
    assert lines[2].startswith("report.plots[1].x: there is no column 'seed'")
    assert lines[3] == "report.plots[1].by: there is no column 'tsk'; did you mean 'task'?"
    assert lines[4].startswith("report.plots[2].x: no model that has the metric 'perplexity' has task")
