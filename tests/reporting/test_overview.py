"""The first table: the steps of chains, with sizes, times, and the best trade-offs."""

import json
from dataclasses import replace
from math import isnan
from typing import Any

import pandas as pd
import pytest

from kdpipe.plan.graph import Graph
from kdpipe.plan.saved.files import weight_bytes
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.overview import Overview, Shape, Step, _cells, overview
from kdpipe.reporting.results import collect_results
from kdpipe.reporting.structures import model_structures
from kdpipe.reporting.tables import Score, lay_out
from tests.reporting.conftest import EXPORTED_BYTES


def look(graph: Graph, measured: pd.DataFrame | None = None) -> Overview:
    tables = lay_out(aggregate(collect_results(graph), graph))
    return overview(graph, tables, model_structures(graph), pd.DataFrame() if measured is None else measured)


def by_name(found: Overview) -> dict[str, Step]:
    return {step.name: step for step in found.steps}


def test_models_of_several_tasks_share_a_row(example: Graph):
    found = look(example)
    names = ["base", "teacher-{task}", "init", "plain-{task}-{seed}", "student-{task}-{seed}"]
    assert [step.name for step in found.steps] == names
    assert [(place.dataset, place.split.name) for place in found.places] == [
        ("text", "test"),
        ("mrpc", "test"),
        ("sst2", "test"),
    ]
    student = by_name(found)["student-{task}-{seed}"]
    assert (student.stage, student.sources) == ("distill", ("teacher-{task}", "init"))
    assert [cell.score.average for cell in student.cells] == ["", "0.7900", "0.6900"]


def test_models_that_are_scored_on_each_dataset_have_rows_of_their_own(
    config: dict[str, Any], make_results: Any
):
    config["models"]["teacher-{task}"]["finetune"]["evaluate"] = ["mrpc", "sst2"]
    names = [step.name for step in look(make_results(config)).steps]
    assert "teacher-mrpc" in names
    assert "plain-sst2-{seed}" in names


def test_candidates_are_no_steps(pruning: Graph):
    steps = by_name(look(pruning))
    assert "maxi" in steps
    assert not {"maxi-{ta}", "maxi-0.6", "maxi-0.8"} & steps.keys()
    # Of a chain, each step is there: the assistant, and what was cut of it.
    assert {"teacher", "assistant-{seed}", "init-{seed}", "mini-{seed}"} <= steps.keys()


def test_the_chosen_candidate_the_baseline_and_what_was_measured_are_steps(
    config: dict[str, Any], make_results: Any
):
    """As in the README: a choice among students ends the chain."""
    config["models"]["best"] = {"select": {"among": ["student-mrpc-{seed}"], "dataset": "mrpc"}}
    config["measure"] = {"models": ["plain-mrpc-1"], "latency": {"length": [8]}}
    graph = make_results(config)
    manifest = graph.layout.model("best") / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "chosen": "student-mrpc-2"}))
    steps = by_name(look(graph))
    named = ["base", "teacher-{task}", "init", "plain-{task}-{seed}", "student-{task}-{seed}", "best"]
    assert list(steps) == named
    assert steps["best"].sources == ("student-{task}-{seed}",)


def test_all_models_read_the_text_whose_multiply_adds_are_counted(
    example: Graph, monkeypatch: pytest.MonkeyPatch
):
    """Of the models of the example one reads 64 tokens, and all others read 128."""
    lengths = iter([128, 64])
    monkeypatch.setattr("kdpipe.reporting.overview.usual_length", lambda config: next(lengths, 128))
    assert look(example).length == 64


def test_equals_share_the_mark(config: dict[str, Any], make_results: Any):
    """Of two students of one size and one score, none is the better choice."""
    tables = lay_out(aggregate(collect_results(make_results(config)), make_results(config)))
    scores = {"small": 0.5, "also": 0.5, "worse": 0.4, "large": 0.6, "waste": 0.6}
    sizes = pd.Series({"small": 1.0, "also": 1.0, "worse": 1.0, "large": 2.0, "waste": 3.0})
    rows = tuple(
        replace(tables[0].rows[0], model=name, scores=(Score(value=value, average=f"{value}"),))
        for name, value in scores.items()
    )
    table = replace(tables[1], rows=rows)
    cells = _cells(table, list(scores), sizes)
    assert {name for name, cell in cells.items() if cell.tradeoff} == {"small", "also", "large"}


def test_sizes_are_compared_with_the_largest_ancestor(example: Graph):
    steps = by_name(look(example))
    student, base = steps["student-{task}-{seed}"], steps["base"]
    assert (student.parameters, base.parameters) == (21, 22)
    assert student.smaller == pytest.approx(base.megabytes / student.megabytes)
    assert isnan(base.smaller)
    sizes = [weight_bytes(example.layout.model(name)) / 1e6 for name in ("student-mrpc-1", "base")]
    assert [student.megabytes, base.megabytes] == sizes
    assert sizes[0] < sizes[1]


def test_times_are_means_over_runs_and_compared_with_what_was_measured(example: Graph):
    shape = {"batch": 1, "length": 32}
    times = {"teacher-mrpc": 0.8, "student-mrpc-1": 0.1, "student-mrpc-2": 0.3}
    measured = pd.DataFrame(
        [{"model": name, "format": "torch", "median_seconds": time, **shape} for name, time in times.items()]
    )
    steps, key = by_name(look(example, measured)), Shape(**shape)
    assert steps["student-{task}-{seed}"].seconds == {key: pytest.approx(0.2)}
    assert steps["student-{task}-{seed}"].faster == {key: pytest.approx(4)}
    assert steps["plain-{task}-{seed}"].seconds == {}
    assert steps["teacher-{task}"].faster == {}


def test_exported_models_are_steps_beside_their_models(config: dict[str, Any], make_results: Any):
    """An export has its own size, time and score, which are compared with the teacher's as torch runs it."""
    config["models"]["student-{task}-{seed}"]["distill"]["export"] = ["onnx_int8"]
    config["measure"] = {"models": ["teacher-mrpc", "student-mrpc-1"]}
    times = {
        ("teacher-mrpc", "torch"): 0.8,
        ("student-mrpc-1", "torch"): 0.2,
        ("student-mrpc-1", "onnx_int8"): 0.1,
    }
    shape = {"batch": 1, "length": 32}
    rows = [
        {"model": name, "format": format, "median_seconds": time, **shape}
        for (name, format), time in times.items()
    ]
    found = look(make_results(config), pd.DataFrame(rows))
    assert [step.name for step in found.steps][-2:] == [
        "student-{task}-{seed}",
        "student-{task}-{seed}+onnx_int8",
    ]
    student, step = found.steps[-2:]
    assert (step.stage, step.sources) == ("export", ("student-{task}-{seed}",))
    assert step.megabytes == EXPORTED_BYTES / 1e6 < student.megabytes
    assert (step.parameters, step.multiply_adds) == (student.parameters, student.multiply_adds)
    assert step.faster == {Shape(**shape): pytest.approx(8)}
    assert [cell.score.average for cell in step.cells] == ["", "0.6900", "0.5900"]
    # It is the smallest, and scores less than the students in float.
    assert [cell.tradeoff for cell in step.cells[1:]] == [True, True]
    assert [cell.tradeoff for cell in student.cells[1:]] == [True, True]


def test_an_exported_candidate_is_a_step(config: dict[str, Any], make_results: Any):
    """A model that is exported ships, though another was chosen."""
    config["models"]["plain-{task}-{seed}"]["finetune"]["export"] = ["onnx"]
    config["models"]["best"] = {"select": {"among": ["plain-mrpc-{seed}"], "dataset": "mrpc"}}
    graph = make_results(config)
    manifest = graph.layout.model("best") / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "chosen": "plain-mrpc-2"}))
    assert {"plain-{task}-{seed}", "plain-{task}-{seed}+onnx", "best"} <= by_name(look(graph)).keys()


def test_the_best_tradeoffs_are_marked(example: Graph):
    """The teacher is the best; the student is better than what is as small."""
    steps = by_name(look(example))
    marks = {name: [cell.tradeoff for cell in step.cells[1:]] for name, step in steps.items()}
    assert marks["teacher-{task}"] == [True, True]
    assert marks["student-{task}-{seed}"] == [True, True]
    assert marks["plain-{task}-{seed}"] == [False, False]
    # One model alone is no trade-off.
    assert not steps["base"].cells[0].tradeoff


def test_less_perplexity_is_a_better_tradeoff(config: dict[str, Any], make_results: Any):
    config["models"]["init"]["extract"]["evaluate"] = ["text"]
    steps = by_name(look(make_results(config)))
    # The tree gives `init` a perplexity of 0.5 with fewer weights than `base`, which has 25.
    assert (steps["init"].cells[0].tradeoff, steps["base"].cells[0].tradeoff) == (True, False)
