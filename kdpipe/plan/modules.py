"""The modules that the jobs of a graph start from: of their stage, and of what that finds in the catalog."""

from collections.abc import Iterable, Iterator

from kdpipe import catalog
from kdpipe.config.settings.base import Settings
from kdpipe.plan.entries import Facts
from kdpipe.plan.graph import Graph
from kdpipe.plan.identity import module_of, modules_named

PRUNED_MODELS = "kdpipe.models.pruned"


def modules_of(graph: Graph, stage: str, names: Iterable[str], *settings: Settings) -> tuple[str, ...]:
    """Return the modules that a stage starts from: its own, and those of entries of the catalog.

    Args:
        graph: the graph.
        stage: the stage.
        names: the models and datasets that it reads or makes.
        settings: what it is told.
    """
    found = {catalog.STAGES[stage]}
    for given in settings:
        # Units are scored by a stage of its own.
        found.update(modules_named(given.model_dump(mode="json", exclude={"importance"})))
    for name in names:
        if name in graph.datasets:
            found.add(module_of(catalog.TASKS[graph.datasets[name].task]))
        if name in graph.nodes:
            found.update(_modules_of_model(graph.facts[name]))
    return tuple(sorted(found))


def _modules_of_model(facts: Facts) -> Iterator[str]:
    known = [catalog.FAMILIES[facts.shape.family]] if facts.shape.family else catalog.FAMILIES.values()
    yield from map(module_of, known)
    if facts.ranked is not False or facts.embedding_rank or facts.sparsity != 0:
        yield PRUNED_MODELS
