"""What a check says of the room that a cache takes."""

import math
from dataclasses import replace

import pytest

from kdpipe.commands.describe import summary
from kdpipe.plan.capacity import tell_size
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings

LOSSES = "models.student.distill.losses"
HIDDEN = {"loss": "hidden_mse", "layers": "spaced"}
ATTENTIONS = {"loss": "attention_mse", "layers": [[4, 2]]}
QUESTIONS = {
    "datasets.task": {"source": "squad", "path": "squad", "max_length": 128, "stride": 32, "rows": 50}
}
RATINGS = {"datasets.task": {"source": "glue", "name": "STS-B", "path": "glue/STS-B", "rows": 1000}}
# Three states, 24 wide.
STATES = 3 * 24 * 128


def told(graph) -> str:
    (line,) = [line for line in summary(graph).splitlines() if "the cache of" in line]
    return line.removeprefix("the cache of teacher's signals on task: ")


@pytest.mark.parametrize(("settings", "size", "more"), [
    ({}, 2 * STATES, " and 4 bytes a logit"),
    ({"models.student.distill.cache_precision": "float32"}, 4 * STATES, " and 4 bytes a logit"),
    ({"models.student.distill.cache_precision": "bfloat16"}, 2 * STATES, " and 4 bytes a logit"),
    # Of one layer, two heads, and as many keys as queries.
    ({LOSSES: [ATTENTIONS]}, 2 * 2 * 128**2, ""),
    # Starts and ends; how many windows the contexts are cut into is not known.
    (QUESTIONS, 2 * STATES + 4 * 2 * 128, ""),
])  # fmt: skip
def test_what_an_example_takes_at_most(settings, size, more, graph_of):
    assert told(graph_of(settings)) == f"at most {size / 1e6:.3g} MB an example of 128 tokens{more}"


@pytest.mark.parametrize(("settings", "size", "rows"), [
    ({LOSSES: [HIDDEN], "datasets.task.rows": 500}, 2 * STATES, 500),
    ({LOSSES: [HIDDEN], "datasets.task.rows": {"train": 10, "test": 900}}, 2 * STATES, 10),
    (RATINGS, 2 * STATES + 4, 1000),
])  # fmt: skip
def test_what_the_rows_of_a_config_take_at_most(settings, size, rows, graph_of):
    assert told(graph_of(settings)).endswith(f" tokens, {rows * size / 1e9:.3g} GB for {rows:,} examples")


def test_of_logits_alone_what_a_logit_takes_is_told(graph_of):
    assert told(graph_of({LOSSES: [{"loss": "kl"}], "datasets.task.rows": 500})) == "4 bytes a logit"


def test_a_size_that_may_be_above_the_limit_is_told(graph_of):
    small = {LOSSES: [HIDDEN], "datasets.task.rows": 500}
    assert told(graph_of({**small, "cache_limit_gb": 0.001})).endswith(
        " for 500 examples, which may be more than cache_limit_gb 0.001"
    )


def test_the_largest_logits_are_counted(graph_of):
    few = {LOSSES: [{"loss": "kl", "top_k": 1}], "datasets.task.rows": 500}
    # Two logits and an entry, 4 bytes each.
    assert f"at most {3 * 4 / 1e6:.3g} MB an example" in told(graph_of(few))


def test_logits_of_text_are_as_many_as_the_vocabulary_for_each_masking(graph_of):
    text = {
        "models.d": {
            "distill": {
                "teacher": "base", "student": "small", "dataset": "text", "cache": True,
                "losses": [{"loss": "kl"}], "masking": {"fixed": 3},
            }
        }
    }  # fmt: skip
    graph = graph_of(text)
    length, vocabulary = graph.datasets["text"].max_length, graph.facts["base"].shape.vocabulary
    (line,) = [line for line in summary(graph).splitlines() if "base's signals on text" in line]
    size = 3 * 4 * math.ceil(0.15 * length) * vocabulary
    assert f"at most {size / 1e6:.3g} MB an example of {length} tokens" in line


def test_what_modules_give_is_at_most_as_wide_as_neurons(graph_of):
    graph = graph_of()
    shape = graph.facts["teacher"].shape
    for family, signal, width in (
        ("bert", "module.pooler", 96),
        ("bert", "queries.1", 24),
        # Heads of T5 may be wider together than its states.
        ("enct5", "queries.1", 96),
    ):
        shape = replace(shape, family=family, neurons=96)
        graph.facts["teacher"] = replace(graph.facts["teacher"], shape=shape)
        said = tell_size(graph, "teacher", "task", CacheTeacherSettings(signals=(signal,)))
        assert f"at most {2 * width * 128 / 1e6:.3g} MB" in said


def test_a_teacher_that_is_not_fetched_yet(graph_of):
    graph = graph_of({
        "models.base": {"load": {"path": "a/b"}},
        "models.small.extract.layers": [0, 1],
        LOSSES: [{"loss": "hidden_mse", "layers": [[0, 0]]}],
    })  # fmt: skip
    assert told(graph) == "its size is known once teacher is fetched"


def test_a_teacher_beside_its_student_takes_none(graph_of):
    assert "the cache of" not in summary(graph_of({"models.student.distill.cache": "off"}))
