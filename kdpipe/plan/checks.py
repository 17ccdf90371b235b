"""Checks of a graph as a whole: heads, submissions, segments, lengths, the stages, measurements and report.

A check of a node yields (setting of the node's stage, what is wrong). What is not known of a model passes.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

from kdpipe import catalog
from kdpipe.anatomy.families import ONE_SEGMENT, QUESTION_ANSWERING, longest_input
from kdpipe.config.document import Document
from kdpipe.config.mistakes import Findings, Mistakes
from kdpipe.config.settings.dataset import has_pairs
from kdpipe.config.settings.measure import LatencySettings
from kdpipe.config.settings.report import AXES
from kdpipe.declarations import constants
from kdpipe.errors import KdpipeError, suggest
from kdpipe.plan.entries import Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.model_stage import datasets_of
from kdpipe.plan.published import read_published
from kdpipe.plan.stages.export import check_exports
from kdpipe.plan.suitability import needs_head

SUBMITTED = ("classification", "regression")


def check_graph(graph: Graph, mistakes: Mistakes) -> None:
    """Find the mistakes that only the whole graph shows."""
    for name, node in graph.nodes.items():
        of_stage = graph.stage_of(name).checks(graph, node)
        for setting, what in chain(
            _heads(graph, node),
            _submissions(graph, node),
            check_exports(graph, node),
            _int8(graph, node),
            _segments(graph, node),
            _masks(graph, node),
            of_stage,
        ):
            where = graph.document.place(node.template, node.stage, setting)
            named = what if name == node.template else f"{what} (in {name})"
            mistakes.add(where, named, name)
        _check_lengths(graph, node, mistakes)
    _check_measured(graph, mistakes)


def _heads(graph: Graph, node: Node) -> Findings:
    for dataset in graph.evaluated_on(node.name):
        if dataset not in datasets_of(node.settings):
            yield from needs_head(graph, node.name, dataset, "evaluate")


def _submissions(graph: Graph, node: Node) -> Findings:
    for name in node.settings.submit:
        dataset = graph.datasets[name]
        if dataset.task in SUBMITTED:
            yield from needs_head(graph, node.name, name, "submit")
        else:
            what = f"{name!r} is for {dataset.task}; labels are submitted of {' and '.join(SUBMITTED)}"
            yield ("submit",), what
        for rows in (dataset.rows, dataset.sources[0].rows):
            for split in rows if isinstance(rows, dict) else ():
                if split.startswith("test"):
                    what = f"{name!r} has a sample of {split!r}, but all rows are submitted"
                    yield ("submit",), f"{what}; take it out of `rows`"


def _int8(graph: Graph, node: Node) -> Findings:
    """Find models with int8 layers that are trained, cut or copied in part."""
    for setting, kind, name in node.settings.references():
        allowed = graph.stage_of(node.name).runs_int8
        if kind == "model" and setting not in allowed and (told := graph.facts[name].in_int8):
            what = f"{name!r} {told}, and can then only be run"
            yield (setting,), f"{what}; name the model that it was made from"


def _segments(graph: Graph, node: Node) -> Findings:
    """Find pairs of texts that are read by a model with a table of one segment."""
    for setting, model, name in graph.stage_of(node.name).readings(graph, node):
        facts, dataset = graph.facts[model], graph.datasets[name]
        pairs = dataset.task == QUESTION_ANSWERING or any(map(has_pairs, dataset.sources))
        if pairs and facts.shape.segments == 1 and facts.pair_segments > 1:
            yield (setting,), f"{name!r} has pairs of texts, but {model!r} {ONE_SEGMENT}"


def _masks(graph: Graph, node: Node) -> Findings:
    """Find copies with masked words that are read by a model whose tokenizer has no mask token."""
    for setting, model, name in graph.stage_of(node.name).readings(graph, node):
        augmentation = graph.datasets[name].augmentation
        if augmentation and augmentation.needs_mask and not graph.facts[model].masks:
            what = f"{name!r} masks words, but the tokenizer of {model!r} has no mask token"
            yield (setting,), f"{what}; take another method, or a model whose tokenizer has one"


def _check_lengths(graph: Graph, node: Node, mistakes: Mistakes) -> None:
    """Find datasets that are longer than the positions of a model that reads them."""
    for _, model, name in graph.stage_of(node.name).readings(graph, node):
        dataset = graph.datasets[name]
        positions = longest_input(graph.facts[model].shape, dataset.task)
        if positions and dataset.max_length > positions:
            # A combination has the length of its first part unless it gives one.
            while dataset.settings.base and dataset.settings.max_length is None:
                dataset = graph.datasets[dataset.settings.base]
            what = f"{name!r} has {dataset.max_length}, but {model!r} reads at most {positions} tokens"
            mistakes.add(("datasets", dataset.template, "max_length"), what, f"{model} {name}")


def _check_measured(graph: Graph, mistakes: Mistakes) -> None:
    """Find measured lengths that are longer than the positions of a model."""
    latency = graph.document.measure.latency if graph.document.measure else LatencySettings()
    found = "found" if "length" in latency.model_fields_set else "the default is"
    for name in graph.measured:
        facts = graph.facts[name]
        # Of several heads the first runs.
        task = facts.heads[min(facts.heads)][0] if facts.heads else facts.head or ""
        positions = longest_input(facts.shape, task)
        for index, length in enumerate(latency.length):
            if positions and length > positions:
                what = (
                    f"{found} {length}, but {name!r} reads at most {positions} tokens; give shorter lengths"
                )
                mistakes.add(("measure", "latency", "length", index), what, name)


def check_report(
    document: Document, models: Iterable[str], variables: Sequence[str], mistakes: Mistakes
) -> None:
    """Find the mistakes in what the report compares and draws, from names of models and matrix variables."""
    for index, variable in enumerate(document.report.over):
        if variable not in {*variables, "seed"}:
            what = f"the matrix has no variable {variable!r}; {suggest(variable, variables)}"
            mistakes.add(("report", "over", index), what)
    baseline = document.report.baseline
    if baseline and baseline not in {*models, *document.models}:
        what = f"there is no model {baseline!r}; {suggest(baseline, document.models)}"
        mistakes.add(("report", "baseline"), what)
    published = document.report.published_file
    if published and not published.is_file():
        what = f"there is no file {published}; relative paths start at the working folder"
        mistakes.add(("report", "published"), what)
    elif published:
        try:
            read_published(published)
        except KdpipeError as error:
            mistakes.add(("report", "published"), str(error))
    _check_plots(document, variables, mistakes)


def _check_plots(document: Document, variables: Sequence[str], mistakes: Mistakes) -> None:
    left = {*variables, "seed"}.difference(document.report.over)
    columns = {*AXES, *left, *(f"{{{variable}}}" for variable in left)}
    metrics = {metric for task in catalog.TASKS.values() for metric in constants(task)["all_metrics"]}
    for index, plot in enumerate(document.report.plots):
        for key, name, known in (("x", plot.x, columns), ("y", plot.y, metrics), ("by", plot.by, columns)):
            if name is not None and name not in known:
                kind = "metric" if key == "y" else "column"
                what = f"there is no {kind} {name!r}; {suggest(name, sorted(known))}"
                mistakes.add(("report", "plots", index, key), what)
