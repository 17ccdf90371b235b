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
TOKENS = {"train": {"rows": 100, "tokens": 2000}}


@pytest.fixture
def told(config: dict[str, Any], make_results: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what is told of mrpc by students that took some amounts, after changes of the config."""

    def tell(**changes: Any) -> Any:
        student = config["models"].pop("student-{task}-{seed}")["distill"]
        for name, amount in AMOUNTS.items():
            settings = {**student, "losses": STATES, "knowledge": amount}
            config["models"][f"{name}-{{task}}-{{seed}}"] = {"distill": settings}
            monkeypatch.setitem(SCORES, name, TAKEN[name])
        config["report"] |= {"baseline": "plain-{task}-{seed}", **changes}
        graph = make_results(config)
        for dataset in ("mrpc", "sst2"):
            folder = graph.encoded(dataset, "base")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "dataset.json").write_text(json.dumps({"splits": TOKENS}))
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


def test_megabytes_are_those_of_all_training_examples(told: Any) -> None:
    _, _, [mrpc, _] = told()
    joint, tokens, whole = (point.taken for point in mrpc.points)
    # 20 tokens an example, 4 numbers of 2 bytes a state. Whole: two states.
    assert whole.megabytes == pytest.approx(100 * 2 * 20 * 8 / 1e6)
    assert tokens.megabytes == pytest.approx(100 * 2 * (10 * 8 + 2 * 10) / 1e6)
    # Half of the numbers of one state, a bit for each number, and the places of tokens.
    assert joint.megabytes == pytest.approx(100 * (20 * 2 + 40 / 8 + 2 * 10) / 1e6)
    assert joint.amount == "1 layer, 10 tokens (attention_no_sep), 0.5 of the width (magnitude)"
    assert (joint.dimension, whole.dimension) == ("layers and tokens and width", "")


def test_without_a_baseline_nothing_is_told(told: Any) -> None:
    _, _, found = told(baseline=None)
    assert found == []


def test_the_page_shows_it(told: Any) -> None:
    graph, aggregated, _ = told()
    page = render_page(graph, aggregated)
    assert "How much of the teacher is enough" in page
    assert "10 tokens (attention_no_sep)" in page


def test_a_config_without_knowledge_shows_nothing(example: Any) -> None:
    assert "How much of the teacher" not in render_page(example, aggregate(collect_results(example), example))
