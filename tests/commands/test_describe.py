import re
from types import NoneType

import pytest

from kdpipe import catalog
from kdpipe.commands.describe import describe, describe_graph, meanings, mermaid, summary, summary_of
from kdpipe.commands.listing import list_names
from kdpipe.commands.tables import aligned
from kdpipe.config.document import Document
from kdpipe.config.settings.augmentation import LabelSettings, augmentation_settings
from kdpipe.config.settings.base import UNAVAILABLE, Settings
from kdpipe.config.settings.dataset import AugmentedSettings, CombineSettings, source_settings
from kdpipe.config.settings.losses import term_settings
from kdpipe.plan.model_stage import model_stages


def test_a_table_has_aligned_columns():
    assert aligned([("a", "bb", "c"), ("dddd", "e", "")]) == ["a     bb  c", "dddd  e"]


def test_the_summary_has_shapes_pairs_and_numbers(graph_of):
    lines = summary(graph_of({"models.hub": {"load": {"path": "a/b"}}})).splitlines()
    assert lines[0].split() == [
        "model",
        "stage",
        "family",
        "depth",
        "width",
        "heads",
        "sparsity",
        "vocabulary",
        "head",
    ]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:6]}
    assert rows["base"] == ["pretrain", "bert", "4", "24", "2", "0", "500", "language_modeling"]
    assert rows["student"] == ["distill", "bert", "2", "24", "2", "0", "500", "classification"]
    assert rows["hub"] == ["load", "?", "?", "?", "?", "?", "?", "?"]
    assert "student: hidden_mse spaced: (teacher, student) (0, 0) (2, 1) (4, 2)" in lines
    assert lines[-1] == (
        "5 models (1 pretrain, 1 load, 1 finetune, 1 extract, 1 distill), 2 datasets, 1 teacher cache, "
        "3 evaluations; no mistakes"
    )


def test_measurements_are_counted(graph_of):
    lines = summary(graph_of({"measure": {"models": ["teacher"]}})).splitlines()
    assert lines[-1].endswith("3 evaluations, 1 measurement; no mistakes")
    assert re.search(r"^models +required +the models; variables", describe("measure"), re.MULTILINE)
    assert re.search(r"^length +\[32, 128\] +tokens of each text", describe("latency"), re.MULTILINE)


def test_of_models_that_lose_units_the_sparsity_is_shown(graph_of):
    text = summary(graph_of({
        "models.cut": {"prune": {"model": "teacher", "sparsity": 0.75}},
        "models.halved": {"prune": {"model": "teacher", "heads": 1}},
        "models.narrow": {"prune": {"model": "teacher", "intermediate_size": 8}},
        "models.assistant": {"schedule": {"teacher": "teacher", "dataset": "task", "target": 0.9}},
    }))  # fmt: skip
    rows = {line.split()[0]: re.split(r"  +", line)[5:7] for line in text.splitlines() if "24" in line}
    assert rows["cut"] == ["up to 2", "0.75"]
    assert rows["halved"] == ["up to 1", "?"]
    assert rows["narrow"] == ["2", "0"]
    assert rows["assistant"] == ["up to 2", "0.5 or more"]


def test_a_model_without_head_has_none(graph_of):
    create = {"architecture": {"family": "bert"}, "tokenizer": "base"}
    assert re.search(
        r"^a +create .* none$", summary(graph_of({"models.a": {"create": create}})), re.MULTILINE
    )


def test_pairs_that_are_not_known_yet(graph_of):
    text = summary(graph_of({
        "models.hub": {"load": {"path": "a/b"}},
        "models.student.distill.teacher": "hub", "models.student.distill.student": "cut",
        "models.cut": {"extract": {"model": "hub", "layers": "first:3"}},
    }))  # fmt: skip
    assert "student: hidden_mse spaced: (teacher, student) known once the models are fetched" in text


def test_the_states_of_an_assistants_loss_are_shown(graph_of):
    text = summary(graph_of({
        "models.raw": {"create": {"architecture": {"family": "bert"}, "tokenizer": "base"}},
        "models.twelve": {"finetune": {"model": "raw", "dataset": "task"}},
        "models.assistant": {"schedule": {"teacher": "twelve", "dataset": "task", "target": 0.9}},
    }))  # fmt: skip
    states = " ".join(f"({state}, {state})" for state in range(0, 13, 2))
    assert f"assistant: hidden_mse sixths: (teacher, student) {states}" in text


def test_of_a_matrix_the_first_models_are_shown(graph_of):
    text = summary(graph_of({
        "matrix": {"seed": list(range(9))},
        "models.t-{seed}": {"finetune": {"model": "base", "dataset": "task"}},
    }))  # fmt: skip
    assert [line.split()[0] for line in text.splitlines() if line.startswith("t-")] == [
        "t-0", "t-1", "t-2", "t-{seed}:"
    ]  # fmt: skip
    assert "t-{seed}: 9 models, 3 are shown" in text
    assert "13 models" in text


def test_a_graph_as_text(graph_of):
    more = {"source": "glue", "name": "SST-2", "path": "glue"}
    graph = graph_of({
        "datasets.both": {"combine": ["task", "more"]},
        "datasets.more": more,
        "datasets.copies": {"augment": {"dataset": "task", "method": "masked_lm", "model": "base"}},
        "datasets.texts": {"source": "text", "path": "t", "labels": {"from": "teacher"}},
    })  # fmt: skip
    lines = describe_graph(graph).splitlines()
    assert "text  (language_modeling, pydoc)" in lines
    assert "both  (classification, glue + glue, combine task, combine more)" in lines
    assert "copies  (classification, glue, augment.dataset task, augment.model base)" in lines
    assert "texts  (classification, text, labels.from teacher)" in lines
    assert "base  pretrain(dataset text)  -> scored on text" in lines
    assert "small  extract(model base)" in lines
    assert "student  distill(teacher teacher, dataset task, student small)  -> scored on task" in lines


def test_a_graph_as_mermaid(graph_of):
    copies = {"dataset": "task", "method": "masked_lm", "model": "base"}
    lines = mermaid(graph_of({"datasets.copies": {"augment": copies}})).splitlines()
    assert lines[0] == "flowchart LR"
    nodes = {
        name: key
        for line in lines
        if (match := re.match(r'  (\w+)\[\(?"([^"<]+)', line))
        for key, name in [match.groups()]
    }
    assert nodes.keys() == {"text", "task", "copies", "base", "teacher", "small", "student"}
    assert f"  {nodes['task']} -->|augment.dataset| {nodes['copies']}" in lines
    assert f"  {nodes['base']} -->|augment.model| {nodes['copies']}" in lines
    assert f"  {nodes['teacher']} -->|teacher| {nodes['student']}" in lines
    assert f"  {nodes['task']} -->|dataset| {nodes['student']}" in lines
    assert len([line for line in lines if "-->" in line]) == 9


@pytest.mark.parametrize("stage", model_stages())
def test_a_stage_is_described(stage):
    text = describe(stage)
    assert re.search(r"^setting +default +meaning$", text, re.MULTILINE)
    for name in model_stages()[stage].settings.model_fields:
        assert re.search(rf"^{name} ", text, re.MULTILINE)


def test_what_a_stage_requires_and_what_it_takes_besides():
    text = describe("distill")
    assert re.search(r"^student +required +the model to start from", text, re.MULTILINE)
    assert re.search(r"^knowledge +how much of the teacher's states is distilled", text, re.MULTILINE)
    assert re.search(r'^cache +"auto" +whether', text, re.MULTILINE)


def test_an_assistants_loss_is_described():
    """The published loss, (soft + MSE) / 2 over states 0, k, 2k, …: specs/minidisc.md, 3.1."""
    found = re.search(r"^losses +(.*?)  +the loss terms", describe("schedule"), re.MULTILINE)
    assert found
    assert found[1].split("; ") == [
        "loss soft_cross_entropy, weight 0.5, temperature 1.0",
        "loss hidden_mse, weight 0.5, layers sixths",
    ]


def test_a_source_is_described_with_its_own_options():
    text = describe("squad")
    assert text.startswith("Questions on contexts")
    assert re.search(r"^path +a file, which is the train split, or a folder with", text, re.MULTILINE)
    assert re.search(r"^stride +128 +tokens of a long context", text, re.MULTILINE)
    assert re.search(r"^packages +import names of installed packages", describe("pydoc"), re.MULTILINE)
    assert not re.search("^path", describe("pydoc"), re.MULTILINE)


def test_a_loss_is_described_with_its_own_options():
    assert re.search(r"^temperature +1.0 +divides the logits", describe("kl"), re.MULTILINE)


def test_importance_is_described():
    assert re.search(
        r'^criterion +"mask_gradient" +its name in the catalog', describe("importance"), re.MULTILINE
    )


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_every_name_is_listed_with_a_line(kind):
    rows = [line.split(maxsplit=1) for line in list_names(kind).splitlines()]
    assert [name for name, _ in rows] == sorted(catalog.KINDS[kind])


class Parent(Settings):
    """A parent.

    Args:
        one: the first.
        two: the second,
            on two lines: with a colon.
    """

    one: int
    two: int


class Child(Parent):
    """A child.

    Args:
        one: another first.
    """

    three: int


def test_meanings_are_read_from_docstrings_of_all_parents():
    assert summary_of(Child) == "A child."
    assert meanings(Child) == {"one": "another first.", "two": "the second, on two lines: with a colon."}


@pytest.mark.parametrize(
    "model",
    [
        Document,
        CombineSettings,
        AugmentedSettings,
        LabelSettings,
        *map(augmentation_settings, catalog.AUGMENTATIONS),
        *(stage.settings for stage in model_stages().values()),
    ],
)
def test_every_setting_has_a_meaning(model):
    available = {name for name, field in model.model_fields.items() if UNAVAILABLE not in field.metadata}
    assert meanings(model).keys() == available


@pytest.mark.parametrize(
    "model", [*map(term_settings, catalog.LOSSES), *map(source_settings, catalog.SOURCES)]
)
def test_every_option_of_terms_and_sources_has_a_meaning(model):
    assert meanings(model).keys() >= {
        name for name, field in model.model_fields.items() if field.annotation is not NoneType
    }
