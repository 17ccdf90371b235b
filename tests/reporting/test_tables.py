import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kdpipe.artifacts.sums import SUMS
from kdpipe.plan.graph import Graph
from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.results import collect_results
from kdpipe.reporting.tables import Score, decimals, format_number, format_results, format_table, lay_out

DEFAULTS = {
    "stage": "distill",
    "spread": None,
    "runs": 1,
    "n": 408.0,
    "parameters": 1000.0,
    "difference": None,
    "difference_spread": None,
    "low": None,
    "high": None,
    "published": None,
    "paper": "",
    "selection": False,
}


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    table = pd.DataFrame([{**DEFAULTS, "template": row["model"], **row} for row in rows])
    numbers = ["average", "spread", "difference", "difference_spread", "low", "high", "published"]
    table[numbers] = table[numbers].astype(float)
    return table


def row(model: str, mean: float, metric: str = "accuracy", **facts: Any) -> dict[str, Any]:
    return {"dataset": "mrpc", "split": "test", "model": model, "metric": metric, "average": mean, **facts}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.8123, 1.0], 4),
        ([0.0123], 4),
        ([5.123, 30000.1], 3),
        ([12.3], 2),
        ([621.2], 1),
        ([54321.0], 0),
        ([], 4),
        ([0.0], 4),
    ],
)
def test_four_digits_are_shown(values: list[float], expected: int):
    assert decimals(values) == expected


def test_columns_are_splits_by_metrics_and_a_missing_score_is_empty():
    table = frame(
        row("teacher", 0.9, split="validation", selection=True, n=100.0),
        row("teacher", 0.8),
        row("teacher", 0.7, "f1"),
        row("student", 0.6, parameters=1234567.0, runs=3, spread=0.01234),
    )
    (found,) = lay_out(table)
    assert [(split.name, split.n, split.selection) for split in found.splits] == [
        ("test", "408", False),
        ("validation", "100", True),
    ]
    assert [column.metric for column in found.columns] == ["accuracy", "f1", "accuracy"]
    student = found.rows[1]
    assert (student.model, student.parameters, student.runs) == ("student", 1234567, 3)
    assert student.scores == (Score(value=0.6, average="0.6000", spread="0.0123"), Score(), Score())


def test_the_best_is_the_largest_or_the_smallest_and_ties_share_it():
    (found,) = lay_out(frame(row("a", 0.80001), row("b", 0.80004), row("c", 0.7)))
    assert [line.scores[0].best for line in found.rows] == [True, True, False]
    (found,) = lay_out(frame(row("a", 12.0, "perplexity"), row("b", 15.0, "perplexity")))
    assert [line.scores[0].best for line in found.rows] == [True, False]
    (found,) = lay_out(frame(row("alone", 0.8)))
    assert not found.rows[0].scores[0].best


def test_a_difference_is_signed_and_judged():
    rows = [
        row("teacher", 0.9, difference=0.0, difference_spread=0.0),
        row("better", 0.95, difference=0.05, difference_spread=0.012, low=0.01, high=0.09),
        row("worse", 0.8, difference=-0.1, low=-0.2, high=-0.001),
        row("equal", 0.9, difference=0.01, low=-0.01, high=0.02),
        row("unknown", 0.9, difference=0.00001),
    ]
    (found,) = lay_out(frame(*rows), "teacher")
    scores = [line.scores[0] for line in found.rows]
    minus = "\N{MINUS SIGN}"
    signed = ["baseline", "+0.0500", f"{minus}0.1000", "+0.0100", "+0.0000"]
    assert [score.difference for score in scores] == signed
    assert [score.verdict for score in scores] == ["", "better", "worse", "", ""]
    assert [score.difference_spread for score in scores] == ["", "0.0120", "", "", ""]
    assert scores[1].interval == "[+0.0100, +0.0900]"
    assert scores[2].interval == f"[{minus}0.2000, {minus}0.0010]"
    assert scores[4].interval == ""


def test_less_perplexity_is_better():
    (found,) = lay_out(frame(row("student", 12.0, "perplexity", low=-3.0, high=-1.0)), "teacher")
    assert found.rows[0].scores[0].verdict == "better"


def test_published_values_have_a_column_where_there_are_any():
    given = row("a", 0.8, published=0.85, paper="Some et al. 2020")
    (found,) = lay_out(frame(given, row("b", 0.9), row("b", 0.9, "f1")))
    assert found.rows[0].scores[0].paper == "Some et al. 2020"
    assert [column.published for column in found.columns] == [True, False]
    assert [line.scores[0].published for line in found.rows] == ["0.8500", ""]


def test_a_table_per_dataset_with_aligned_columns(example: Graph):
    text = format_table(aggregate(collect_results(example), example))
    assert text.split("\n\n")[1] == (
        "mrpc                 parameters  runs              test        validation\n"
        "                                               accuracy          accuracy\n"
        "-------------------------------------------------------------------------\n"
        "teacher-mrpc                 22     1  0.8000*           0.8500*\n"
        "plain-mrpc-{seed}            21     3  0.6800  ± 0.0361  0.7300  ± 0.0361\n"
        "student-mrpc-{seed}          21     3  0.7900  ± 0.0529  0.8400  ± 0.0529"
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


def test_a_difference_that_rounds_to_zero_has_no_minus_sign():
    assert format_number(-1e-9, 3, "+") == "+0.000"
    assert format_number(-0.0006, 3, "+") == "\N{MINUS SIGN}0.001"
