from pathlib import Path
from typing import Any

import pytest

from kdpipe.plan.build import load_graph
from kdpipe.plan.graph import Graph
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.plan.stages.select import SelectSettings
from kdpipe.reporting.costs import ModelCost, Passes, StageCost, model_costs, read_ledger


def test_seconds_and_tokens_add_up_by_stage(example: Graph):
    ledger = read_ledger(example)
    assert ledger.costs == (
        StageCost("finetune", jobs=8, seconds=16.0, examples=800, tokens=16000),
        StageCost("cache_teacher", jobs=2, seconds=16.0, examples=0, tokens=0),
        StageCost("evaluate", jobs=15, seconds=15.0, examples=0, tokens=0),
        StageCost("preprocess", jobs=3, seconds=12.0, examples=0, tokens=0),
        StageCost("distill", jobs=6, seconds=12.0, examples=600, tokens=12000),
        StageCost("pretrain", jobs=1, seconds=2.0, examples=100, tokens=2000),
        StageCost("extract", jobs=1, seconds=2.0, examples=0, tokens=0),
    )
    assert ledger.total == StageCost("all", jobs=36, seconds=75.0, examples=1500, tokens=30000)


def test_scoring_units_is_a_cost(pruning: Graph):
    (cost,) = (cost for cost in read_ledger(pruning).costs if cost.stage == "score_importance")
    assert (cost.jobs, cost.seconds) == (1, 4)


def test_artifacts_of_other_configs_do_not_count(config: dict[str, Any], make_results: Any):
    before = read_ledger(make_results(config)).total
    del config["models"]["student-{task}-{seed}"]
    after = read_ledger(make_results(config)).total
    assert after.jobs == before.jobs - 6 - 6 - 2


def test_the_environment_names_versions_and_devices(example: Graph):
    environment = read_ledger(example).environment
    assert environment["device"] == "cpu"
    assert environment["python"].startswith("3.")


def costs_of(graph: Graph) -> dict[str, ModelCost]:
    return {cost.model: cost for cost in model_costs(graph)}


def test_every_ancestor_counts_once(pruning: Graph):
    """MiniDisc: base, teacher, cache and scores, assistant, its cut and cache, student; means of two runs."""
    assert costs_of(pruning)["mini-{seed}"] == ModelCost(
        "mini-{seed}",
        "distill",
        runs=2,
        ends=True,
        trainings=4,
        cost=Passes(forwards=3 * 100 + 700 + 2 * 50 + 32, backwards=3 * 100 + 700 + 32, seconds=30),
        uncached=Passes(
            forwards=3 * 100 + 700 + 2 * 100 + 32, backwards=3 * 100 + 700 + 32, seconds=30 - 2 * 8 + 2 * 16
        ),
    )


def test_a_choice_costs_all_that_was_tried(pruning: Graph):
    """MaxiDisc: two assistants of a teacher with one cache and one scoring, and two compared students."""
    assert costs_of(pruning)["maxi"] == ModelCost(
        "maxi",
        "select",
        runs=1,
        ends=True,
        trainings=6,
        cost=Passes(forwards=6 * 100 + 3 * 50 + 32, backwards=6 * 100 + 32, seconds=11 * 2 + 3 * 8 + 4 + 2),
        uncached=Passes(
            forwards=6 * 100 + 4 * 100 + 32, backwards=6 * 100 + 32, seconds=11 * 2 + 4 * 16 + 4 + 2
        ),
    )


def test_maxidisc_with_n_assistants_is_two_n_trainings_and_that_of_the_teacher():
    """MaxiDisc trains every assistant and compares every student; MiniDisc trains one of each."""
    configs = Path(__file__).parents[2] / "config"
    graph = load_graph([configs / "minidisc.yaml", configs / "maxidisc.yaml"])
    trainings = {name: cost.trainings for name, cost in costs_of(graph).items()}
    chosen = graph.nodes["maxidisc-mrpc-1"].settings
    assert isinstance(chosen, SelectSettings)
    assert len(chosen.among) == 8
    for student in chosen.among:
        settings = graph.nodes[student].settings
        assert isinstance(settings, DistillSettings)
        assert settings.teacher in (name.replace("trial", "trial-assistant") for name in chosen.among)
    assert trainings["maxidisc-mrpc-{seed}"] == 1 + 2 * 8
    assert trainings["minidisc-mrpc-{seed}"] == 1 + 2


def test_what_others_are_made_from_does_not_end(pruning: Graph):
    assert [cost.model for cost in model_costs(pruning) if cost.ends] == ["mini-{seed}", "maxi"]


def test_what_is_made_into_a_model_that_no_one_evaluates_ends(config: dict[str, Any], make_results: Any):
    config["models"]["student-{task}-{seed}"]["distill"]["evaluate"] = []
    config["models"]["plain-{task}-{seed}"]["finetune"]["evaluate"] = []
    ends = {cost.model for cost in model_costs(make_results(config)) if cost.ends}
    assert ends == {"teacher-mrpc", "teacher-sst2"}


def test_models_that_no_one_evaluates_have_no_row(pruning: Graph):
    assert list(costs_of(pruning)) == [
        "base",
        "teacher",
        "assistant-{seed}",
        "mini-{seed}",
        "ta-0.6",
        "ta-0.8",
        "maxi-0.6",
        "maxi-0.8",
        "maxi",
    ]


@pytest.mark.parametrize("cache", ["on", "off"])
def test_a_teacher_that_ran_beside_its_student_costs_as_it_did(
    config: dict[str, Any], make_results: Any, cache: str
):
    distill = config["models"]["student-{task}-{seed}"]["distill"]
    distill["cache"] = cache
    student = costs_of(make_results(config))["student-mrpc-{seed}"]
    assert (student.cost == student.uncached) == (cache == "off")
