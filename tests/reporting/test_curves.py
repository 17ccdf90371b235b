import shutil
from typing import Any

import pytest

from kdpipe.artifacts.parquet import write_parquet
from kdpipe.plan.graph import Graph
from kdpipe.reporting import curves
from kdpipe.reporting.curves import MOST_RUNS, loss_curves, tradeoff_curves
from kdpipe.reporting.plots import Plot
from tests.reporting.conftest import CANDIDATES, CANDIDATES_SCHEMA, pruning_config


@pytest.fixture
def base(config: dict[str, Any], make_results: Any, rewrite: Any) -> Any:
    """A function that returns the figures of one model with a given history."""
    config["models"] = {"base": config["models"]["base"]}

    def figures(history: dict[str, list[float]]) -> list[Plot]:
        # No stage has written the history of an earlier call.
        shutil.rmtree(config["results"], ignore_errors=True)
        graph = make_results(config)
        rewrite(graph, "base", history)
        return loss_curves(graph)

    return figures


def test_a_figure_per_trained_template_and_a_panel_per_term(example: Graph):
    figures = {plot.title: plot.svg for plot in loss_curves(example)}
    assert list(figures) == ["base", "teacher-{task}", "plain-{task}-{seed}", "student-{task}-{seed}"]
    student = figures["student-{task}-{seed}"]
    for title in ("loss (weighted sum)", "kl", "hidden_mse", "student-mrpc-{seed}"):
        assert f">{title}<" in student
    assert "learning_rate" not in student
    assert "grad_norm" not in student


def test_a_loss_that_is_its_only_term_is_drawn_once(base: Any):
    (plot,) = base({"loss": [3.0, 2.0], "hard": [3.0, 2.0]})
    assert ">hard (the loss)<" in plot.svg
    assert "weighted" not in plot.svg


def test_evaluations_during_training_have_a_panel(base: Any):
    (plot,) = base({"loss": [3.0, 0.01], "eval_accuracy": [0.5, 0.6]})
    assert ">validation accuracy<" in plot.svg


def test_a_training_that_logged_nothing_has_no_figure(base: Any):
    assert base({"learning_rate": [0.1]}) == []


def test_long_histories_are_thinned(base: Any):
    short, long = (base({"loss": [1.0, 2.0] * count})[0].svg for count in (100, 5000))
    assert len(long) < 1.5 * len(short)


def test_of_many_runs_some_are_drawn(config: dict[str, Any], make_results: Any):
    config["matrix"] = {"seed": list(range(1, 41)), "task": {"mrpc": {"rows": 9}}}
    config["models"] = {
        "base": config["models"]["base"],
        "plain-{seed}": {"finetune": {"model": "base", "dataset": "mrpc", "evaluate": []}},
    }
    titles = [plot.title for plot in loss_curves(make_results(config))]
    assert titles == ["base", f"plain-{{seed}} ({MOST_RUNS} of 40 runs)"]


def test_a_figure_per_template_of_assistants(pruning: Graph):
    (plot,) = tradeoff_curves(pruning)
    assert plot.title == "assistant-{seed}"
    for text in ("metric", "tradeoff", "chosen", "accuracy", "sparsity"):
        assert f">{text}<" in plot.svg


def test_another_choice_is_marked_elsewhere(pruning: Graph, tmp_path: Any, make_results: Any):
    graph = make_results(pruning_config(tmp_path))
    before = next(tradeoff_curves(graph)).svg
    sizes = [{**row, "chosen": row["sparsity"] == 0.5} for row in CANDIDATES]
    write_parquet(graph.layout.model("assistant-1") / "candidates.parquet", sizes, CANDIDATES_SCHEMA)
    assert next(tradeoff_curves(graph)).svg != before


def test_an_assistant_that_is_its_teacher_has_no_curve(tmp_path: Any, make_results: Any):
    graph = make_results(pruning_config(tmp_path))
    for run in (1, 2):
        path = graph.layout.model(f"assistant-{run}") / "candidates.parquet"
        write_parquet(path, [], CANDIDATES_SCHEMA)
    assert list(tradeoff_curves(graph)) == []


def test_what_changes_over_a_training_has_a_panel(base: Any):
    history = {"loss": [3.0, 2.0], "weight of kl": [1.0, 0.01], "lowest temperature of kl": [2.0, 0.1]}
    (plot,) = base(history)
    for title in ("weight of kl", "lowest temperature of kl"):
        assert f">{title}<" in plot.svg


@pytest.mark.parametrize(("name", "logarithmic"), [("kl", True), ("weight of kl", False)])
def test_what_is_set_is_drawn_on_a_linear_scale(
    base: Any, name: str, logarithmic: bool, monkeypatch: pytest.MonkeyPatch
):
    (plot,) = base({"loss": [3.0, 2.0], name: [1.0, 0.01]})
    monkeypatch.setattr(curves, "LOGARITHMIC_FROM", float("inf"))
    (linear,) = base({"loss": [3.0, 2.0], name: [1.0, 0.01]})
    assert (plot.svg != linear.svg) == logarithmic


def test_long_titles_have_several_lines(base: Any):
    (plot,) = base({"loss": [3.0, 2.0], "lowest temperature of soft_cross_entropy": [2.0, 1.0]})
    assert ">soft_cross_entropy<" in plot.svg
