import json
from math import sqrt
from pathlib import Path
from statistics import fmean, median
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from kdpipe.plan.build import build_graph
from kdpipe.plan.graph import Graph
from kdpipe.reporting.aggregate import aggregate, baseline_scores, baseline_values, selection_splits
from kdpipe.reporting.results import collect_results


def row_of(graph: Graph, model: str, split: str = "validation") -> Any:
    aggregated = aggregate(collect_results(graph), graph)
    (row,) = aggregated[(aggregated["model"] == model) & (aggregated["split"] == split)].to_dict("records")
    return row


def test_mean_and_sample_standard_deviation_over_seeds(example: Graph):
    row = row_of(example, "plain-mrpc-{seed}")
    assert row["average"] == pytest.approx(0.73)
    assert row["spread"] == pytest.approx(sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2))
    assert (row["runs"], row["n"], row["parameters"], row["depth"]) == (3, 40, 21, 1)
    assert (row["template"], row["dataset"], row["{task}"]) == ("plain-{task}-{seed}", "mrpc", "mrpc")
    assert row["primary"]
    assert "{seed}" not in row


def test_medians_over_seeds(config: dict[str, Any], make_results: Any):
    config["report"] |= {"statistic": "median", "baseline": "plain-{task}-{seed}"}
    graph = make_results(config)
    values = [
        score["value"]
        for score in collect_results(graph).to_pylist()
        if score["template"] == "student-{task}-{seed}" and score["dataset"] == "mrpc"
        if score["split"] == "test" and score["metric"] == "accuracy"
    ]
    row = row_of(graph, "student-mrpc-{seed}", "test")
    assert len(values) == 3
    assert row["average"] == median(values) != pytest.approx(fmean(values))
    # By seed 0.10, 0.10 and 0.13.
    assert row["difference"] == pytest.approx(0.10)


def test_metrics_of_single_types_are_left_to_the_results(example: Graph):
    results = collect_results(example)
    of_a_type = results.set_column(
        results.schema.get_field_index("metric"), "metric", pa.array(["f1:PER"] * len(results))
    )
    pd.testing.assert_frame_equal(
        aggregate(pa.concat_tables([results, of_a_type]), example), aggregate(results, example)
    )


def test_one_run_has_no_spread(example: Graph):
    row = row_of(example, "teacher-sst2")
    assert (row["average"], row["runs"]) == (pytest.approx(0.75), 1)
    assert pd.isna(row["spread"])


def test_the_difference_to_the_baseline_is_taken_run_by_run(config: dict[str, Any], make_results: Any):
    config["report"]["baseline"] = "plain-{task}-{seed}"
    row = row_of(make_results(config), "student-mrpc-{seed}", "test")
    # By seed 0.10, 0.10 and 0.13.
    assert row["difference"] == pytest.approx(0.11)
    assert row["difference_spread"] == pytest.approx(sqrt((0.01**2 + 0.01**2 + 0.02**2) / 2))


def test_any_variables_are_averaged_over(config: dict[str, Any], make_results: Any):
    config["report"]["over"] = ["task", "seed"]
    row = row_of(make_results(config), "plain-{task}-{seed}")
    assert (row["runs"], row["dataset"]) == (6, "{task}")
    assert row["average"] == pytest.approx(0.68)
    assert "{task}" not in row


def test_nothing_is_averaged_over_nothing(config: dict[str, Any], make_results: Any):
    config["report"]["over"] = []
    row = row_of(make_results(config), "plain-mrpc-3")
    assert (row["average"], row["runs"], row["{seed}"]) == (pytest.approx(0.77), 1, 3)


def test_published_values_stand_beside(config: dict[str, Any], make_results: Any, tmp_path: Path):
    path = tmp_path / "published.csv"
    path.write_text("model,dataset,metric,value\nplain-mrpc-{seed},{task},accuracy,0.75\n")
    config["report"]["published"] = str(path)
    graph = make_results(config)
    assert row_of(graph, "plain-mrpc-{seed}")["published"] == 0.75
    assert pd.isna(row_of(graph, "plain-sst2-{seed}")["published"])


def test_splits_that_models_are_chosen_by_are_marked(config: dict[str, Any], make_results: Any):
    graph = make_results(config)
    assert row_of(graph, "teacher-mrpc")["selection"]
    assert not row_of(graph, "teacher-mrpc", "test")["selection"]
    config["models"]["best"] = {
        "select": {"among": "plain-mrpc-{seed}", "dataset": "mrpc", "split": "test", "evaluate": []}
    }
    graph = make_results(config)
    assert ("mrpc", "test") in selection_splits(graph)
    assert row_of(graph, "teacher-mrpc", "test")["selection"]
    assert not row_of(graph, "teacher-sst2", "test")["selection"]


def test_a_split_by_which_copies_choose_a_model_is_the_split_of_their_original(config: dict[str, Any]):
    config["datasets"]["copies"] = {"augment": {"dataset": "mrpc", "method": "mask"}}
    config["models"]["best"] = {
        "select": {"among": "plain-mrpc-{seed}", "dataset": "copies", "split": "test", "evaluate": []}
    }
    assert {("copies", "test"), ("mrpc", "test")} <= selection_splits(build_graph(config))


def test_a_graph_without_evaluations_has_an_empty_table(config: dict[str, Any], make_results: Any):
    for entry in config["models"].values():
        for settings in entry.values():
            settings["evaluate"] = []
    graph = make_results(config)
    assert aggregate(collect_results(graph), graph).empty


def test_a_variable_may_be_named_like_a_column(config: dict[str, Any], make_results: Any):
    config["matrix"]["spread"] = config["matrix"].pop("seed")
    config["report"]["over"] = []
    renamed = json.loads(json.dumps(config).replace("{seed}", "{spread}"))
    row = row_of(make_results(renamed), "plain-mrpc-3")
    assert (row["{spread}"], pd.isna(row["spread"])) == (3, True)


def values(graph: Graph, split: str = "validation") -> dict[str, float | None]:
    scores = collect_results(graph).to_pylist()
    found = zip(scores, baseline_values(baseline_scores(scores, graph), graph), strict=True)
    return {score["model"]: value for score, value in found if score["split"] == split}


def test_a_template_matches_common_variables(config: dict[str, Any], make_results: Any):
    config["report"]["baseline"] = "plain-{task}-{seed}"
    found = values(make_results(config))
    assert found["student-mrpc-2"] == pytest.approx(0.72)
    assert found["student-sst2-3"] == pytest.approx(0.67)
    assert found["plain-mrpc-1"] == pytest.approx(0.70)


def test_the_mean_of_several_matches_counts(config: dict[str, Any], make_results: Any):
    config["report"]["baseline"] = "plain-{task}-{seed}"
    found = values(make_results(config), "test")
    assert found["teacher-mrpc"] == pytest.approx((0.70 + 0.72 + 0.77) / 3 - 0.05)


def test_the_median_of_several_matches_counts_beside_medians(config: dict[str, Any], make_results: Any):
    config["report"] |= {"statistic": "median", "baseline": "plain-{task}-{seed}"}
    found = values(make_results(config), "test")
    assert found["teacher-mrpc"] == pytest.approx(0.72 - 0.05)


def test_a_template_without_the_variable_matches_every_run(config: dict[str, Any], make_results: Any):
    config["report"]["baseline"] = "teacher-{task}"
    found = values(make_results(config))
    assert [found[f"student-sst2-{seed}"] for seed in (1, 2, 3)] == pytest.approx([0.75] * 3)


def test_one_node_is_compared_with_all(config: dict[str, Any], make_results: Any):
    config["report"]["baseline"] = "plain-mrpc-1"
    found = values(make_results(config))
    assert found["student-mrpc-3"] == pytest.approx(0.70)
    assert found["plain-mrpc-2"] == pytest.approx(0.70)
    assert found["student-sst2-3"] is None


def test_without_a_baseline_there_is_no_value(example: Graph):
    assert set(values(example).values()) == {None}


def test_intervals_are_the_same_however_many_models_are_resampled_together(
    config: dict[str, Any], make_results: Any, monkeypatch: pytest.MonkeyPatch
):
    config["report"]["baseline"] = "plain-{task}-{seed}"
    graph = make_results(config)
    results = collect_results(graph)
    together = aggregate(results, graph, intervals=True)
    monkeypatch.setattr("kdpipe.reporting.differences.MOST_PARTS", 0)
    alone = aggregate(results, graph, intervals=True)
    assert together["low"].notna().any()
    pd.testing.assert_frame_equal(together, alone)


def by_model(table: Any) -> dict[tuple[str, str], Any]:
    return {(row["model"], row["split"]): row for row in table.to_dict("records")}


def test_exported_models_have_rows_of_their_own(config: dict[str, Any], make_results: Any) -> None:
    config["models"]["student-{task}-{seed}"]["distill"]["export"] = ["onnx_int8"]
    config["report"]["baseline"] = "teacher-{task}"
    graph = make_results(config)
    results = collect_results(graph)
    assert {(row["format"], row["model"][:7]) for row in results.to_pylist()} == {
        ("torch", "base"), ("torch", "teacher"), ("torch", "plain-m"), ("torch", "plain-s"),
        ("torch", "student"), ("onnx_int8", "student"),
    }  # fmt: skip
    rows = by_model(aggregate(results, graph, intervals=True))
    row = rows["student-mrpc-{seed}+onnx_int8", "validation"]
    assert row["template"] == "student-{task}-{seed}+onnx_int8"
    assert row["runs"] == 3
    assert row["average"] == pytest.approx((0.80 + 0.82 + 0.90) / 3 - 0.1)
    assert row["difference"] == pytest.approx(row["average"] - 0.85)
    assert row["low"] < row["difference"] < row["high"] < 0
    in_float = rows["student-mrpc-{seed}", "validation"]
    assert in_float["average"] == pytest.approx(row["average"] + 0.1)


def test_an_exported_baseline_stands_beside_the_baseline(config: dict[str, Any], make_results: Any) -> None:
    config["models"]["teacher-{task}"]["finetune"]["export"] = ["onnx"]
    config["report"]["baseline"] = "teacher-{task}"
    graph = make_results(config)
    rows = by_model(aggregate(collect_results(graph), graph))
    assert rows["teacher-mrpc+onnx", "test"]["difference"] == pytest.approx(-0.1)
    assert rows["teacher-mrpc", "test"]["difference"] == 0
