"""Checks of a graph as a whole: tasks, heads, layers, widths, vocabularies, lengths.

Each check looks at one node and yields (key below the node's stage, what is wrong).
"""

from collections.abc import Callable, Iterator, Sequence

from kdpipe.config.graph import Graph, Node
from kdpipe.config.layers import Pairs
from kdpipe.config.settings.distill import DistillSettings
from kdpipe.config.settings.extract import ExtractSettings
from kdpipe.config.settings.losses import HiddenTermSettings
from kdpipe.config.settings.pretrain import PretrainSettings
from kdpipe.config.settings.select import SelectSettings
from kdpipe.errors import KdpipeError, Problem, suggest

Findings = Iterator[tuple[str, str]]
LANGUAGE_MODELING = "language_modeling"


def check(graph: Graph, variables: Sequence[str]) -> list[Problem]:
    """Return the mistakes that only the whole graph shows."""
    problems = [
        Problem(f"models.{node.template}.{node.stage}.{key}", what)
        for node in graph.nodes.values()
        for find in CHECKS
        for key, what in find(graph, node)
    ]
    return problems + list(_report(graph, variables))


def _task(graph: Graph, node: Node) -> Findings:
    dataset = getattr(node.settings, "dataset", None)
    if dataset is None:
        return
    task = graph.datasets[dataset].task
    if isinstance(node.settings, PretrainSettings) and task != LANGUAGE_MODELING:
        yield "dataset", f"expected a language_modeling dataset, {dataset!r} is for {task}"
    unlabelled = graph.datasets[dataset].settings.labels == "none"
    if node.stage == "finetune" and unlabelled:
        yield "dataset", f"{dataset!r} has `labels: none`; fine-tuning needs labels"
    if isinstance(node.settings, DistillSettings) and unlabelled:
        for index, term in enumerate(node.settings.losses):
            if not term.needs_teacher:
                yield (
                    f"losses[{index}]",
                    f"{term.loss} needs labels, {dataset!r} has `labels: none`",
                )


def _length(graph: Graph, node: Node) -> Findings:
    dataset = getattr(node.settings, "dataset", None)
    positions = graph.facts[node.name].shape.positions
    if dataset and positions and graph.datasets[dataset].max_length > positions:
        length = graph.datasets[dataset].max_length
        yield (
            "dataset",
            f"{dataset!r} has max_length {length}, the model reads at most {positions} tokens",
        )


def _heads(graph: Graph, node: Node) -> Findings:
    for dataset in graph.evaluated_on(node.name):
        yield from _needs_head(graph, node.name, dataset, "evaluate")
    if isinstance(node.settings, SelectSettings):
        for name in node.settings.among:
            yield from _needs_head(graph, name, node.settings.dataset, "among")
    if isinstance(node.settings, DistillSettings) and any(
        term.signal == "logits" and term.needs_teacher for term in node.settings.losses
    ):
        yield from _needs_head(graph, node.settings.teacher, node.settings.dataset, "teacher")


def _needs_head(graph: Graph, model: str, dataset: str, key: str) -> Findings:
    head, task = graph.facts[model].head, graph.datasets[dataset].task
    if head is not None and head != task:
        has = f"a head for {head}" if head else "no head"
        yield (
            key,
            f"{dataset!r} is for {task}, but {model!r} has {has}; name a model trained for {task}",
        )


def _losses(graph: Graph, node: Node) -> Findings:
    if not isinstance(node.settings, DistillSettings):
        return
    if not any(term.weight for term in node.settings.losses):
        yield "losses", "all weights are 0, so nothing would be learned"
    if graph.datasets[node.settings.dataset].task != LANGUAGE_MODELING:
        for index, term in enumerate(node.settings.losses):
            if term.positions == "masked":
                yield f"losses[{index}].positions", "`masked` needs a language_modeling dataset"


def _layers(graph: Graph, node: Node) -> Findings:
    if not isinstance(node.settings, DistillSettings):
        return
    teacher, student = (graph.facts[name].shape for name in (node.settings.teacher, node.settings.student))
    for index, term in enumerate(node.settings.losses):
        if not isinstance(term, HiddenTermSettings):
            continue
        try:
            _pairs_of(graph, node.settings, term)
        except KdpipeError as error:
            yield f"losses[{index}].layers", str(error)
        widths = (teacher.width, student.width)
        if None not in widths and teacher.width != student.width and term.projection is None:
            yield (
                f"losses[{index}]",
                f"the teacher's states are {teacher.width} wide, the student's {student.width}; "
                "give a `projection`, such as {kind: linear}",
            )


def _cache(graph: Graph, node: Node) -> Findings:
    settings = node.settings
    if not isinstance(settings, DistillSettings) or not graph.is_cached(settings):
        return
    if graph.datasets[settings.dataset].task == LANGUAGE_MODELING:
        yield "cache", "text is masked anew in every epoch, so a teacher's signals on it cannot be stored"
    depths = {graph.facts[name].shape.depth for name in (settings.teacher, settings.student)}
    if depths == {None} and any(isinstance(term, HiddenTermSettings) for term in settings.losses):
        yield (
            "cache",
            "the depths of both models are unknown until fetched; give `cache: off`, or load folders",
        )


def _pairs_of(graph: Graph, settings: DistillSettings, term: HiddenTermSettings) -> Pairs | None:
    return graph.layer_pairs(settings.model_copy(update={"losses": (term,)}))[0][1]


def _vocabularies(graph: Graph, node: Node) -> Findings:
    if not isinstance(node.settings, DistillSettings):
        return
    settings = node.settings
    teacher, student = graph.facts[settings.teacher], graph.facts[settings.student]
    aligned = graph.datasets[settings.dataset].task == LANGUAGE_MODELING
    sizes = (teacher.shape.vocabulary, student.shape.vocabulary)
    if aligned and None not in sizes and sizes[0] != sizes[1]:
        yield (
            "student",
            f"positions must align, but the vocabularies have {sizes[0]} (teacher) and {sizes[1]} entries",
        )
    if teacher.tokenizer == student.tokenizer:
        return
    for index, term in enumerate(settings.losses):
        if term.needs_teacher and (aligned or isinstance(term, HiddenTermSettings)):
            yield (
                f"losses[{index}]",
                f"{term.loss} compares position by position, but the tokenizers differ "
                f"({teacher.tokenizer!r} and {student.tokenizer!r})",
            )
    if not aligned and not graph.is_cached(settings):
        yield (
            "cache",
            "teacher and student have different tokenizers, which needs a cache; remove `cache: off`",
        )


def _extraction(graph: Graph, node: Node) -> Findings:
    settings = node.settings
    if (
        isinstance(settings, ExtractSettings)
        and settings.architecture == "same"
        and not settings.vocab_transform
    ):
        yield "vocab_transform", "`false` is for `architecture: distilbert` only"


def _report(graph: Graph, variables: Sequence[str]) -> Iterator[Problem]:
    settings = graph.document.report
    for variable in settings.over:
        if variable not in variables and variable != "seed":
            yield Problem(
                "report.over",
                f"the matrix has no variable {variable!r}; {suggest(variable, variables)}",
            )
    templates = {node.template for node in graph.nodes.values()}
    if settings.baseline and settings.baseline not in templates | graph.nodes.keys():
        yield Problem(
            "report.baseline",
            f"there is no model {settings.baseline!r}; {suggest(settings.baseline, templates)}",
        )


CHECKS: tuple[Callable[[Graph, Node], Findings], ...] = (
    _task,
    _length,
    _heads,
    _losses,
    _layers,
    _cache,
    _vocabularies,
    _extraction,
)
