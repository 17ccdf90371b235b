"""Names of modules in a config: what the weights of a local model rule out is told, and nothing else is."""

from pathlib import Path
from typing import Any

import pytest

STUDENT = "models.student.distill"


@pytest.fixture
def matched(language_model: Path, mistakes_of):
    """A function from names of modules of a teacher and a student to the mistakes."""

    def mistakes(theirs: str, ours: str, **models: Any) -> list[str]:
        found: list[str] = mistakes_of({
            "datasets.task.max_length": 64,
            "datasets.text.max_length": 64,
            "models.base": {"load": {"path": str(language_model)}},
            **{f"models.{name}": made for name, made in models.items()},
            f"{STUDENT}.losses": [
                {"loss": "kl"},
                {"loss": "mmd", "modules": [["encoder", "encoder"], [theirs, ours]]},
            ],
        })  # fmt: skip
        return found

    return mistakes


@pytest.mark.parametrize("name", [
    "encoder.layer.3.attention.output", "encoder.layer.0.attention.self.query", "embeddings.LayerNorm",
    # Without weights, so that no file names them.
    "encoder.layer.3.intermediate.intermediate_act_fn", "embeddings.dropout",
    # A model with a head for tokens has none, and a classifier made of it has one.
    "pooler.dense",
])  # fmt: skip
def test_names_that_may_be_modules_pass(matched, name: str) -> None:
    assert matched(name, "encoder.layer.1") == []


@pytest.mark.parametrize(("name", "told"), [
    ("encoder.layer.4", "its blocks are encoder.layer.0 to encoder.layer.3"),
    ("encoder.layer.12.output.dense", "its blocks are encoder.layer.0 to encoder.layer.3"),
    ("encoder.layr.1.output", "did you mean 'encoder.layer.1.output'?"),
    ("encoder.layer.1.attention.selff.query", "did you mean 'encoder.layer.1.attention.self.query'?"),
    ("bert.encoder.layer.1.output", "did you mean 'encoder.layer.1.output'?"),
])  # fmt: skip
def test_a_teacher_without_the_module_is_refused(matched, name: str, told: str) -> None:
    where = f"{STUDENT}.losses[1].modules[1][0]"
    assert matched(name, "encoder.layer.1") == [f"{where}: 'teacher' has no {name!r}; {told}"]


def test_a_student_with_fewer_blocks_has_those_alone(matched) -> None:
    told = "'small' has no 'encoder.layer.2'; its blocks are encoder.layer.0 to encoder.layer.1"
    assert matched("encoder.layer.2", "encoder.layer.2") == [f"{STUDENT}.losses[1].modules[1][1]: {told}"]
    told = matched("encoder.layer.2", "encoder.layr.1")
    assert told == [f"{STUDENT}.losses[1].modules[1][1]: 'small' has no 'encoder.layr.1'; did you mean"
                    " 'encoder.layer.1'?"]  # fmt: skip
    distilbert = {"extract": {"model": "base", "layers": "first:2", "architecture": "distilbert"}}
    assert matched("encoder.layer.2", "encoder.layr.1", small=distilbert) == []


def test_names_of_models_that_are_not_there_pass(matched) -> None:
    trained = {"finetune": {"model": "base", "dataset": "task"}}
    chosen = {"select": {"among": ["one", "two"], "dataset": "task"}}
    assert matched("a.b", "encoder.layer.1", one=trained, two=trained, teacher=chosen) == []
    assert matched("a.b", "c.d", base={"load": {"path": "owner/model"}}) == []


def test_widths_of_modules_are_left_to_the_stage(matched, mistakes_of) -> None:
    narrow = {"create": {"architecture": {"family": "bert", "hidden_size": 24}, "tokenizer": "base"}}
    losses = [{"loss": "hidden_mse", "modules": [["encoder.layer.0.intermediate", "encoder.layer.0.output"]]}]
    assert matched("encoder", "encoder", small=narrow) == []
    assert mistakes_of({f"{STUDENT}.losses": losses}) == []
    of_layers = mistakes_of({f"{STUDENT}.losses": [{"loss": "hidden_mse"}]})
    assert any("give a `projection`" in what for what in of_layers)


def test_a_check_shows_the_names(graph_of) -> None:
    graph = graph_of({f"{STUDENT}.losses": [{"loss": "mmd", "modules": [["encoder", "layers.0"]]}]})
    node = graph.nodes["student"]
    assert "student: mmd modules: (teacher, student) (encoder, layers.0)" in [
        *graph.stage_of("student").remarks(graph, node)
    ]
