"""Checks of a graph as a whole: tasks, heads, layers, widths, vocabularies, lengths.

Each check looks at one node and yields (setting of the node's stage, what is wrong). What is not known of a
model passes.
"""

from collections.abc import Callable, Iterable, Iterator

from kdpipe import catalog
from kdpipe.anatomy.families import ONE_SEGMENT, longest_input
from kdpipe.config.mistakes import Findings, Mistakes
from kdpipe.config.settings.dataset import SPLIT_FILES, CombineSettings, HubSettings, has_pairs
from kdpipe.config.settings.distillation import Distillation
from kdpipe.config.settings.importance import ImportanceSettings
from kdpipe.declarations import constants
from kdpipe.errors import suggest
from kdpipe.metrics import LOWER_IS_BETTER
from kdpipe.plan.datasets import QUESTION_ANSWERING
from kdpipe.plan.distillation_checks import check_distillation
from kdpipe.plan.entries import LANGUAGE_MODELING, Dataset, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.scored import label_misfit, task_misfit
from kdpipe.plan.stages.finetune import FinetuneSettings
from kdpipe.plan.stages.helpers import ScoreImportanceSettings
from kdpipe.plan.stages.pretrain import PretrainSettings
from kdpipe.plan.stages.prune import PruneSettings
from kdpipe.plan.stages.schedule import ScheduleSettings
from kdpipe.plan.stages.select import SelectSettings

EXPORTED = ("classification", "regression")


def check_graph(graph: Graph, mistakes: Mistakes) -> None:
    """Find the mistakes that only the whole graph shows."""
    for node in graph.nodes.values():
        for find in CHECKS:
            for setting, what in find(graph, node):
                where = graph.document.place(node.template, node.stage, setting)
                named = what if node.name == node.template else f"{what} (in {node.name})"
                mistakes.add(where, named, node.name)
        _check_lengths(graph, node, mistakes)


def _task(graph: Graph, node: Node) -> Findings:
    if isinstance(node.settings, PretrainSettings):
        task = graph.datasets[node.settings.dataset].task
        if task != LANGUAGE_MODELING:
            yield (
                ("dataset",),
                f"expected a language_modeling dataset, {node.settings.dataset!r} is for {task}",
            )


def _labels(graph: Graph, node: Node) -> Findings:
    if not isinstance(node.settings, FinetuneSettings | Distillation):
        return
    dataset = graph.datasets[node.settings.dataset]
    if dataset.task == LANGUAGE_MODELING or not dataset.settings.labels:
        return
    if isinstance(node.settings, FinetuneSettings):
        yield ("dataset",), f"{dataset.name!r} has `labels: none`; fine-tuning needs labels"
        return
    for index, term in enumerate(node.settings.losses):
        if term.weight and not term.needs_teacher:
            yield ("losses", index), f"{term.loss} needs labels, {dataset.name!r} has `labels: none`"


def _heads(graph: Graph, node: Node) -> Findings:
    settings = node.settings
    own = getattr(settings, "dataset", None)
    for dataset in graph.evaluated_on(node.name):
        if dataset != own:
            yield from _needs_head(graph, node.name, dataset, "evaluate")
    if isinstance(settings, SelectSettings):
        for name in settings.among:
            yield from _needs_head(graph, name, settings.dataset, "among")
    if isinstance(settings, Distillation) and settings.reads_head:
        yield from _needs_head(graph, settings.teacher, settings.dataset, "teacher")


def _exports(graph: Graph, node: Node) -> Findings:
    for name in node.settings.export:
        dataset = graph.datasets[name]
        if dataset.task in EXPORTED:
            yield from _needs_head(graph, node.name, name, "export")
        else:
            what = f"{name!r} is for {dataset.task}; labels are exported of {' and '.join(EXPORTED)}"
            yield ("export",), what
        for rows in (dataset.settings.rows, dataset.sources[0].rows):
            for split in rows if isinstance(rows, dict) else ():
                if split.startswith("test"):
                    what = f"{name!r} has a sample of {split!r}, of which all rows are exported"
                    yield ("export",), f"{what}; take it out of `rows`"


def _needs_head(graph: Graph, model: str, dataset: str, setting: str) -> Findings:
    facts, entry = graph.facts[model], graph.datasets[dataset]
    if what := task_misfit(facts, entry, model):
        yield (setting,), f"{what}; name a model trained for {entry.task}"
    elif what := label_misfit(facts, entry, model):
        yield (setting,), what


def _selection(graph: Graph, node: Node) -> Findings:
    settings = node.settings
    if not isinstance(settings, SelectSettings):
        return
    metrics = graph.datasets[settings.dataset].metrics
    if settings.metric is not None and settings.metric not in metrics:
        yield ("metric",), _no_metric(settings.dataset, settings.metric, metrics)
    if settings.split == "train":
        yield ("split",), "models are scored on held-out splits; give `validation` or `test`"
    for what in _no_split(graph.datasets[settings.dataset], settings.split):
        yield ("split",), what


def _importance(graph: Graph, node: Node) -> Findings:
    settings = node.settings
    if not isinstance(settings, PruneSettings | ScheduleSettings) or node.name not in graph.whole:
        return
    given = settings.importance
    scored = (given and given.model) or settings.source
    same = graph.trained_from(settings.source)
    if scored not in same:
        able = " or ".join(_rankable(graph, settings, same) or same)
        yield (
            ("importance", "model"),
            f"{settings.source!r} does not have the units of {scored!r}, trained; give {able}",
        )
        return
    wanted = graph.importance_of(settings)
    if wanted is None:
        if settings.needs_ranks and (given or graph.facts[settings.source].ranked is False):
            criterion = (given or ImportanceSettings()).criterion
            use = "that ranks the units" if _reads_data(criterion) else "whose name the scores go by"
            what = f"is required, with a `dataset` {use}: {scored!r} was trained on none"
            yield ("importance",), what
        return
    yield from _ranking_data(graph, *wanted)


def _rankable(graph: Graph, settings: PruneSettings | ScheduleSettings, names: Iterable[str]) -> list[str]:
    """Return those models by whose scores a node's units can be ranked as it asks."""
    asked = settings.importance or ImportanceSettings()
    found = []
    for name in names:
        update = {"importance": asked.model_copy(update={"model": name})}
        wanted = graph.importance_of(settings.model_copy(update=update))
        if wanted and not any(_ranking_data(graph, *wanted)):
            found.append(name)
    return found


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
    if how.split == "train" and dataset.settings.labels:
        yield ("importance",), f"units are ranked by the loss of labels, {name!r} has `labels: none`"
    if how.split.startswith("test"):
        what = (
            "test labels are for scores alone, or a choice would have seen them; give `train` or `validation`"
        )
        yield ("importance", "split"), what
    for what in _no_split(dataset, how.split):
        yield ("importance", "split"), what
    yield from _needs_head(graph, scored, name, "importance")


def _no_split(dataset: Dataset, split: str) -> Iterator[str]:
    """Yield what is wrong with the name of a split: it is no usual one, and none that the dataset names."""
    source = dataset.sources[0]
    known = {*SPLIT_FILES, *source.files}
    # Others may be in a repository, or go by the names of several parts, such as `validation_mismatched`.
    if isinstance(source, HubSettings) or split in known or split.partition("_")[0] in SPLIT_FILES:
        return
    yield f"{dataset.name!r} has no split {split!r}; {suggest(split, known)}"


def _schedule(graph: Graph, node: Node) -> Findings:
    if not isinstance(node.settings, ScheduleSettings):
        return
    dataset, metric = node.settings.dataset, graph.metric_of(node.settings)
    metrics = constants(catalog.TASKS[graph.datasets[dataset].task])["all_metrics"]
    if metric not in metrics:
        yield ("metric",), _no_metric(dataset, metric, metrics)
    elif metric in LOWER_IS_BETTER:
        what = f"sparsity counts for an assistant as {metric} counts against it; give another metric"
        yield ("metric",), what


def _no_metric(dataset: str, metric: str, known: Iterable[str]) -> str:
    return f"{dataset!r} has no metric {metric!r}; {suggest(metric, known)}"


def _best(graph: Graph, node: Node) -> Findings:
    settings = node.settings
    if not isinstance(settings, FinetuneSettings | PretrainSettings | Distillation):
        return
    name = str(getattr(settings.training, "metric_for_best_model", None) or "").removeprefix("eval_")
    task = graph.datasets[settings.dataset].task
    metrics = constants(catalog.TASKS[task])["all_metrics"]
    # Those of one type of entity are named as `f1:PER`.
    kind = name.partition(":")[0] if task == "token_classification" else name
    if isinstance(settings, ScheduleSettings):
        metrics = ("tradeoff",)
    if name and kind not in metrics:
        yield ("training", "metric_for_best_model"), _no_metric(settings.dataset, name, metrics)


def _reads(graph: Graph, node: Node) -> Iterator[tuple[str, str, str]]:
    """Yield each model that reads a dataset for a node: (setting, model, dataset)."""
    settings = node.settings
    own = getattr(settings, "dataset", None)
    if own:
        yield "dataset", node.name, own
    if isinstance(settings, Distillation):
        yield "teacher", settings.teacher, settings.dataset
    for name in graph.evaluated_on(node.name):
        if name != own:
            yield "evaluate", node.name, name
    for name in settings.export:
        yield "export", node.name, name
    if node.name in graph.whole and (wanted := graph.importance_of(settings)):
        yield "importance", *wanted[:2]


def _segments(graph: Graph, node: Node) -> Findings:
    """Find pairs of texts that are read by a model with a table of one segment."""
    for setting, model, name in _reads(graph, node):
        facts, dataset = graph.facts[model], graph.datasets[name]
        pairs = dataset.task == QUESTION_ANSWERING or any(map(has_pairs, dataset.sources))
        if pairs and facts.shape.segments == 1 and facts.pair_segments > 1:
            yield (setting,), f"{name!r} has pairs of texts, but {model!r} {ONE_SEGMENT}"


def _check_lengths(graph: Graph, node: Node, mistakes: Mistakes) -> None:
    """Find datasets that are longer than the positions of a model that reads them."""
    for _, model, name in _reads(graph, node):
        dataset = graph.datasets[name]
        positions = longest_input(graph.facts[model].shape, dataset.task)
        if positions and dataset.max_length > positions:
            # A combination has the length of its first part unless it gives one.
            while isinstance(dataset.settings, CombineSettings) and dataset.settings.max_length is None:
                dataset = graph.datasets[dataset.settings.combine[0]]
            what = f"{name!r} has {dataset.max_length}, but {model!r} reads at most {positions} tokens"
            mistakes.add(("datasets", dataset.template, "max_length"), what, f"{model} {name}")


CHECKS: tuple[Callable[[Graph, Node], Findings], ...] = (
    _task,
    _labels,
    _heads,
    _exports,
    _selection,
    _importance,
    _schedule,
    _best,
    _segments,
    check_distillation,
)
