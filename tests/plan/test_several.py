"""What follows from a model of several datasets: its heads, data, caches and scores, and what is wrong."""

import pytest

from kdpipe.plan.jobs import job_of

NUMBERS = {"source": "glue", "name": "STS-B", "path": "glue/STS-B", "max_length": 64}
STUDENT = "models.student.distill"
SEVERAL = {
    "datasets.numbers": NUMBERS,
    "models.other": {"finetune": {"model": "base", "dataset": "numbers"}},
    f"{STUDENT}.dataset": ["task", "numbers"],
    f"{STUDENT}.teacher": {"task": "teacher", "numbers": "other"},
    f"{STUDENT}.losses": [{"loss": "kl"}, {"loss": "hidden_mse", "layers": "spaced", "dataset": "task"}],
}
TUNED = {"models.tuned": {"finetune": {"model": "small", "dataset": ["task", "numbers"]}}}


def test_it_has_a_head_for_each(graph_of):
    graph = graph_of({**SEVERAL, **TUNED, "models.cut": {"prune": {"model": "student", "sparsity": 0.5}}})
    for name in ("student", "tuned", "cut"):
        assert graph.facts[name].heads == {
            "task": ("classification", ("0", "1")),
            "numbers": ("regression", None),
        }
        assert graph.evaluated_on(name) == ("task", "numbers")
    assert graph.facts["student"].on("numbers").tasks == ("regression",)
    one = graph_of({**SEVERAL, "models.one": {"finetune": {"model": "student", "dataset": "task"}}}).facts[
        "one"
    ]
    assert (one.head, one.heads) == ("classification", {})


def test_it_reads_each_dataset_and_each_cache(graph_of):
    graph = graph_of(SEVERAL)
    job = job_of(graph, "distill", "student")
    assert [folder.parts[-2] for folder in job.inputs["data"]] == ["task", "numbers"]
    assert [folder.name for folder in job.inputs["teacher"]] == ["teacher", "other"]
    assert [folder.parts[-3:-1] for folder in job.inputs["knowledge"]] == [
        ("teacher", "task"), ("other", "numbers"),
    ]  # fmt: skip
    signals = {key[0]: settings.signals for key, settings in graph.caches.items()}
    assert signals["other"] == ("logits",)
    assert len(signals["teacher"]) == 4


def test_its_units_are_scored_on_each_dataset_or_on_some(graph_of):
    cut = {"prune": {"model": "student", "sparsity": 0.5}}
    graph = graph_of({**SEVERAL, "models.cut": cut})
    assert {key[:2] for key in graph.importances} == {("student", "task"), ("student", "numbers")}
    assert len(job_of(graph, "prune", "cut").inputs["importance"]) == 2
    one = graph_of({**SEVERAL, "models.cut": cut, "models.cut.prune.importance": {"dataset": ["numbers"]}})
    assert {key[:2] for key in one.importances} == {("student", "numbers")}


def test_names_run_over_the_matrix(graph_of):
    graph = graph_of({
        "matrix": {"name": ["MRPC", "RTE"]},
        "datasets.{name}": {"source": "glue", "name": "{name}", "path": "glue/{name}"},
        "models.teacher-{name}": {"finetune": {"model": "base", "dataset": "{name}"}},
        f"{STUDENT}.dataset": ["{name}"],
        f"{STUDENT}.teacher": {"{name}": "teacher-{name}"},
    })  # fmt: skip
    settings = graph.nodes["student"].settings
    assert settings.datasets == ("MRPC", "RTE")
    assert settings.teacher == {"MRPC": "teacher-MRPC", "RTE": "teacher-RTE"}


def test_importance_runs_over_the_matrix_and_no_key_is_named_twice(graph_of, mistakes_of):
    matrix = {
        "matrix": {"name": ["MRPC", "WNLI"]},
        "datasets.{name}": {"source": "glue", "name": "{name}", "path": "glue/{name}"},
        "models.tuned": {"finetune": {"model": "small", "dataset": ["{name}"]}},
        "models.cut": {"prune": {"model": "tuned", "sparsity": 0.5, "importance": {"dataset": ["{name}"]}}},
    }
    graph = graph_of(matrix)
    assert {key[:2] for key in graph.importances} == {("tuned", "MRPC"), ("tuned", "WNLI")}
    twice = {f"{STUDENT}.teacher": {"{name}": "teacher", "MRPC": "teacher"}, f"{STUDENT}.dataset": ["{name}"]}
    assert mistakes_of({**matrix, **twice}) == [
        f"{STUDENT}.teacher.MRPC: 'MRPC' is named twice; name it once"
    ]


def test_a_training_takes_the_time_of_all_its_rows(graph_of):
    rows = {"datasets.task.rows": 2000, "datasets.numbers.rows": 1000}
    costs = []
    for datasets in ("task", ["task", "numbers"]):
        tuned = {"models.tuned": {"finetune": {"model": "small", "dataset": datasets}}}
        graph = graph_of({**SEVERAL, **rows, **tuned})
        costs.append(graph.stage_of("tuned").cost(graph, job_of(graph, "finetune", "tuned")).operations)
    assert costs[1] == pytest.approx(1.5 * costs[0], rel=0.01)


@pytest.mark.parametrize("given", [
    ({f"{STUDENT}.teacher": {"task": "other", "numbers": "teacher"}},
     "models.student.distill.teacher: 'task' is for classification, but 'other' has a head for regression;"
     " name a model trained for classification",
     "models.student.distill.teacher: 'numbers' is for regression, but 'teacher' has a head for"
     " classification; name a model trained for regression"),
    ({f"{STUDENT}.teacher": "teacher"},
     "models.student.distill.teacher: 'numbers' is for regression, but 'teacher' has a head for"
     " classification; name a model trained for regression"),
    ({f"{STUDENT}.dataset": ["task", "text"], f"{STUDENT}.teacher": {"task": "teacher", "text": "base"}},
     "models.student.distill.dataset: 'text' is for language_modeling; several datasets are learned together"
     " for tasks"),
    ({"datasets.films": {**NUMBERS, "name": "SST-2", "path": "glue/SST-2", "labels": {"from": "judge"}},
      "datasets.named": {"source": "table", "task": "classification", "text": "t", "label": "l", "path": "n",
                         "classes": ["bad", "good"]},
      "models.judge": {"finetune": {"model": "base", "dataset": "named"}}},
     "datasets.films.labels.from: the model gives the labels bad, good, but the source has 0, 1; name them"
     " alike"),
    ({f"{STUDENT}.training": {"metric_for_best_model": "task_accuracy:x"}},
     "models.student.distill.training.metric_for_best_model: 'task' and 'numbers' have no metric"
     " 'task_accuracy:x'; did you mean 'task_accuracy'?"),
    ({f"{STUDENT}.teacher": {"task": ["teacher", "other"], "numbers": "other"}},
     "models.student.distill.teacher: expected a model for each dataset, or {column, models}, found"
     " {'numbers': 'other', 'task': ['teacher', 'other']}"),
    ({f"{STUDENT}.dataset": ["task", "numbers", "task"]},
     "models.student.distill.dataset: 'task' stands 2 times; name it once"),
    ({f"{STUDENT}.dataset": ["task", "number"]},
     "models.student.distill.teacher.numbers: 'numbers' is no dataset here; did you mean 'number'?"),
    ({f"{STUDENT}.training": {"metric_for_best_model": "accuracy"}},
     "models.student.distill.training.metric_for_best_model: 'task' and 'numbers' have no metric 'accuracy';"
     " did you mean 'task_accuracy'?"),
    ({"models.assistant": {"schedule": {"teacher": "student", "dataset": "task", "target": 0.9}}},
     "models.assistant.schedule.teacher: 'student' has a head for each of task, numbers; an assistant is made"
     " of a model with one"),
    ({"models.again": {"distill": {"teacher": "student", "student": "small", "dataset": "wnli",
                                   "losses": [{"loss": "kl"}]}},
      "datasets.wnli": {"source": "glue", "name": "WNLI", "path": "glue/WNLI"}},
     "models.again.distill.teacher: 'wnli' is for classification, but 'student' has a head for each of"
     " task, numbers; name a model with one head, trained for classification"),
    ({**TUNED, "models.best": {"select": {"among": ["tuned", "teacher"], "dataset": "task"}}},
     "models.best.select.among: all candidates must have heads for the same datasets"),
])  # fmt: skip
def test_what_is_wrong_is_told_at_its_place(mistakes_of, given):
    changes, *found = given
    assert mistakes_of({**SEVERAL, **changes}) == found


def test_a_metric_of_one_dataset_may_choose(mistakes_of):
    chosen = {f"{STUDENT}.training": {"metric_for_best_model": "numbers_pearson"}}
    assert mistakes_of({**SEVERAL, **chosen}) == []
