import re
from pathlib import Path
from typing import Any

from kdpipe.artifacts.sums import SUMS
from kdpipe.plan.graph import Graph
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.results import collect_results
from kdpipe.reporting.text import format_results, format_table


def test_a_table_per_dataset_with_aligned_columns(example: Graph):
    text = format_table(aggregate(collect_results(example), example))
    assert text.split("\n\n")[1] == (
        "mrpc                 parameters  runs        validation              test\n"
        "                                               accuracy          accuracy\n"
        "-------------------------------------------------------------------------\n"
        "teacher-mrpc                 22     1  0.8500*           0.8000*\n"
        "plain-mrpc-{seed}            21     3  0.7300  ± 0.0361  0.6800  ± 0.0361\n"
        "student-mrpc-{seed}          21     3  0.8400  ± 0.0529  0.7900  ± 0.0529"
    )


def test_the_scores_that_are_there(config: dict[str, Any], make_results: Any, tmp_path: Path):
    """The run has not ended, or a part of it failed; published values do not matter."""
    (tmp_path / "published.csv").write_text("model,dataset,metric,value\nteacher-mrpc,mrpc,accuracy,0.9\n")
    config["report"]["published"] = str(tmp_path / "published.csv")
    graph = make_results(config)
    whole = format_results(graph)
    assert "\nteacher-mrpc " in whole
    (graph.layout.evaluation("teacher-mrpc", "mrpc") / SUMS).unlink()
    (graph.layout.model("plain-mrpc-1") / SUMS).unlink()
    part = format_results(graph)
    assert "\nteacher-mrpc " not in part
    assert re.search(r"^plain-mrpc-\{seed\} +21 +3 ", whole, re.MULTILINE)
    assert re.search(r"^plain-mrpc-\{seed\} +21 +2 ", part, re.MULTILINE)
    for model, dataset in graph.evaluations:
        (graph.layout.evaluation(model, dataset) / SUMS).unlink(missing_ok=True)
    assert format_results(graph) == ""


def test_no_evaluations(config: dict[str, Any], make_results: Any):
    for entry in config["models"].values():
        for settings in entry.values():
            settings["evaluate"] = []
    graph = make_results(config)
    assert format_table(aggregate(collect_results(graph), graph)) == "no model was evaluated"
