"""Random models in place of models that exist already: as deep, with as many heads, but narrow."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.anatomy.families import HEAD_TASKS, LANGUAGE_MODELING, count_outputs, family_facts, shape_of
from kdpipe.anatomy.shapes import Shape
from kdpipe.digest import digest
from kdpipe.errors import ConfigError, Problem
from kdpipe.plan.graph import Graph
from kdpipe.plan.stages.load import LoadSettings, local_folder

HEAD_WIDTH = 4
WIDTH = 32
# A family as a part of a model's name. Models that DistilBERT's authors distilled have the original's family.
PART = r"(?<![a-z0-9])(distil)?{}(?![a-z0-9])"
TASKS_WITH_NAMED_OUTPUTS = HEAD_TASKS["ForSequenceClassification"] + HEAD_TASKS["ForTokenClassification"]


@dataclass(frozen=True)
class StandIn:
    """A random model that replaces a loaded model.

    Args:
        name: the node that loads the model.
        folder: folder of the random model.
        shape: the shape of the loaded model.
        tokenizer: the node of its tokenizer; the tokenizers of two nodes differ.
        task: the task of its head; "" for no head.
        labels: the names of the outputs of its head, if they have names.
        seed: seed of its weights.
    """

    name: str
    folder: Path
    shape: Shape
    tokenizer: str
    task: str
    labels: tuple[str, ...] | None
    seed: int


def stand_in(graph: Graph, name: str, folder: Path) -> StandIn:
    """Return the random model in place of a loaded model.

    Args:
        graph: the graph.
        name: the node that loads the model.
        folder: the parent folder of random models.

    Raises:
        ConfigError: the family or the labels of the model are unknown before it is fetched.
    """
    node, facts = graph.nodes[name], graph.facts[name]
    settings: LoadSettings = graph.stage_of(name).settings_of(graph, name)
    where = f"models.{node.template}.load"
    shape = facts.shape if facts.shape.family else _shape_by_name(settings.path, where)
    task, labels = _head(graph, name, settings, shape, where)
    options = (facts.tokenizer, task, labels, settings.seed)
    key = digest([small_sizes(shape), shape.family, *options])
    return StandIn(name, folder / f"{name}-{key}", shape, *options)


def shrinkage(shape: Shape) -> int:
    """Return the factor by which the width of a model shrinks."""
    return max(1, (shape.width or 0) // (HEAD_WIDTH * shape.heads if shape.heads else WIDTH))


def small_sizes(shape: Shape) -> dict[str, int]:
    """Return the sizes of a narrow model by their fields in its config, except the vocabulary."""
    facts = family_facts(str(shape.family))
    sizes = {
        "depth": shape.depth,
        "width": HEAD_WIDTH * shape.heads if shape.heads else WIDTH,
        "heads": shape.heads,
        "neurons": shape.neurons and max(1, shape.neurons // shrinkage(shape)),
        "positions": shape.positions and shape.positions + facts["reserved_positions"],
        "prompts": shape.prompts,
    }
    return {name: size for fact, name in facts["shape_fields"].items() if (size := sizes.get(fact))}


def _shape_by_name(path: str, where: str) -> Shape:
    """Return the default shape of the family that the name of a model on the Hub contains."""
    model = path.rpartition("/")[2].lower()
    named = [family for family in catalog.FAMILIES if re.search(PART.format(family), model)]
    if not named:
        what = f"the family of {path!r} is unknown before it is fetched; give the path of a local folder"
        raise ConfigError([Problem(f"{where}.path", what)])
    return shape_of(max(named, key=len), {})


def _head(
    graph: Graph, name: str, settings: LoadSettings, shape: Shape, where: str
) -> tuple[str, tuple[str, ...] | None]:
    """Return the task and the labels of a loaded model's head; without a head, what other nodes need."""
    head, labels = graph.facts[name].head, settings.labels or _recorded_labels(settings.path)
    if head is not None:
        return head, labels if head in TASKS_WITH_NAMED_OUTPUTS else None
    read_for = list(_read_for(graph, name))
    if labels:
        return next((task for task in read_for if task in TASKS_WITH_NAMED_OUTPUTS), "classification"), labels
    if not read_for:
        predicts_tokens = {"ForMaskedLM", "ForCausalLM"} & family_facts(str(shape.family))["heads"].keys()
        return "language_modeling" if predicts_tokens else "", None
    if read_for[0] in TASKS_WITH_NAMED_OUTPUTS and read_for[0] != "regression":
        what = f"the classes of {settings.path!r} are unknown before it is fetched; name them"
        raise ConfigError([Problem(f"{where}.labels", what)])
    return read_for[0], None


def _recorded_labels(path: str) -> tuple[str, ...] | None:
    folder = local_folder(path)
    if folder is None:
        return None
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    named = config.get("id2label") or {index: f"LABEL_{index}" for index in range(count_outputs(config))}
    return tuple(named.values())


def _read_for(graph: Graph, name: str) -> Iterator[str]:
    """Yield the tasks for which nodes and datasets read the head of a model, or of models that keep it."""
    yield from (graph.datasets[dataset].task for model, dataset in graph.evaluations if model == name)
    yield from (graph.datasets[dataset].task for model, dataset, _ in graph.importances if model == name)
    for entry in graph.datasets.values():
        if ("model", name) in {(kind, used) for _, kind, used in entry.settings.references()}:
            yield LANGUAGE_MODELING if entry.augmentation else entry.task
    for user, setting in graph.users[name]:
        stage, settings = graph.stage_of(user), graph.nodes[user].settings
        yield from (
            graph.datasets[dataset].task for dataset, sure in stage.uses(settings, setting, name) if sure
        )
        if getattr(settings, stage.keeps_head_of, None) == name:
            yield from _read_for(graph, user)
