"""The questions of rules about jobs; tests/workflow runs the rules themselves."""

import json
import re
import shlex
from pathlib import Path

import pytest

from kdpipe import catalog
from kdpipe.commands.rules import HELPERS, LONGEST_LINE, Rules
from kdpipe.plan.build import load_graph
from kdpipe.plan.jobs import all_jobs
from kdpipe.plan.model_stage import model_stages
from tests.workflow.conftest import ROOT


@pytest.fixture
def rules(config, graph_of, tmp_path):
    measure = {"models": ["teacher"], "latency": {"threads": 5}}
    graph = graph_of({"results": str(tmp_path), "threads": 3, "gpus": 2, "measure": measure})
    return Rules(graph, config, dry=False)


def test_every_stage_that_makes_no_model_has_wildcards_of_its_own():
    assert {*HELPERS.values()} == catalog.STAGES.keys() - model_stages().keys()


def test_wildcards_say_which_job_is_meant(rules):
    assert rules.job({"model": "base"}).stage == "pretrain"
    assert rules.job({"model": "base"}) is rules.job({"model": "base"})
    assert rules.job({"model": "teacher", "dataset": "task"}).stage == "evaluate"
    assert rules.job({"submitted": "teacher", "dataset": "task"}).stage == "submit"
    assert rules.job({"counted": "task", "tokenizer": "base"}).stage == "count_tokens"
    assert rules.job({"measured": "teacher"}).stage == "measure"
    assert rules.job({}).stage == "report"
    assert rules.job({"cards": "cards"}).stage == "card"


def test_only_trainings_have_a_process_for_each_gpu(rules):
    assert rules.training({"model": "teacher"}) == "kdpipe.runner.launch 2 finetune"
    assert rules.program({"model": "small"}) == "kdpipe.stages.extract"
    assert [rules.threads({"model": name}) for name in ("teacher", "small")] == [3, 1]
    assert rules.threads({"measured": "teacher"}) == 5


def test_more_is_asked_for_at_each_attempt(rules):
    asked = [(rules.memory({"model": "teacher"}, n), rules.runtime({"model": "teacher"}, n)) for n in (1, 2)]
    assert all(later > earlier for earlier, later in zip(*asked, strict=True))


def test_only_who_shares_signals_is_told_where_they_lie(rules, graph_of):
    (key,) = rules.graph.caches
    names = dict(zip(("teacher", "dataset", "key"), key, strict=True))
    assert rules.caching(names) == "--limit-gb 50.0"
    shared = Rules(graph_of({"knowledge_dir": "/all/who share", "cache_limit_gb": 7}), {}, dry=False)
    assert shared.caching(names) == "--limit-gb 7.0 --knowledge-dir '/all/who share'"


def test_inputs_are_those_of_the_stage_and_no_others(rules):
    named = {"model": ["a/SHA256SUMS"], "data": "b/SHA256SUMS", "counts": [], "files": ["c.tsv"]}
    assert rules.inputs({"model": "teacher"}, named) == "--data b/SHA256SUMS --model a/SHA256SUMS"
    found = "rule finetune: it names 'base', which its stage does not read; its stage reads 'model', which"
    with pytest.raises(LookupError, match=found):
        rules.inputs({"model": "teacher"}, named | {"model": [], "base": ["a/SHA256SUMS"]})


def test_what_is_longer_than_a_command_line_stands_in_a_file(rules):
    paths = [f"data/{'x' * 100}{number}" for number in range(LONGEST_LINE // 100)]
    given = rules.inputs({"model": "teacher"}, {"model": ["a"], "data": paths})
    (word,) = shlex.split(given)
    assert json.loads(Path(word.removeprefix("@")).read_text()) == ["--data", *paths, "--model", "a"]


@pytest.mark.parametrize(
    "files",
    [["config.yaml"], ["config/rosita.yaml"], ["config/minidisc.yaml", "config/maxidisc.yaml"]],
    ids=lambda files: files[-1],
)
def test_the_rules_name_all_that_the_stages_read(files):
    text = "".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    rules = re.findall(r"use rule \w+ as (\w+) with:\n    input:\n((?: {8}.*\n)*)", text)
    named = {stage: set(re.findall(r'read\("(\w+)"\)', inputs)) for stage, inputs in rules}
    for job in all_jobs(load_graph([ROOT / file for file in files])):
        assert {option for option, folders in job.inputs.items() if folders} <= named[job.stage], job.stage
