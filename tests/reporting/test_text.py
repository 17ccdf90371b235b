from typing import Any

from kdpipe.config.graph import Graph
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.results import collect_results
from kdpipe.reporting.text import format_table


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


def test_no_evaluations(config: dict[str, Any], make_results: Any):
    for entry in config["models"].values():
        for settings in entry.values():
            settings["evaluate"] = []
    graph = make_results(config)
    assert format_table(aggregate(collect_results(graph), graph)) == "no model was evaluated"
