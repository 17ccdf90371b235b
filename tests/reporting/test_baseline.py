from typing import Any

import pytest

from kdpipe.plan.graph import Graph
from kdpipe.reporting.baseline import baseline_values
from kdpipe.reporting.results import collect_results


def values(graph: Graph, split: str = "validation") -> dict[str, float | None]:
    scores = collect_results(graph).to_pylist()
    found = zip(scores, baseline_values(scores, graph), strict=True)
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
