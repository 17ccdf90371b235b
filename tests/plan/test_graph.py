from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from kdpipe.digest import digest
from kdpipe.plan.distillation import cache_settings, is_cached, layer_pairs
from kdpipe.plan.jobs import all_jobs, job_of
from kdpipe.plan.model_stage import key_of
from kdpipe.plan.stage import definition
from kdpipe.plan.stages.cache_teacher import LayerMapSettings
from kdpipe.plan.stages.preprocess import preprocess_settings

# Stages that are told the whole config.
WHOLE = ("report", "card")
LOSSES: list[dict[str, Any]] = [{"loss": "kl", "temperature": 2}, {"loss": "hidden_mse", "layers": "spaced"}]


@pytest.fixture
def siblings(graph_of, config):
    """A function that returns the graph of two students that differ by some changes."""

    def build(**changes):
        student = {**config["models"]["student"]["distill"], "losses": LOSSES}
        changed = {**deepcopy(student), **changes}
        return graph_of({"models.one": {"distill": student}, "models.other": {"distill": changed}})

    return build


def settings_of(graph, stage, *names):
    return job_of(graph, stage, *names).settings["settings"]


def keys(graph, *names):
    return [key_of(cache_settings(graph, graph.nodes[name].settings.lessons[0])) for name in names]


@pytest.mark.parametrize(("evaluate", "scored"), [
    (None, ("task",)), ([], ()), ("more", ("more",)), (["task", "more"], ("task", "more")),
])  # fmt: skip
def test_what_a_model_is_scored_on(graph_of, evaluate, scored):
    graph = graph_of({
        "datasets.more": {"source": "glue", "name": "MRPC", "path": "glue"},
        "models.teacher.finetune.evaluate": evaluate,
    })  # fmt: skip
    assert graph.evaluated_on("teacher") == scored
    assert [dataset for name, dataset in graph.evaluations if name == "teacher"] == list(scored)


@pytest.mark.parametrize(("made", "scored"), [
    ({"augment": {"dataset": "task", "method": "mask"}}, "task"),
    ({"combine": ["task", "more"]}, "task"),
    ({"augment": {"dataset": "both", "method": "mask"}}, "task"),
    # Other rows, or the same in another way.
    ({"augment": {"dataset": "task", "method": "mask"}, "max_length": 64}, "made"),
    ({"combine": ["task", "more"], "metrics": ["f1"]}, "made"),
    ({"combine": ["task", "more"], "rows": {"train": 5}}, "task"),
    ({"combine": ["task", "more"], "rows": {"validation": 5}}, "made"),
])  # fmt: skip
def test_models_of_the_same_held_out_rows_are_scored_alike(graph_of, made, scored):
    graph = graph_of({
        "datasets.more": {"source": "glue", "name": "MRPC", "path": "glue"},
        "datasets.both": {"combine": ["task", "more"]},
        "datasets.made": made,
        "models.student.distill.dataset": "made",
        "models.two": {"finetune": {"model": "base", "dataset": ["made", "more"]}},
    })  # fmt: skip
    assert graph.evaluated_on("teacher") == ("task",)
    assert graph.evaluated_on("student") == (scored,)
    assert definition("evaluate").group(graph, "student", scored) == "train-student"
    # Several heads go by the names of their datasets.
    assert graph.evaluated_on("two") == ("made", "more")


def test_where_no_model_learns_from_the_original_copies_are_their_own(graph_of):
    copies = {"augment": {"dataset": "task", "method": "mask"}}
    graph = graph_of({
        "datasets.made": copies,
        "models.teacher.finetune.dataset": "made",
        "models.student.distill.dataset": "made",
    })  # fmt: skip
    assert graph.evaluated_on("teacher") == graph.evaluated_on("student") == ("made",)


def test_what_is_made_without_a_dataset_is_not_scored(graph_of):
    assert graph_of().evaluations == (("base", "text"), ("teacher", "task"), ("student", "task"))


def test_candidates_are_scored_on_what_decides(graph_of):
    graph = graph_of({
        "models.teacher.finetune.evaluate": [],
        "models.best": {"select": {"among": ["teacher", "student"], "dataset": "task"}},
    })  # fmt: skip
    assert graph.evaluations == (("base", "text"), ("student", "task"), ("best", "task"), ("teacher", "task"))


@pytest.mark.parametrize(("changes", "cached"), [
    ({}, True),
    ({"cache": "auto"}, True),
    ({"cache": "off"}, False),
    ({"cache": "on"}, True),
    ({"losses": [{"loss": "hard"}]}, False),
    ({"losses": [{"loss": "hard"}, {"loss": "kl", "weight": 0}]}, False),
    ({"teacher": "base", "dataset": "text", "losses": [{"loss": "kl"}]}, False),
])  # fmt: skip
def test_a_teacher_is_cached_on_task_data_unless_told_otherwise(siblings, changes, cached):
    graph = siblings(**changes)
    assert is_cached(graph, graph.nodes["other"].settings.lessons[0]) is cached


def test_a_cache_holds_what_the_terms_read(siblings):
    graph = siblings(
        losses=[{"loss": "cosine", "layers": [[4, 2], [1, 0]]}, {"loss": "hidden_mse", "layers": "last"}]
    )
    one, other = (cache_settings(graph, graph.nodes[name].settings.lessons[0]) for name in ("one", "other"))
    states = tuple(f"hidden_states.{state}" for state in (0, 2, 4))
    assert (one.signals, one.maps, one.precision) == ((*states, "logits"), (), "float16")
    assert other.signals == ("hidden_states.1", "hidden_states.4")


def test_terms_that_are_not_computed_are_not_cached(siblings):
    graph = siblings(losses=[{"loss": "kl"}, {"loss": "cosine", "weight": 0}])
    settings = cache_settings(graph, graph.nodes["other"].settings.lessons[0])
    assert (settings.signals, settings.precision) == (("logits",), "float32")


@pytest.mark.parametrize("changes", [
    {"seed": 7, "cache": "on", "freeze": ["a"]},
    {"training": {"num_train_epochs": 9, "learning_rate": 1}},
    {"training": {"fp16": False}},
    {"losses": [{**LOSSES[0], "temperature": 8, "weight": 3}, {**LOSSES[1], "weight": 0.1}]},
    {"losses": [{"loss": "cosine", "layers": [[4, 2], [2, 1], [0, 0]]}, {"loss": "logit_mse"}]},
    {"losses": [*LOSSES, {"loss": "cosine", "weight": 0}, {"loss": "hard"}]},
    {"losses": [LOSSES[0], {**LOSSES[1], "projection": {"kind": "relu"}}]},
])  # fmt: skip
def test_siblings_share_a_cache(siblings, changes):
    graph = siblings(**changes)
    first, second = keys(graph, "one", "other")
    assert first == second
    assert list(graph.caches) == [("teacher", "task", first)]


@pytest.mark.parametrize("changes", [
    {"losses": [LOSSES[0], {"loss": "hidden_mse", "layers": "last"}]},
    {"losses": LOSSES[:1]},
    {"losses": LOSSES[1:]},
    {"cache_precision": "float32"},
    {"training": {"bf16": True}},
    {"training": {"fp16": True}},
    {"training": {"tf32": False}},
])  # fmt: skip
def test_other_signals_or_precisions_are_other_caches(siblings, changes):
    first, second = keys(siblings(**changes), "one", "other")
    assert first != second


def test_a_key_depends_neither_on_names_nor_on_the_student(graph_of, config):
    student = {**config["models"]["student"]["distill"], "losses": LOSSES}
    graph = graph_of({
        "models.large": {"extract": {"model": "base", "layers": [3, 1]}},
        "models.again": {"finetune": {"model": "base", "dataset": "task", "seed": 1}},
        "models.one": {"distill": student},
        "models.other": {"distill": {**student, "student": "large"}},
        "models.third": {"distill": {**student, "teacher": "again"}},
    })  # fmt: skip
    assert len(set(keys(graph, "one", "other", "third"))) == 1
    assert {(teacher, dataset) for teacher, dataset, _ in graph.caches} == {
        ("teacher", "task"),
        ("again", "task"),
    }


def test_maps_are_left_open_while_the_depth_of_the_teacher_is_unknown(graph_of):
    graph = graph_of({
        "models.hub": {"load": {"path": "a/b"}},
        "models.tuned": {"finetune": {"model": "hub", "dataset": "task"}},
        "models.cut": {"extract": {"model": "hub", "layers": "first:3"}},
        "models.student.distill.teacher": "tuned",
        "models.student.distill.student": "cut",
        "models.student.distill.losses": [
            {"loss": "hidden_mse", "layers": "spaced"}, {"loss": "cosine", "layers": "spaced"},
            {"loss": "cosine", "layers": "last"}, {"loss": "cosine", "layers": [[7, 1]]},
            {"loss": "attention_mse", "layers": "spaced"},
        ],
    })  # fmt: skip
    settings = graph.nodes["student"].settings
    assert [pairs for _, pairs in layer_pairs(graph, settings.lessons[0])] == [
        None,
        None,
        None,
        ((7, 1),),
        None,
    ]
    states = ("hidden_states",)
    cache = cache_settings(graph, settings.lessons[0])
    assert cache.signals == ("hidden_states.7",)
    assert cache.maps == tuple(
        LayerMapSettings(kinds=kinds, layers=layers, student_depth=3)
        for kinds, layers in ((states, "last"), (("attentions",), "spaced"), (states, "spaced"))
    )
    assert cache.precision == "float16"


def test_what_is_submitted_and_under_which_names(graph_of):
    graph = graph_of({
        "datasets.inference": {"source": "glue", "name": "MNLI", "path": "MNLI"},
        "models.teacher.finetune.submit": "inference",
        "models.teacher.finetune.dataset": "inference",
        "models.student.distill.dataset": "inference",
    })  # fmt: skip
    assert graph.submissions == (("teacher", "inference"),)
    named = {"test": "MNLI-m", "test_mismatched": "MNLI-mm"}
    assert settings_of(graph, "submit", "teacher", "inference").files == named
    assert settings_of(graph, "submit", "teacher", "text").files == {}


def test_a_choice_is_made_by_the_first_metric_of_its_dataset(graph_of):
    chosen = {
        metrics: graph.metric_of(graph.nodes["best"].settings)
        for metrics in (("f1", "accuracy"), ("accuracy", "f1"))
        for graph in [
            graph_of({
                "datasets.task.metrics": list(metrics),
                "models.best": {"select": {"among": ["student"], "dataset": "task"}},
            })
        ]
    }  # fmt: skip
    assert chosen == {("f1", "accuracy"): "f1", ("accuracy", "f1"): "accuracy"}


def test_settings_of_preprocessing(graph_of, monkeypatch):
    monkeypatch.setenv("KDPIPE_DATA", "/data")
    graph = graph_of({
        "seed": 5,
        "datasets.task.rows": 100,
        "datasets.more": {"source": "glue", "name": "SST-2", "path": "glue"},
        "datasets.all": {"combine": ["task", "more"], "rows": {"train": 10}, "max_length": 32},
        "datasets.all.labels": "none",
    })  # fmt: skip
    settings = preprocess_settings(graph, "task")
    assert settings.model_dump(exclude_defaults=True) == {
        "sources": ({"source": "glue", "name": "MRPC", "path": "/data/glue/MRPC", "rows": 100},),
        "task": "classification", "max_length": 128, "seed": 5,
    }  # fmt: skip
    both = preprocess_settings(graph, "all")
    assert (len(both.sources), both.rows, both.labels, both.max_length) == (2, {"train": 10}, "none", 32)


def test_all_models_are_scored_on_the_same_masks(graph_of):
    settings = settings_of(graph_of({"seed": 5}), "evaluate", "teacher", "task")
    assert (settings.seed, settings.metrics) == (5, ("accuracy", "f1", "accuracy_and_f1"))


EVAL = "per_device_eval_batch_size"


def test_a_model_is_scored_in_batches_of_its_own_training_or_of_those_that_it_is_read_for(graph_of):
    graph = graph_of({f"models.student.distill.training.{EVAL}": 8})
    assert [graph.eval_batch_size(name) for name in graph.nodes] == [None, 8, 8, 8]
    assert settings_of(graph, "evaluate", "teacher", "task").eval_batch_size == 8
    assert settings_of(graph, "submit", "student", "task").eval_batch_size == 8
    assert [cache.eval_batch_size for cache in graph.caches.values()] == [8]
    graph = graph_of({f"models.teacher.finetune.training.{EVAL}": 16})
    assert [graph.eval_batch_size(name) for name in graph.nodes] == [16, 16, 8, 8]


def test_how_many_examples_are_scored_at_once_makes_nothing_again(graph_of):
    before = {job.folder: job.decisive() for job in all_jobs(graph_of()) if job.stage not in WHOLE}
    graph = graph_of({f"models.student.distill.training.{EVAL}": 8})
    after = {job.folder: job.decisive() for job in all_jobs(graph) if job.stage not in WHOLE}
    assert before == after
    told = {job.stage: job.arguments()["settings"] for job in all_jobs(graph) if "settings" in job.settings}
    assert f'"{EVAL}":8' in told["distill"]
    assert all('"eval_batch_size":8' in told[stage] for stage in ("evaluate", "cache_teacher"))


def test_artifacts_lie_below_the_results(graph_of):
    assert graph_of({"results": "x/y"}).layout.model("base") == Path("x/y/models/base")


def test_a_digest_depends_on_content_and_not_on_order():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": [1, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest({})) == 12
