"""The same graph in small, to be run before days of computing: where does a config not hold together?

Every matrix variable keeps one value, or as few as leave every template a node, and what only others need is
left out. Every training takes two steps, and models that exist already give way to random ones. Sizes in
`prune` shrink as the width does.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kdpipe.commands.stand_ins import StandIn, shrinkage, small_sizes, stand_in
from kdpipe.commands.thinning import thinned_graph
from kdpipe.config.settings.dataset import (
    SPLIT_FILES,
    CombineSettings,
    SourceSettings,
    read_dataset,
)
from kdpipe.config.settings.report import ReportSettings
from kdpipe.plan.build import build_graph
from kdpipe.plan.entries import Dataset, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.hub import local_repository
from kdpipe.plan.stages.preprocess import PreprocessSettings, preprocess_settings
from kdpipe.plan.training import SMALL_BATCH

# Rows of a split; an epoch is two steps.
SMALL_ROWS = 2 * SMALL_BATCH
# What the files of a split that are made up end in. A dataset of the Hub is made up as one of files.
ENDINGS = {"conll": ".txt", "glue": ".tsv", "squad": ".json", "table": ".jsonl", "text": ".txt"}
# How files of the user's are written, which those that are made up are not.
AS_WRITTEN = ("columns", "delimiter", "encoding")
OF_REPOSITORIES = ("hub", "revision")


@dataclass(frozen=True)
class Shrunk:
    """A config in small, and what has to be made up for it.

    Args:
        config: the config.
        datasets: the datasets that are not there, each with the folder that its data go to as its path.
        models: random models in place of those that exist already.
    """

    config: dict[str, Any]
    datasets: list[Dataset]
    models: list[StandIn]

    @property
    def made_up(self) -> list[str]:
        """What has to be made up, in words."""
        datasets = [f"dataset {dataset.name}" for dataset in self.datasets]
        return [*datasets, *(f"model {model.name}" for model in self.models)]


def shrink(
    config: Mapping[str, Any],
    folder: Path,
    values: Mapping[str, str],
    splits_of: Callable[[PreprocessSettings], Iterable[str]],
) -> Shrunk:
    """Return a config's graph in small.

    Args:
        config: the config, read and merged.
        folder: takes the results and what is made up.
        values: the value that a matrix variable keeps, by default the first of those that most blocks have.
        splits_of: tells the splits of a dataset that is there.

    Raises:
        ConfigError: the config has mistakes, variables have no such values, or nothing can be made up in
            place of a model.
        KdpipeError: what is kept needs values that are not.
    """
    # Mistakes of other values are worth knowing too.
    whole = build_graph(config)
    graph = thinned_graph(config, values)
    # Relative paths would be looked for below `data_dir`.
    place = folder.absolute()
    datasets, models = _datasets(graph, place / "data"), _stand_ins(graph, place / "models")
    small = {key: value for key, value in config.items() if key != "defaults"} | {
        "results": str(folder / "results"),
        "matrix": graph.document.matrix,
        "datasets": {
            dataset.template: datasets[name].sources[0].model_dump(mode="json", exclude_unset=True)
            if name in datasets
            else _rows(dataset, graph, splits_of)
            for name, dataset in graph.datasets.items()
        },
        "models": dict(_models(graph, models)),
        "report": _report(ReportSettings.model_validate(config.get("report", {})), whole, graph),
    }
    return Shrunk(small, list(datasets.values()), list(models.values()))


def _datasets(graph: Graph, folder: Path) -> dict[str, Dataset]:
    """Return the datasets that have to be made up, as they are then read from below a folder."""
    return {
        name: replace(dataset, sources=(_made_up(dataset, folder / name),))
        for name, dataset in graph.datasets.items()
        if isinstance(dataset.settings, SourceSettings) and _is_missing(dataset, graph)
    }


def _is_missing(dataset: Dataset, graph: Graph) -> bool:
    """Tell whether a dataset is read from files, and none of them is there."""
    source = dataset.sources[0]
    if source.path is None and not source.files:
        return False
    return not (_is_local_copy(dataset, graph) or any(file.exists() for file in source.local_files()))


def _is_local_copy(dataset: Dataset, graph: Graph) -> bool:
    """Tell whether a dataset is fetched from a folder that is laid out as a repository of the Hub."""
    settings = dataset.settings
    return isinstance(settings, SourceSettings) and bool(local_repository(settings, graph.document.data_dir))


def _made_up(dataset: Dataset, folder: Path) -> SourceSettings:
    """Return the settings of a dataset with files in a folder in place of its own."""
    assert isinstance(dataset.settings, SourceSettings)
    source = dataset.settings.source
    left_out = {*SPLIT_FILES, *AS_WRITTEN, *OF_REPOSITORIES, "rows"}
    if source != "glue":
        left_out.add("name")
    given = dataset.settings.model_dump(mode="json", exclude_unset=True, exclude=left_out)
    splits = {split: str(folder / f"{split}{ENDINGS[source]}") for split in dataset.settings.splits or ()}
    found = read_dataset(
        given | {"source": source, "path": str(folder)} | ({"splits": splits} if splits else {})
    )
    assert isinstance(found, SourceSettings)
    return found


def _rows(
    dataset: Dataset, graph: Graph, splits_of: Callable[[PreprocessSettings], Iterable[str]]
) -> dict[str, Any]:
    """Return the settings of a dataset that is there, or made of such, with few rows."""
    given = dataset.settings.model_dump(mode="json", exclude_unset=True, exclude={"rows"})
    if isinstance(dataset.settings, CombineSettings):
        return given
    if _is_local_copy(dataset, graph):
        return given | {"rows": SMALL_ROWS}
    splits = splits_of(preprocess_settings(graph, dataset.name))
    whole = dataset.name in _exported(graph)
    return given | {
        "rows": {split: SMALL_ROWS for split in splits if not (whole and split.startswith("test"))}
    }


def _exported(graph: Graph) -> set[str]:
    """Return the datasets whose test splits are exported; of a combined one those of its first part are."""
    found = set()
    for node in graph.nodes.values():
        for name in node.settings.export:
            found.add(name)
            while isinstance(settings := graph.datasets[name].settings, CombineSettings):
                found.add(name := settings.combine[0])
    return found


def _stand_ins(graph: Graph, folder: Path) -> dict[str, StandIn]:
    """Return random models for those that are loaded, by name."""
    return {name: stand_in(graph, name, folder) for name in graph.nodes if graph.stage_of(name).exists}


def _models(graph: Graph, stand_ins: Mapping[str, StandIn]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the models; of each template there is one."""
    factors: dict[str, int] = {}
    for name, node in graph.nodes.items():
        if name in stand_ins:
            factors[name] = shrinkage(stand_ins[name].shape)
            yield node.template, {node.stage: _loaded(node, stand_ins[name])}
            continue
        stage, shape = graph.stage_of(name), graph.facts[name].shape
        made_of = [factors[model] for model in stage.sized_by(node.settings)]
        factors[name] = max(made_of, default=shrinkage(shape))
        sizes = small_sizes(shape) if shape.family else {}
        yield node.template, {node.stage: stage.in_small(node.settings, factors[name], sizes)}


def _loaded(node: Node, model: StandIn) -> dict[str, Any]:
    given = node.settings.model_dump(mode="json", exclude_unset=True, exclude={"revision", "sha256"})
    return {**given, "path": str(model.folder)}


def _report(report: ReportSettings, whole: Graph, graph: Graph) -> dict[str, Any]:
    """Return the settings of the report without what is of models left out, or of whole ones."""
    names = {*graph.nodes, *(node.template for node in graph.nodes.values())}
    left_out = {"published", "plots"} | ({"baseline"} if report.baseline not in names else set())
    lost = _columns(whole) - _columns(graph)
    plots = [
        plot.model_dump(exclude_unset=True) for plot in report.plots if not lost & {plot.x, plot.y, plot.by}
    ]
    return report.model_dump(mode="json", exclude_unset=True, exclude=left_out) | {"plots": plots}


def _columns(graph: Graph) -> set[str]:
    """Return the metrics and the matrix variables of models that are scored."""
    metrics = {metric for _, dataset in graph.evaluations for metric in graph.datasets[dataset].metrics}
    return metrics | {variable for model, _ in graph.evaluations for variable in graph.nodes[model].variables}
