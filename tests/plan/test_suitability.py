"""The datasets that models are scored on, and the reasons for models without scores."""

from pathlib import Path
from typing import Any

import pytest

from kdpipe.commands.describe import summary
from kdpipe.plan.build import build_graph
from kdpipe.plan.graph import Graph
from tests.configs import CONFIG, told, write_model

CLASSIFIER = {"model_type": "bert", "architectures": ["BertForSequenceClassification"]}
TABLE = {"source": "table", "path": "a.tsv", "text": "a", "label": "b", "task": "classification"}


def config_of(folder: Path, saved: dict[str, Any], load: dict[str, Any], **nodes: Any) -> dict[str, Any]:
    write_model(folder, {**CLASSIFIER, "vocab_size": 500, **saved})
    models = {"m": {"load": {"path": str(folder), **load}}, **CONFIG["models"], **nodes}
    return {"datasets": {**CONFIG["datasets"], "other": TABLE}, "models": models}


def graph_with(*given: Any, **nodes: Any) -> Graph:
    return build_graph(config_of(*given, **nodes))


def taught(loss: str = "kl", dataset: str = "task") -> dict[str, Any]:
    losses = [{"loss": loss, **({"layers": "last"} if loss == "cosine" else {})}]
    return {"distill": {"teacher": "m", "student": "cut", "dataset": dataset, "losses": losses}}


HALF = {"model": "m", "sparsity": 0.5}
CUT = {"extract": {"model": "m", "layers": "first:2"}}
NAMED = {"labels": ["0", "1"]}


@pytest.mark.parametrize(("load", "nodes", "scored", "why"), [
    (NAMED, {"cut": CUT, "s": taught()}, ("task",), ""),
    (NAMED, {"cut": CUT, "s": taught("cosine")}, ("task",), ""),
    (NAMED, {"s": {"finetune": {"model": "m", "dataset": "task"}}}, ("task",), ""),
    ({}, {"cut": CUT, "s": taught("kl", "other")}, ("other",), ""),
    ({}, {"s": {"finetune": {"model": "m", "dataset": "other"}}}, (), "only the data tell whether"),
    ({}, {"s": {"finetune": {"model": "m", "dataset": "task"}}}, (), "LABEL_0, LABEL_1; take a model"),
    (NAMED, {"s": {"finetune": {"model": "m", "dataset": "text"}}}, (), "'text' is for language_modeling"),
    (NAMED, {"s": {"prune": {**HALF, "importance": {"dataset": "task"}}}}, ("task",), ""),
    (NAMED, {}, (), "no node names it as teacher, or trains or prunes it"),
    ({"evaluate": ["task"], **NAMED}, {}, ("task",), ""),
    ({"evaluate": [], **NAMED}, {"cut": CUT, "s": taught()}, (), ""),
])  # fmt: skip
def test_a_loaded_model(
    load: dict[str, Any], nodes: dict[str, Any], scored: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    graph = graph_with(tmp_path, {}, load, **nodes)
    assert graph.evaluated_on("m") == scored
    assert [dataset for model, dataset in graph.evaluations if model == "m"] == list(scored)
    lines = [line for line in summary(graph).splitlines() if line.startswith("m is not scored: ")]
    assert bool(lines) == bool(why)
    assert all(why in line and "name a model" not in line for line in lines)


def test_a_teacher_of_the_hub_that_gives_logits_is_scored(tmp_path: Path) -> None:
    graph = graph_with(tmp_path, {}, {"path": "a/b"}, cut=CUT, s=taught())
    assert graph.evaluated_on("m") == ("task",)
    graph = graph_with(tmp_path, {}, {"path": "a/b"}, cut=CUT, s=taught("cosine"))
    assert graph.evaluated_on("m") == ()
    assert "m is not scored: what its head is for is known once it is fetched" in summary(graph)


def test_a_pruned_model_is_scored_where_its_nearest_ancestor_with_a_dataset_is(tmp_path: Path) -> None:
    prune = {"model": "teacher", "sparsity": 0.5}
    graph = graph_with(
        tmp_path, {}, {}, a={"prune": prune}, b={"prune": {**prune, "model": "a", "sparsity": 0.75}},
        c={"prune": {**prune, "evaluate": []}},
    )  # fmt: skip
    assert [graph.evaluated_on(name) for name in "abc"] == [("task",), ("task",), ()]


def test_a_pruned_model_that_was_loaded_is_scored_where_the_loaded_one_is(tmp_path: Path) -> None:
    prune = {"model": "m", "sparsity": 0.5, "importance": {"dataset": "task"}}
    graph = graph_with(tmp_path, {}, NAMED, a={"prune": prune})
    assert graph.evaluated_on("a") == ("task",)


def test_what_is_made_without_a_dataset_is_told(tmp_path: Path) -> None:
    lines = summary(graph_with(tmp_path, {}, NAMED)).splitlines()
    assert "small is not scored: it is made without a dataset" in lines
    assert lines.count("`evaluate: [DATASET]` says what a model is scored on") == 1
    assert not any(line.startswith(("teacher is not", "base is not")) for line in lines)


def test_the_head_of_a_local_folder_is_shown_as_far_as_it_is_known(tmp_path: Path) -> None:
    rows = [line for line in summary(graph_with(tmp_path, {}, NAMED)).splitlines() if line.startswith("m ")]
    assert rows[0].endswith("  classification or multi_label")


@pytest.mark.parametrize("node", [taught(), {"select": {"among": ["m"], "dataset": "task"}}])
def test_outputs_without_names_are_told_with_their_remedy(node: dict[str, Any], tmp_path: Path) -> None:
    (mistake,) = told(config_of(tmp_path, {}, {}, cut=CUT, s=node))
    assert "'task' has the labels 0, 1, but the outputs of 'm' are called LABEL_0, LABEL_1" in mistake
    assert mistake.endswith("name them in their order with `labels` where the model is loaded")
    assert told(config_of(tmp_path, {}, NAMED, cut=CUT, s=node)) == []


def test_a_head_with_labels_is_for_no_other_task(tmp_path: Path) -> None:
    (mistake,) = told(config_of(tmp_path, {}, {"evaluate": ["text"], **NAMED}))
    assert "'text' is for language_modeling, but 'm' has a head for classification or multi_label" in mistake
