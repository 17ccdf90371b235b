"""Checks of a distillation beside what its teacher, its learner and its dataset are."""

from kdpipe import catalog
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.distillation import Distillation
from kdpipe.config.settings.losses import HiddenTermSettings
from kdpipe.declarations import constants
from kdpipe.errors import KdpipeError
from kdpipe.plan.entries import LANGUAGE_MODELING, Facts, Node
from kdpipe.plan.graph import Graph


def check_distillation(graph: Graph, node: Node) -> Findings:
    """Yield what is wrong with a distillation: its losses, layers, cache, tokenizers."""
    if isinstance(node.settings, Distillation):
        for find in (_terms, _layers, _cache, _tokenizers):
            yield from find(graph, node.settings)


def _terms(graph: Graph, settings: Distillation) -> Findings:
    if not any(term.weight for term in settings.losses):
        yield ("losses",), "all weights are 0, so nothing would be learned"
    task = graph.datasets[settings.dataset].task
    if constants(catalog.TASKS[task])["positions"] != "labelled":
        for index, term in enumerate(settings.losses):
            if term.positions == "masked":
                yield ("losses", index, "positions"), f"`masked` needs tokens with labels, {task} has none"
    elif task != LANGUAGE_MODELING:
        for index, term in enumerate(settings.losses):
            if term.positions == "all" and term.signal == "logits":
                yield ("losses", index, "positions"), f"logits of {task} are compared where there are labels"


def _layers(graph: Graph, settings: Distillation) -> Findings:
    teacher, student = (graph.facts[name].shape.width for name in (settings.teacher, settings.learner))
    for index, term in enumerate(settings.losses):
        if not isinstance(term, HiddenTermSettings):
            continue
        try:
            graph.pairs_of(settings, term)
        except KdpipeError as error:
            yield ("losses", index, "layers"), str(error)
        if term.same_width and teacher and student and teacher != student and not term.projection:
            yield (
                ("losses", index),
                f"the teacher's states are {teacher} wide, the student's {student}; "
                "give a `projection`, such as {kind: linear}",
            )


def _cache(graph: Graph, settings: Distillation) -> Findings:
    if not graph.is_cached(settings):
        return
    if graph.datasets[settings.dataset].task == LANGUAGE_MODELING:
        yield ("cache",), "text is masked anew in every epoch, so a teacher's signals on it cannot be stored"
    student = graph.facts[settings.learner]
    terms = [term for term in settings.losses if isinstance(term, HiddenTermSettings) and term.weight]
    has_maps = any(isinstance(term.layers, str) for term in terms)
    if has_maps and student.shape.depth is None and student.tokenizer and not graph.equally_deep(settings):
        yield (
            ("cache",),
            "which states to store is unknown until the student is fetched; give `cache: off`, `layers` "
            "as a list of pairs, or a student that is loaded from a folder",
        )


def _tokenizers(graph: Graph, settings: Distillation) -> Findings:
    teacher, student = graph.facts[settings.teacher], graph.facts[settings.learner]
    if teacher.tokenizer == student.tokenizer or not (teacher.tokenizer and student.tokenizer):
        return
    if None in (teacher.shape.vocabulary, student.shape.vocabulary):
        # Tokenizers that are not fetched yet may be equal; the stage compares them.
        return
    aligned = constants(catalog.TASKS[graph.datasets[settings.dataset].task])["by_token"]
    terms = [term for term in settings.losses if term.weight and term.needs_teacher]
    by_position = [term.loss for term in terms if aligned or isinstance(term, HiddenTermSettings)]
    if by_position:
        yield (
            ("losses",),
            f"{' and '.join(dict.fromkeys(by_position))} compare position by position, but the tokenizers "
            f"differ: the teacher's is of {_vocabulary(teacher)}, the student's of {_vocabulary(student)}",
        )
    elif terms and not graph.is_cached(settings):
        yield (
            ("cache",),
            "teacher and student have different tokenizers, which needs a cache; remove `cache: off`",
        )


def _vocabulary(facts: Facts) -> str:
    size = facts.shape.vocabulary
    return repr(facts.tokenizer) + (f" with {size} entries" if size else "")
