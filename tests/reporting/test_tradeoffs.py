from typing import Any

from kdpipe.artifacts.tables import write_table
from kdpipe.plan.graph import Graph
from kdpipe.reporting.tradeoffs import tradeoff_curves
from tests.reporting.conftest import CANDIDATES, CANDIDATES_SCHEMA, pruning_config


def test_a_figure_per_template_of_assistants(pruning: Graph):
    (plot,) = tradeoff_curves(pruning)
    assert plot.title == "assistant-{seed}"
    for text in ("metric", "tradeoff", "chosen", "accuracy", "sparsity"):
        assert f">{text}<" in plot.svg


def test_another_choice_is_marked_elsewhere(pruning: Graph, tmp_path: Any, make_results: Any):
    graph = make_results(pruning_config(tmp_path))
    before = next(tradeoff_curves(graph)).svg
    sizes = [{**row, "chosen": row["sparsity"] == 0.5} for row in CANDIDATES]
    write_table(graph.layout.model("assistant-1") / "candidates.parquet", sizes, CANDIDATES_SCHEMA)
    assert next(tradeoff_curves(graph)).svg != before


def test_an_assistant_that_is_its_teacher_has_no_curve(tmp_path: Any, make_results: Any):
    graph = make_results(pruning_config(tmp_path))
    for run in (1, 2):
        path = graph.layout.model(f"assistant-{run}") / "candidates.parquet"
        write_table(path, [], CANDIDATES_SCHEMA)
    assert list(tradeoff_curves(graph)) == []
