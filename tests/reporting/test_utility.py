"""How much of a teacher is enough, as the report tells it."""

import json
from typing import Any

import pytest

from kdpipe.reporting.aggregate import aggregate
from kdpipe.reporting.page import render_page
from kdpipe.reporting.results import collect_results
from kdpipe.reporting.utility import utilities
from tests.reporting.conftest import SCORES

STATES = [{"loss": "hidden_mse", "layers": [[0, 0], [2, 1]]}]
# Scores on the validation split of mrpc by seed; without states 0.70, 0.72, 0.77.
TAKEN = {"joint": [0.76, 0.80, 0.84], "tokens": [0.80, 0.82, 0.895], "student": [0.80, 0.82, 0.90]}
AMOUNTS = {"joint": "1l_10t_0.5h", "tokens": {"tokens": 10}, "student": {}}
# Bytes that students took, as their manifests tell.
BYTES = {"joint": 7_000, "tokens": 20_000, "student": 32_000}


@pytest.fixture
def told(config: dict[str, Any], make_results: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that changes the config, and returns what the report tells of the students."""

    def tell(**changes: Any) -> Any:
        student = config["models"].pop("student-{task}-{seed}")["distill"]
        for name, amount in AMOUNTS.items():
            settings = {**student, "losses": STATES, "knowledge": amount}
            config["models"][f"{name}-{{task}}-{{seed}}"] = {"distill": settings}
            monkeypatch.setitem(SCORES, name, TAKEN[name])
        config["report"] |= {"baseline": "plain-{task}-{seed}", **changes}
        graph = make_results(config)
        for model in graph.nodes:
            if (name := model.split("-")[0]) in BYTES:
                file = graph.layout.model(model) / "manifest.json"
                told = json.loads(file.read_text()) | {"knowledge": {"bytes": BYTES[name], "share": 0.5}}
                file.write_text(json.dumps(told))
        aggregated = aggregate(collect_results(graph), graph)
        return graph, aggregated, utilities(graph, aggregated)

    return tell


def test_the_smallest_amount_that_keeps_nearly_all_is_named(told: Any) -> None:
    _, _, [mrpc, sst2] = told()
    assert (mrpc.dataset, mrpc.split, mrpc.metric) == ("mrpc", "test", "accuracy")
    assert [point.model for point in mrpc.points] == [
        "joint-mrpc-{seed}", "tokens-mrpc-{seed}", "student-mrpc-{seed}"
    ]  # fmt: skip
    assert mrpc.none == pytest.approx(0.68)
    assert [point.kept for point in mrpc.points] == pytest.approx([0.07 / 0.11, 0.1083 / 0.11, 1], abs=1e-3)
    assert mrpc.enough
    assert mrpc.enough.model == "tokens-mrpc-{seed}"
    assert sst2.dataset == "sst2"


def test_what_students_took_is_told_in_words(told: Any) -> None:
    _, _, [mrpc, _] = told()
    joint, tokens, whole = (point.taken for point in mrpc.points)
    assert [taken.megabytes for taken in (joint, tokens, whole)] == [0.007, 0.02, 0.032]
    assert joint.amount == "1 layer, 10 tokens, 0.5 of the width"
    assert (joint.dimension, whole.dimension) == ("layers and tokens and width", "")


def test_ways_have_lines_of_their_own(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        AMOUNTS, "left", {"tokens": 10, "token_scheme": "left_first", "hidden_scheme": "random"}
    )
    monkeypatch.setitem(TAKEN, "left", [0.7, 0.71, 0.72])
    monkeypatch.setitem(BYTES, "left", 20_000)
    _, _, [mrpc, _] = told()
    [left] = [point.taken for point in mrpc.points if point.model.startswith("left")]
    assert (left.dimension, left.ways) == ("tokens", "left_first")
    assert "tokens (left_first)" in mrpc.svg


def test_where_nobody_took_all_nothing_is_said_of_a_gain(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(AMOUNTS, "student")
    graph, aggregated, [mrpc, _] = told()
    assert (mrpc.whole, mrpc.enough) == (None, None)
    assert "No student took all states" in render_page(graph, aggregated)


def test_without_a_baseline_nothing_is_told(told: Any) -> None:
    _, _, found = told(baseline=None)
    assert found == []


def test_the_page_shows_it(told: Any) -> None:
    graph, aggregated, _ = told()
    page = render_page(graph, aggregated)
    assert "How much of the teacher is enough" in page
    assert ">10 tokens<" in page


def test_a_config_without_knowledge_shows_nothing(example: Any) -> None:
    assert "How much of the teacher" not in render_page(example, aggregate(collect_results(example), example))
