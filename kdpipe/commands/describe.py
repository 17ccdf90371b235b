"""A graph and a stage in words, for `kdpipe check`, `graph` and `describe`."""

import inspect
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from functools import partial
from types import NoneType

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kdpipe import catalog
from kdpipe.commands.listing import kinds, list_names, metrics
from kdpipe.commands.tables import aligned
from kdpipe.config.document import Document
from kdpipe.config.settings.augmentation import AugmentationSettings, augmentation_settings
from kdpipe.config.settings.base import AFTERWARDS, UNAVAILABLE
from kdpipe.config.settings.choice import FastestSettings, SmallestSettings
from kdpipe.config.settings.dataset import CombineSettings, SourceSettings, source_settings
from kdpipe.config.settings.importance import ImportanceSettings
from kdpipe.config.settings.interchange import InterchangeSettings
from kdpipe.config.settings.knowledge import KnowledgeSettings
from kdpipe.config.settings.losses import ProjectionSettings, term_settings
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.config.settings.measure import LatencySettings, MeasureSettings
from kdpipe.config.settings.report import ReportSettings
from kdpipe.config.settings.training import training_settings
from kdpipe.plan.capacity import tell_size
from kdpipe.plan.entries import Dataset, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.stage import definition
from kdpipe.plan.stages.quantize import CalibrationSettings

# The largest number of nodes that are shown of a template, and of sizes of caches.
SHOWN = 3
MOST_CACHES = 12
# A setting in the docstring of its class.
ARGUMENT = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


def summary(graph: Graph) -> str:
    """Return the output of `kdpipe check` for a config without mistakes: shapes, matched layers, numbers."""
    heading = ("model", "stage", "family", "depth", "width", "heads", "sparsity", "vocabulary", "head")
    nodes = list(_shown(graph))
    remarks = [line for node in nodes for line in graph.stage_of(node.name).remarks(graph, node)]
    told = (tell_size(graph, teacher, data, cache) for (teacher, data, _), cache in graph.caches.items())
    caches = [*dict.fromkeys(told)]
    sizes = caches[:MOST_CACHES]
    sizes += [f"and {len(caches) - MOST_CACHES} more caches"] if len(caches) > MOST_CACHES else []
    unscored = [f"{name} is not scored: {why}" for name, why in _unscored(graph, nodes)]
    unscored += ["`evaluate: [DATASET]` says what a model is scored on"] if unscored else []
    stages = Counter(node.stage for node in graph.nodes.values())
    counts = ", ".join(f"{count} {stage}" for stage, count in stages.items())
    measured = f", {_number(graph.measurements, 'measurement')}" if graph.measured else ""
    exported = f", {_number(graph.exports, 'export')}" if graph.exports else ""
    total = (
        f"{_number(graph.nodes, 'model')} ({counts}), {_number(graph.datasets, 'dataset')}, "
        f"{_number(graph.caches, 'teacher cache')}, {_number(graph.evaluations, 'evaluation')}"
        f"{exported}{measured}; "
        "no mistakes"
    )
    shapes = aligned([heading, *(_shape_row(graph, node) for node in nodes)])
    templates = Counter(node.template for node in graph.nodes.values())
    more = [f"{name}: {n} models, {SHOWN} are shown" for name, n in templates.items() if n > SHOWN]
    parts = [shapes, more, remarks, sizes, unscored, [total]]
    return "\n\n".join("\n".join(part) for part in parts if part)


def describe_graph(graph: Graph) -> str:
    """Return the datasets, and the models with their sources and the datasets that score them."""
    lines = []
    for name, dataset in graph.datasets.items():
        parts = [dataset.task, " + ".join(part.source for part in dataset.sources), *_made_of(dataset)]
        lines.append(f"{name}  ({', '.join(parts)})")
    for node in graph.nodes.values():
        sources = ", ".join(_made_of(node))
        scored = ", ".join(graph.evaluated_on(node.name))
        lines.append(f"{node.name}  {node.stage}({sources})" + (f"  -> scored on {scored}" if scored else ""))
    return "\n".join(lines)


def _made_of(entry: Node | Dataset) -> list[str]:
    """Return what a model or a dataset is made of, each after the setting that names it."""
    references = entry.settings.references()
    made_of = [f"{setting} {name}" for setting, _, name in references if setting not in AFTERWARDS]
    given = getattr(entry.settings, "given", None)
    return [*([f"stored signals {given}"] if given else []), *made_of]


def mermaid(graph: Graph) -> str:
    """Return the graph as a Mermaid flowchart."""
    ids = {("model", name): f"n{index}" for index, name in enumerate(graph.nodes)}
    ids |= {("dataset", name): f"d{index}" for index, name in enumerate(graph.datasets)}
    lines = ["flowchart LR", *(f'  {ids["dataset", name]}[("{name}")]' for name in graph.datasets)]
    for name, node in graph.nodes.items():
        lines.append(f'  {ids["model", name]}["{name}<br/>{node.stage}"]')
        lines += _arrows(node, ids["model", name], ids)
    for name, dataset in graph.datasets.items():
        lines += _arrows(dataset, ids["dataset", name], ids)
    return "\n".join(lines)


def _arrows(entry: Node | Dataset, target: str, ids: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Yield the arrows to a model or a dataset."""
    for setting, kind, source in entry.settings.references():
        if setting not in AFTERWARDS:
            yield f"  {ids[kind, source]} -->|{setting}| {target}"


def describable() -> dict[str, Callable[[], type[BaseModel]]]:
    """Return the names that have settings, each with what returns these."""
    return {
        **{name: partial(getattr, definition(name), "settings") for name in catalog.STAGES},
        **{source: partial(source_settings, source) for source in catalog.SOURCES},
        **{method: partial(augmentation_settings, method) for method in catalog.AUGMENTATIONS},
        **{loss: partial(term_settings, loss) for loss in catalog.LOSSES},
        "augment": lambda: AugmentationSettings,
        "calibration": lambda: CalibrationSettings,
        "combine": lambda: CombineSettings,
        "config": lambda: Document,
        "datasets": lambda: SourceSettings,
        "fastest": lambda: FastestSettings,
        "importance": lambda: ImportanceSettings,
        "interchange": lambda: InterchangeSettings,
        "knowledge": lambda: KnowledgeSettings,
        "latency": lambda: LatencySettings,
        "masking": lambda: MaskingSettings,
        "measure": lambda: MeasureSettings,
        "projection": lambda: ProjectionSettings,
        "report": lambda: ReportSettings,
        "smallest": lambda: SmallestSettings,
        "training": training_settings,
    }


def names() -> list[str]:
    """Return the names that can be described."""
    return sorted({*describable(), *Document.model_fields, *metrics(), *kinds()})


def describe(name: str) -> str:
    """Return the settings of a stage, a source, a loss and the like with their defaults and meanings.

    A top-level key of a config without settings of its own is told in a line, and so is a metric. A kind of
    names, such as `metrics`, is told as a list of its names.
    """
    if name in kinds():
        return list_names(name)
    if name in metrics():
        return f"{name}: a metric {metrics()[name]}"
    if name not in describable():
        [(_, default, meaning)] = [row for row in setting_rows(Document) if row[0] == name]
        return f"{name}: {meaning}" + (f" (default: {default})" if default else "")
    settings = describable()[name]()
    rows = [("setting", "default", "meaning"), *setting_rows(settings)]
    return "\n".join([summary_of(settings), "", *aligned(rows)])


def summary_of(model: type[BaseModel]) -> str:
    """Return the first line of the docstring of a settings model, or of the class behind its options."""
    return (inspect.getdoc(model) or "").partition("\n")[0]


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the meaning of each setting of a model, on one line, as far as docstrings contain it."""
    texts: dict[str, str] = {}
    for parent in reversed(model.__mro__):
        arguments = inspect.cleandoc(parent.__doc__ or "").partition("Args:\n")[2]
        texts |= {name: " ".join(text.split()) for name, text in ARGUMENT.findall(arguments)}
    return {name: texts[name] for name in model.model_fields if name in texts}


def setting_rows(settings: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """Yield each setting of a class with its default and its meaning."""
    meaning = meanings(settings)
    for field, facts in settings.model_fields.items():
        # A setting without any valid value is shown only if a later version will take it.
        if facts.annotation is not NoneType or UNAVAILABLE in facts.metadata:
            yield field, _default(facts), meaning.get(field, "")


def _default(field: FieldInfo) -> str:
    if UNAVAILABLE in field.metadata:
        return "not available in this version"
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    parts = default if isinstance(default, tuple) else (default,)
    if isinstance(parts[0] if parts else None, BaseModel):
        return "; ".join(
            ", ".join(f"{name} {value}" for name, value in part.model_dump(exclude_unset=True).items())
            for part in parts
        )
    return "" if default is None else json.dumps(default, default=str)


def _number(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'s' if len(things) != 1 else ''}"


def _shown(graph: Graph) -> Iterator[Node]:
    """Yield the first nodes of each template."""
    numbers = Counter[str]()
    for node in graph.nodes.values():
        numbers[node.template] += 1
        if numbers[node.template] <= SHOWN:
            yield node


def _shape_row(graph: Graph, node: Node) -> tuple[str, ...]:
    facts = graph.facts[node.name]
    shape = facts.shape
    # Blocks of a model that carries a ranking may have fewer heads than its config names.
    heads = f"up to {shape.heads}" if facts.ranked is not False and shape.heads else shape.heads
    sparsity = None if facts.sparsity is None else f"{facts.sparsity:g}"
    if sparsity is not None and graph.stage_of(node.name).chooses:
        sparsity += " or more"
    head = ", ".join(task for task, _ in facts.heads.values()) or (facts.tasks and " or ".join(facts.tasks))
    values = (shape.family, shape.depth, shape.width, heads, sparsity, shape.vocabulary, head)
    return (node.name, node.stage, *("?" if value is None else str(value) or "none" for value in values))


def _unscored(graph: Graph, nodes: Iterable[Node]) -> Iterator[tuple[str, str]]:
    """Yield the models that nothing scores, although the config does not forbid it, with the reasons."""
    for node in nodes:
        _, why = graph.stage_of(node.name).usual_datasets(graph, node.name)
        if node.settings.evaluate is None and why:
            yield node.name, why
