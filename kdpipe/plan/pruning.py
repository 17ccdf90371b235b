"""What the stages share that remove heads and neurons of a model."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from kdpipe import catalog
from kdpipe.anatomy.families import LANGUAGE_MODELING, count_units, family_facts
from kdpipe.anatomy.shapes import Shape
from kdpipe.anatomy.units import Units
from kdpipe.config.mistakes import Findings, SettingError
from kdpipe.config.settings.importance import ImportanceSettings, RankedSettings
from kdpipe.declarations import constants
from kdpipe.plan.entries import Facts, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import ModelStage
from kdpipe.plan.stages.score_importance import ScoreImportanceSettings
from kdpipe.plan.suitability import needs_head, no_split

R = TypeVar("R", bound=RankedSettings)


class PruningStage(ModelStage[R]):
    """A stage that ranks the heads and neurons of a model, and makes smaller models of the model."""

    cut_from = "source"

    def checks(self, graph: Graph, node: Node) -> Findings:
        yield from super().checks(graph, node)
        if node.name in graph.whole:
            yield from self._ranking(graph, self.settings_of(graph, node.name))

    def importance(self, graph: Graph, settings: R) -> list[tuple[str, str, ScoreImportanceSettings]]:
        """Return the model that is scored for a node, on which datasets and how.

        A model that carries a ranking is scored only where the node asks for it.
        """
        if not settings.needs_ranks:
            return []
        source = settings.source
        if settings.importance is None and graph.facts[source].ranked:
            return []
        ranking = settings.importance or ImportanceSettings()
        scored = ranking.model or source
        datasets = ranking.datasets or graph.own_datasets(scored)
        # Not the node's: what is important to a model is so for all that are cut out of it.
        seed = graph.document.seed if ranking.seed is None else ranking.seed
        how = ScoreImportanceSettings(**ranking.model_dump(exclude={"model", "dataset"}) | {"seed": seed})
        return [(scored, dataset, how) for dataset in datasets]

    def _ranking(self, graph: Graph, settings: R) -> Findings:
        ranking = settings.importance
        scored = (ranking and ranking.model) or settings.source
        same = graph.trained_from(settings.source)
        if scored not in same:
            able = " or ".join(self._rankable(graph, settings, same) or same)
            yield (
                ("importance", "model"),
                f"{scored!r} is neither {settings.source!r} nor a model that training alone made into it, "
                f"so that its units may be others; give {able}",
            )
            return
        wanted = self.importance(graph, settings)
        if not wanted:
            if settings.needs_ranks and (ranking or graph.facts[settings.source].ranked is False):
                criterion = (ranking or ImportanceSettings()).criterion
                use = "that ranks the units" if _reads_data(criterion) else "whose name the scores go by"
                what = f"is required, with a `dataset` {use}: {scored!r} was trained on none"
                yield ("importance",), what
            return
        for of in wanted:
            yield from _ranking_data(graph, *of)

    def _rankable(self, graph: Graph, settings: R, names: Iterable[str]) -> list[str]:
        """Return the models by whose scores a node's units can be ranked as the node asks."""
        asked = settings.importance or ImportanceSettings()
        rankable = []
        for name in names:
            update = {"importance": asked.model_copy(update={"model": name})}
            wanted = self.importance(graph, settings.model_copy(update=update))
            if wanted and not any(fault for of in wanted for fault in _ranking_data(graph, *of)):
                rankable.append(name)
        return rankable


def _reads_data(criterion: str) -> bool:
    reads: bool = constants(catalog.CRITERIA[criterion])["reads_data"]
    return reads


def _ranking_data(graph: Graph, scored: str, name: str, how: ScoreImportanceSettings) -> Findings:
    if not _reads_data(how.criterion):
        return
    dataset = graph.datasets[name]
    if dataset.task == LANGUAGE_MODELING:
        yield ("importance",), f"units are ranked by the loss of labels, {name!r} is for {LANGUAGE_MODELING}"
        return
    if how.split == "train" and dataset.unlabelled:
        yield ("importance",), f"units are ranked by the loss of labels, {name!r} has `labels: none`"
    if how.split.startswith("test"):
        what = (
            "test labels are for scores alone, or a choice would have seen them; give `train` or `validation`"
        )
        yield ("importance", "split"), what
    for what in no_split(dataset, how.split):
        yield ("importance", "split"), what
    yield from needs_head(graph, scored, name, "importance")


def within(units: Mapping[str, Units], shape: Shape) -> dict[str, Units]:
    """Return what is known of the units of a pruned model whose blocks have no more than a shape's."""
    counts = count_units(shape)
    return {kind: each.at_most(counts[kind]) for kind, each in units.items()}


def units_of(model: Facts) -> Mapping[str, Units]:
    """Return what is known of a model's units; a model of a stock class is its own ancestor."""
    if model.ranked is not False:
        return model.units
    counts = count_units(model.shape)
    return {kind: replace(each, whole=counts[kind]) for kind, each in model.units.items()}


def at_sparsity(sparsity: float, units: Mapping[str, Units]) -> dict[str, Units]:
    """Return what is known of the units of a model that is pruned to a sparsity."""
    return {kind: replace(each, gone=sparsity) for kind, each in units.items()}


def check_ranking(settings: RankedSettings, model: Facts) -> None:
    """Raise SettingError if it is not known whether a model that is to be pruned carries a ranking."""
    if model.ranked is None and settings.importance is None:
        what = f"whether {settings.source!r} carries a ranking is known once it is made"
        raise SettingError("importance", f"is required: {what}")


def lack(units: Mapping[str, Units]) -> str:
    """Return which kind of units has lost more, and how much."""
    kind, most = max(units.items(), key=lambda named: named[1].gone or 0.0)
    return f"{most.gone or 0.0:g} of the {kind} of its unpruned ancestor"


def check_family(setting: str, model: Facts, fact: str, what: str) -> None:
    """Raise SettingError if models of a family are not made smaller in some way."""
    family: str | None = model.shape.family
    if family and not family_facts(family)[fact]:
        able: list[Any] = [name for name in sorted(catalog.FAMILIES) if family_facts(name)[fact]]
        raise SettingError(
            setting, f"models of the family {family} are not {what}; models of {', '.join(able)} are"
        )
