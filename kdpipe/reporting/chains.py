"""The chains that make a graph's models and exported models; runs of one group are one step."""

from collections.abc import Mapping, Sequence

from kdpipe.anatomy.formats import TORCH, exported, model_and_format
from kdpipe.artifacts.artifact import read_manifest
from kdpipe.plan.graph import Graph
from kdpipe.reporting.grouping import model_groups

# The setting that names models to choose from. Of these, the chosen model alone is a step of a chain.
AMONG = "among"
# The stage of an exported model, which is made from its model.
EXPORT = "export"
# The (setting, group) pairs that each group is made from.
Sources = Mapping[str, Sequence[tuple[str, str]]]


def groups_of(graph: Graph) -> dict[str, str]:
    """Return the group of each model, and after it of its exports that are scored or measured."""
    shown = {*graph.nodes, *graph.measurements, *(name for name, _ in graph.exported_evaluations)}
    return {
        name: exported(group, format)
        for model, group in model_groups(graph).items()
        for format in (TORCH, *graph.nodes[model].settings.export)
        if (name := exported(model, format)) in shown
    }


def stage_of(graph: Graph, name: str) -> str:
    """Return the stage that makes a model, or an exported model."""
    return graph.nodes[name].stage if name in graph.nodes else EXPORT


def sources_of(graph: Graph, groups: Mapping[str, str]) -> Sources:
    """Return (setting, group) of the models that each group is made from; of candidates the chosen alone."""
    sources: dict[str, list[tuple[str, str]]] = {}
    for name, group in groups.items():
        found = sources.setdefault(group, [])
        pairs = [(setting, groups[source]) for setting, source in _made_from(graph, name)]
        found += [pair for pair in dict.fromkeys(pairs) if pair not in found]
    return sources


def _made_from(graph: Graph, name: str) -> list[tuple[str, str]]:
    """Return (setting, model) of the models that a model is made from; of candidates the chosen alone."""
    model, format = model_and_format(name)
    if format != TORCH:
        return [(EXPORT, model)]
    references = graph.nodes[name].settings.references()
    named = [(setting, model) for setting, kind, model in references if kind == "model"]
    if AMONG not in dict(named):
        return named
    chosen = read_manifest(graph.layout.model(name)).get("chosen")
    return [pair for pair in named if pair == (AMONG, chosen)]


def descent_of(graph: Graph, groups: Mapping[str, str], sources: Sources) -> dict[str, set[str]]:
    """Return all groups that each group is made from, directly or not."""
    descent: dict[str, set[str]] = {}
    for name in (*graph.nodes, *(groups.keys() - graph.nodes.keys())):
        group = groups[name]
        direct = {source for _, source in sources[group]} - {group}
        descent.setdefault(group, set()).update(direct, *(descent.get(each, ()) for each in direct))
    return descent


def steps_of(graph: Graph, groups: Mapping[str, str], sources: Sources) -> list[str]:
    """Return the groups that are steps: final models, and what these are made from.

    A model is final if no other names it. The baseline, models that were measured, and exported models count
    as final.
    """
    baseline, nodes = graph.document.report.baseline, graph.nodes.values()
    named = {source for node in nodes for _, kind, source in node.settings.references() if kind == "model"}
    kept = {node.name for node in nodes if baseline in (node.name, node.template)} | {*graph.measured}
    wanted = list(dict.fromkeys(groups[name] for name in groups if name not in named or name in kept))
    steps = set(wanted)
    while wanted:
        made_from = {source for _, source in sources[wanted.pop()]}
        wanted += made_from - steps
        steps |= made_from
    return [group for group in sources if group in steps]
