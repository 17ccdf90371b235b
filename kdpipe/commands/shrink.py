"""A small copy of a graph, which a user runs before days of computing to see where a config does not fit.

Every matrix variable has one value, or as few values as leave a node of every template. Every training takes
two steps. Random models replace models that exist already, and sizes in `prune` shrink with the width.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from kdpipe.commands.stand_ins import StandIn, shrinkage, small_sizes, stand_in
from kdpipe.commands.thinning import thinned_graph
from kdpipe.config.settings.dataset import SPLIT_FILES, SourceSettings, read_dataset
from kdpipe.config.settings.report import ReportSettings
from kdpipe.errors import ConfigError, Problem
from kdpipe.plan.build import build_graph
from kdpipe.plan.entries import Dataset
from kdpipe.plan.graph import Graph
from kdpipe.plan.sources import local_repository
from kdpipe.plan.stages.preprocess import PreprocessSettings, preprocess_settings
from kdpipe.plan.training import SMALL_BATCH

# The rows of a split; an epoch takes two steps.
SMALL_ROWS = 2 * SMALL_BATCH
# The suffixes of sample files, where a source reads no `.txt`. They also replace datasets of the Hub.
ENDINGS = {"glue": ".tsv", "squad": ".json", "table": ".jsonl"}
# What small models inherit no more, and where the signals of small teachers are not to lie.
NOT_IN_SMALL = ("defaults", "knowledge_dir", "measure")
# Settings of the user's files and repositories, which sample files do without.
OF_FILES = ("columns", "delimiter", "encoding", "hub", "revision", "rows")


@dataclass(frozen=True)
class Shrunk:
    """A config in small, and its samples.

    Args:
        config: the config.
        datasets: the datasets without files, each with the folder for its sample files as its path.
        models: random models in place of models that exist already.
    """

    config: dict[str, Any]
    datasets: list[Dataset]
    models: list[StandIn]


def shrink(
    config: Mapping[str, Any],
    folder: Path,
    values: Mapping[str, str],
    splits_of: Callable[[PreprocessSettings], Iterable[str]],
) -> Shrunk:
    """Return a config's graph in small.

    Args:
        config: the config, read and merged.
        folder: folder for the results and the samples.
        values: values of matrix variables; by default the first of the values that most blocks have.
        splits_of: returns the splits of a dataset whose files are there.

    Raises:
        ConfigError: the config has mistakes, variables have no such values, no random model can replace a
            model, or stored signals stand for a teacher.
        KdpipeError: the small graph needs other values.
    """
    # This reports the mistakes of all values.
    whole = build_graph(config)
    graph = thinned_graph(config, values)
    _refuse_stored_signals(graph)
    # A relative path would lie below `data_dir`.
    place = folder.absolute()
    datasets = {
        name: replace(dataset, sources=(_sample(dataset, place / "data" / name),))
        for name, dataset in graph.datasets.items()
        if isinstance(dataset.settings, SourceSettings) and _is_missing(dataset, graph)
    }
    existing = [name for name in graph.nodes if graph.stage_of(name).exists]
    models = {name: stand_in(graph, name, place / "models") for name in existing}
    small = {key: value for key, value in config.items() if key not in NOT_IN_SMALL} | {
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
    small |= _measure(whole, graph)
    return Shrunk(small, list(datasets.values()), list(models.values()))


def _refuse_stored_signals(graph: Graph) -> None:
    """Refuse folders of stored signals, which are of models in full size."""
    nodes = [node for node in graph.nodes.values() if getattr(node.settings, "given", None)]
    what = "a small student cannot learn from signals of full size; shrink a config that names a `teacher`"
    where = dict.fromkeys(f"models.{node.template}.{node.stage}.knowledge.from" for node in nodes)
    if where:
        raise ConfigError([Problem(place, what) for place in where])


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


def _sample(dataset: Dataset, folder: Path) -> SourceSettings:
    """Return the settings of a dataset with sample files in a folder in place of the user's files."""
    assert isinstance(dataset.settings, SourceSettings)
    source = dataset.settings.source
    left_out = {*SPLIT_FILES, *OF_FILES, *(["name"] if source != "glue" else [])}
    settings = _unsure(dataset.settings.model_dump(mode="json", exclude_unset=True, exclude=left_out))
    splits = {split: str(folder / sample_name(split, source)) for split in dataset.settings.splits or ()}
    files = {"source": source, "path": str(folder)} | ({"splits": splits} if splits else {})
    return cast(SourceSettings, read_dataset(settings | files))


def _unsure(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a dataset without `confidence`, as a random model is sure of no label."""
    labels = settings.get("labels")
    return settings | ({"labels": {"from": labels["from"]}} if isinstance(labels, dict) else {})


def sample_name(split: str, source: str) -> str:
    """Return the name of the sample file of a split."""
    return split + ENDINGS.get(source, ".txt")


def _rows(
    dataset: Dataset, graph: Graph, splits_of: Callable[[PreprocessSettings], Iterable[str]]
) -> dict[str, Any]:
    """Return the settings of a dataset whose files are there, or that is made of others, with few rows."""
    settings = _unsure(dataset.settings.model_dump(mode="json", exclude_unset=True, exclude={"rows"}))
    if dataset.settings.base:
        return settings
    if _is_local_copy(dataset, graph):
        return settings | {"rows": SMALL_ROWS}
    splits = splits_of(preprocess_settings(graph, dataset.name))
    whole = dataset.name in _submitted(graph)
    return settings | {
        "rows": {split: SMALL_ROWS for split in splits if not (whole and split.startswith("test"))}
    }


def _submitted(graph: Graph) -> set[str]:
    """Return the datasets with submitted test splits, and the datasets that these splits come from."""
    submitted = set()
    for node in graph.nodes.values():
        for name in node.settings.submit:
            submitted.add(name)
            while base := graph.datasets[name].settings.base:
                submitted.add(name := base)
    return submitted


def _models(graph: Graph, stand_ins: Mapping[str, StandIn]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a model of each template."""
    factors: dict[str, int] = {}
    for name, node in graph.nodes.items():
        if name in stand_ins:
            factors[name] = shrinkage(stand_ins[name].shape)
            load = node.settings.model_dump(mode="json", exclude_unset=True, exclude={"revision", "sha256"})
            yield node.template, {node.stage: load | {"path": str(stand_ins[name].folder)}}
            continue
        stage, shape = graph.stage_of(name), graph.facts[name].shape
        sources = [factors[model] for model in stage.sized_by(node.settings)]
        factors[name] = max(sources, default=shrinkage(shape))
        sizes = small_sizes(shape) if shape.family else {}
        yield node.template, {node.stage: stage.in_small(node.settings, factors[name], sizes)}


def _report(report: ReportSettings, whole: Graph, graph: Graph) -> dict[str, Any]:
    """Return the settings of the report that apply to the small graph."""
    names = {*graph.nodes, *(node.template for node in graph.nodes.values())}
    left_out = {"published", "plots"} | ({"baseline"} if report.baseline not in names else set())
    lost = _columns(whole) - _columns(graph)
    plots = [
        plot.model_dump(exclude_unset=True) for plot in report.plots if not lost & {plot.x, plot.y, plot.by}
    ]
    return report.model_dump(mode="json", exclude_unset=True, exclude=left_out) | {"plots": plots}


def _measure(whole: Graph, graph: Graph) -> dict[str, Any]:
    """Return the section that says how the models of the small graph are measured; {} without any."""
    measured = [name for name in whole.measured if name in graph.nodes]
    if whole.document.measure is None or not measured:
        return {}
    given = whole.document.measure.model_dump(mode="json", exclude_unset=True)
    return {"measure": given | {"models": measured}}


def _columns(graph: Graph) -> set[str]:
    """Return the metrics and the matrix variables of all scored models."""
    metrics = {metric for _, dataset in graph.evaluations for metric in graph.datasets[dataset].metrics}
    return metrics | {variable for model, _ in graph.evaluations for variable in graph.nodes[model].variables}
