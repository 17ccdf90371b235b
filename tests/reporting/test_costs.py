from typing import Any

from kdpipe.plan.graph import Graph
from kdpipe.reporting.costs import Cost, read_ledger


def test_seconds_and_tokens_add_up_by_stage(example: Graph):
    ledger = read_ledger(example)
    assert ledger.costs == (
        Cost("finetune", jobs=8, seconds=16.0, examples=800, tokens=16000),
        Cost("cache_teacher", jobs=2, seconds=16.0, examples=0, tokens=0),
        Cost("evaluate", jobs=15, seconds=15.0, examples=0, tokens=0),
        Cost("preprocess", jobs=3, seconds=12.0, examples=0, tokens=0),
        Cost("distill", jobs=6, seconds=12.0, examples=600, tokens=12000),
        Cost("pretrain", jobs=1, seconds=2.0, examples=100, tokens=2000),
        Cost("extract", jobs=1, seconds=2.0, examples=0, tokens=0),
    )
    assert ledger.total == Cost("all", jobs=36, seconds=75.0, examples=1500, tokens=30000)


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
