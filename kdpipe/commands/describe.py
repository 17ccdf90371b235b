"""A graph and a stage in words, for `kdpipe check`, `graph` and `describe`."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import NoneType

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kdpipe import catalog
from kdpipe.config.docs import meanings, summary_of
from kdpipe.config.settings.base import AFTERWARDS, UNAVAILABLE
from kdpipe.config.settings.dataset import source_settings
from kdpipe.config.settings.importance import ImportanceSettings
from kdpipe.config.settings.losses import term_settings
from kdpipe.declarations import docstring
from kdpipe.plan.entries import Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.stage import model_stages

# A pattern of nodes that stands for more is shown by its first ones.
SHOWN = 3


def summary(graph: Graph) -> str:
    """Return what `kdpipe check` prints of a config without mistakes: shapes, pairs, numbers."""
    rows: list[tuple[str, ...]] = [
        ("model", "stage", "family", "depth", "width", "heads", "sparsity", "vocabulary", "head")
    ]
    rows += [_shape_row(graph, node) for node in _shown(graph)]
    lines = [*table(rows), "", *_remarks(graph), *_unscored(graph)]
    stages = Counter(node.stage for node in graph.nodes.values())
    counts = ", ".join(f"{count} {stage}" for stage, count in stages.items())
    lines.append(
        f"{len(graph.nodes)} models ({counts}), {len(graph.datasets)} datasets, "
        f"{len(graph.caches)} teacher caches, {len(graph.evaluations)} evaluations; no mistakes"
    )
    return "\n".join(lines)


def describe_graph(graph: Graph) -> str:
    """Return each model with what it is made from and scored on."""
    lines = [f"{name}  ({dataset.task}, {_source(graph, name)})" for name, dataset in graph.datasets.items()]
    for node in graph.nodes.values():
        made_from = ", ".join(
            f"{field} {name}" for field, _, name in node.settings.references() if field not in AFTERWARDS
        )
        scored = ", ".join(graph.evaluated_on(node.name))
        lines.append(
            f"{node.name}  {node.stage}({made_from})" + (f"  -> scored on {scored}" if scored else "")
        )
    return "\n".join(lines)


def mermaid(graph: Graph) -> str:
    """Return the graph as a Mermaid flowchart."""
    number = {name: f"n{index}" for index, name in enumerate(graph.nodes)}
    data = {name: f"d{index}" for index, name in enumerate(graph.datasets)}
    lines = ["flowchart LR", *(f'  {data[name]}[("{name}")]' for name in graph.datasets)]
    for name, node in graph.nodes.items():
        lines.append(f'  {number[name]}["{name}<br/>{node.stage}"]')
        for field, kind, source in node.settings.references():
            if field not in AFTERWARDS:
                lines.append(f"  {(number if kind == 'model' else data)[source]} -->|{field}| {number[name]}")
    return "\n".join(lines)


def describable() -> dict[str, Callable[[], type[BaseModel]]]:
    """Return stages, sources, losses and `importance`, each with what returns its settings."""
    return {
        **{name: partial(getattr, stage, "settings") for name, stage in model_stages().items()},
        **{source: partial(source_settings, source) for source in catalog.SOURCES},
        **{loss: partial(term_settings, loss) for loss in catalog.LOSSES},
        "importance": lambda: ImportanceSettings,
    }


def describe(name: str) -> str:
    """Return what the settings that go by a name mean, and their defaults."""
    settings = describable()[name]()
    rows = [("setting", "default", "meaning"), *setting_rows(settings)]
    return "\n".join([summary_of(settings), "", *table(rows)])


def setting_rows(settings: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Yield each setting of a model with its default and its meaning."""
    meaning = meanings(settings)
    for field, facts in settings.model_fields.items():
        # A setting that can only be refused is told of where a later version will take it.
        if facts.annotation is not NoneType or UNAVAILABLE in facts.metadata:
            yield field, _default(facts), meaning.get(field, "")


def list_names(kind: str) -> str:
    """Return the names of a kind that the catalog has, each with the first line of its docstring."""
    entries = sorted(catalog.KINDS[kind].items())
    return "\n".join(table([(name, docstring(target).partition("\n")[0]) for name, target in entries]))


def _default(field: FieldInfo) -> str:
    if UNAVAILABLE in field.metadata:
        return "not available in this version"
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, tuple) and isinstance(default[0] if default else None, BaseModel):
        return "; ".join(map(_given, default))
    if isinstance(default, BaseModel):
        return _given(default)
    return "" if default is None else json.dumps(default, default=str)


def _given(settings: BaseModel) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.model_dump(exclude_unset=True).items())


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines whose columns align."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _shown(graph: Graph) -> Iterable[Node]:
    seen = Counter[str]()
    for node in graph.nodes.values():
        seen[node.template] += 1
        if seen[node.template] <= SHOWN:
            yield node


def _shape_row(graph: Graph, node: Node) -> tuple[str, ...]:
    facts = graph.facts[node.name]
    shape = facts.shape
    # Blocks of a model that carries a ranking may have fewer heads than its config names.
    heads = f"up to {shape.heads}" if facts.ranked is not False and shape.heads else shape.heads
    gone = None if facts.sparsity is None else f"{facts.sparsity:g}"
    if gone is not None and graph.stage_of(node.name).chooses:
        gone += " or more"
    head = facts.tasks and " or ".join(facts.tasks)
    values = (shape.family, shape.depth, shape.width, heads, gone, shape.vocabulary, head)
    return (
        node.name,
        node.stage,
        *("?" if value is None else str(value) or "none" for value in values),
    )


def _remarks(graph: Graph) -> list[str]:
    """Return what the stages say of their models."""
    lines = [line for node in _shown(graph) for line in graph.stage_of(node.name).remarks(graph, node)]
    return [*lines, ""] if lines else []


def _unscored(graph: Graph) -> list[str]:
    """Return which models are not scored, though nobody asked for that, and why."""
    lines = []
    for node in _shown(graph):
        _, why = graph.stage_of(node.name).usual_datasets(graph, node.name)
        if node.settings.evaluate is None and why:
            lines.append(f"{node.name} is not scored: {why}")
    return [*lines, "`evaluate: [DATASET]` says what a model is scored on", ""] if lines else []


def _source(graph: Graph, name: str) -> str:
    sources = [source.source for source in graph.datasets[name].sources]
    return " + ".join(sources)
