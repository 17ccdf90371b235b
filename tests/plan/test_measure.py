"""Which models are measured, and what a measurement has to do with other jobs."""

from pathlib import Path

import pytest

from kdpipe.config.settings.measure import LatencySettings
from kdpipe.plan.jobs import all_jobs, job_of, jobs_for
from kdpipe.plan.resources import MINUTES, memory_mb, minutes
from kdpipe.plan.stage import definition

MATRIX = {
    "matrix": {"seed": [1, 2, 3]},
    "models.t-{seed}": {"finetune": {"model": "base", "dataset": "task"}},
}
SMALL = {"batch": [1], "length": [8]}
HUB = {"models.hub": {"load": {"path": "someone/something"}}}


def test_variables_run_over_all_their_values(graph_of):
    graph = graph_of({**MATRIX, "measure": {"models": ["student", "t-{seed}", "t-2", "base"]}})
    assert graph.measured == ("student", "t-1", "t-2", "t-3", "base")
    assert graph_of({"measure": {"models": "teacher"}}).measured == ("teacher",)
    assert graph_of({"measure": None}).measured == ()


def test_the_job_reads_the_model_and_is_told_the_batches(graph_of):
    latency = {"batch": [1, 8], "length": [16], "threads": 4}
    graph = graph_of({"results": "r", "measure": {"models": ["teacher"], "latency": latency}})
    job = job_of(graph, "measure", "teacher")
    assert job.folder == Path("r/measurements/teacher")
    assert job.inputs == {"model": [Path("r/models/teacher")]}
    assert job.settings == {"settings": LatencySettings.model_validate(latency)}
    assert "kdpipe.models.families.bert" in job.modules
    assert (definition("measure").threads(graph), definition("measure").group(graph, "teacher")) == (4, None)


def test_only_the_report_reads_measurements(graph_of):
    graph = graph_of({"measure": {"models": ["teacher", "student"]}})
    read_by = {job.stage for job in all_jobs(graph) if graph.layout.measurement("teacher") in job.reads()}
    assert read_by == {"report"}
    measured = [job.names for job in jobs_for(graph, ["student"]) if job.stage == "measure"]
    assert measured == [("student",)]


def test_other_batches_change_no_other_job_but_the_report(graph_of):
    def told(latency):
        graph = graph_of({"measure": {"models": ["teacher"], "latency": latency}})
        return {job.folder: job.decisive() for job in all_jobs(graph)}

    before, after = told(SMALL), told({**SMALL, "threads": 2})
    changed = {folder.parts[-2] for folder in before if before[folder] != after[folder]}
    assert changed == {"measurements", "results"}


def test_mistakes_are_told_with_their_places(mistakes_of):
    models = ["teacher", "techer", "t-{sd}", "t-{seed.size}", "t-4"]
    latency = {"batch": [1], "length": [64, 65], "threads": 1}
    assert mistakes_of({
        **MATRIX, "models.base.pretrain.architecture.max_position_embeddings": 64,
        "datasets.text.max_length": 64, "datasets.task.max_length": 64,
        "measure": {"models": models, "latency": latency},
    }) == [
        "measure.models[3]: seed 1 has no field 'size'; there is none",
        "measure.models[1]: there is no model 'techer'; did you mean 'teacher'?",
        "measure.models[2]: there is no model 't-{sd}'; the matrix has no variable 'sd'; "
        "did you mean 'seed'?",
        "measure.models[4]: there is no model 't-4'; did you mean 't-3'?",
        "measure.latency.length[1]: found 65, but 'teacher' reads at most 64 tokens; give shorter lengths",
    ]  # fmt: skip


def test_a_default_length_that_a_model_cannot_read(mistakes_of):
    assert mistakes_of({
        "models.base.pretrain.architecture.max_position_embeddings": 64,
        "datasets.text.max_length": 64, "datasets.task.max_length": 64, "measure": {"models": ["teacher"]},
    }) == [
        "measure.latency.length[1]: the default is 128, but 'teacher' reads at most 64 tokens; "
        "give shorter lengths"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("latency", "message"),
    [
        ({"batch": []}, "batch: expected at least one"),
        ({"batch": [1, 1]}, "batch: expected each number once, found (1, 1)"),
        ({"length": [0]}, "length[0]: "),
        ({"threads": 0}, "threads: "),
        ({"lenght": [1]}, "lenght: unknown key; did you mean 'length'?"),
    ],
)
def test_batches_that_there_cannot_be(mistakes_of, latency, message):
    [mistake] = mistakes_of({"measure": {"models": ["teacher"], "latency": latency}})
    assert mistake.startswith(f"measure.latency.{message}")


def test_a_model_whose_name_has_a_mistake_is_not_told_twice(mistakes_of):
    broken = {"models.a/{seed}": {"finetune": {"model": "base", "dataset": "task"}}}
    mistakes = mistakes_of({**MATRIX, **broken, "measure": {"models": ["a/{seed}"], "latency": SMALL}})
    assert len(mistakes) == 1
    assert not mistakes[0].startswith("measure")


def test_what_a_model_reads_goes_by_the_head_that_runs(mistakes_of):
    """A classifier of tokens has a prompt for each; texts of an EncT5 have any length."""
    enct5 = {"create": {"architecture": {"family": "enct5", "n_positions": 130}, "tokenizer": "base"}}
    tags = {"source": "conll", "path": "tags"}
    measure = {"models": ["texts", "tags", "both"], "latency": {"length": [200]}}
    assert mistakes_of({
        "datasets.tags": tags, "models.raw": enct5, "measure": measure,
        "models.texts": {"finetune": {"model": "raw", "dataset": "task"}},
        "models.tags": {"finetune": {"model": "raw", "dataset": "tags"}},
        "models.both": {"finetune": {"model": "raw", "dataset": ["tags", "task"]}},
    }) == [
        "measure.latency.length[0]: found 200, but 'tags' reads at most 130 tokens; give shorter lengths"
    ]  # fmt: skip


def test_what_is_not_known_of_a_model_passes(graph_of):
    measure = {"models": ["hub"], "latency": {"length": [5000]}}
    assert graph_of({**HUB, "measure": measure}).measured == ("hub",)


def test_more_is_asked_for_more_and_larger_batches(graph_of):
    def asked(**latency):
        graph = graph_of({**HUB, "measure": {"models": ["hub"], "latency": latency}})
        job = job_of(graph, "measure", "hub")
        return memory_mb(graph, job), minutes(graph, job)

    few, many = asked(**SMALL), asked(batch=[1, 256], length=[8, 512])
    assert few[1] == MINUTES
    assert many[0] > few[0]
    assert many[1] > asked(batch=[1, 256], length=[8, 512], threads=8)[1] > MINUTES
