"""What the models of a graph consist of; models that consist of the same are listed together."""

from kdpipe.anatomy.analysis import Analysis
from kdpipe.plan.graph import Graph
from kdpipe.plan.saved.analysis import analyze_folder
from kdpipe.reporting.grouping import model_groups


def model_structures(graph: Graph) -> list[tuple[list[str], Analysis]]:
    """Return each structure with the models that have it; of several runs the first stands for all."""
    first: dict[str, str] = {}
    for name, group in model_groups(graph).items():
        first.setdefault(group, name)
    structures: dict[object, tuple[list[str], Analysis]] = {}
    for group, name in first.items():
        analysis = analyze_folder(graph.layout.model(name))
        key = tuple(analysis.modules()), tuple(analysis.blocks())
        structures.setdefault(key, ([], analysis))[0].append(group)
    return list(structures.values())
