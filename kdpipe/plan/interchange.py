"""Whether the counterfactual runs of a distillation can be made of its teachers and its student."""

from collections.abc import Iterator

from kdpipe.anatomy.alignments import Alignment, alignment_between, faults
from kdpipe.anatomy.families import LANGUAGE_MODELING, family_facts
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.base import ByColumn
from kdpipe.config.settings.distillation import Lesson
from kdpipe.config.settings.interchange import InterchangeSettings
from kdpipe.errors import KdpipeError
from kdpipe.plan.graph import Graph
from kdpipe.plan.heads import sides


def wrong_interchange(graph: Graph, lesson: Lesson) -> Findings:
    """Yield what keeps a teacher and a student from counterfactual runs."""
    settings = interchange_of(lesson)
    if settings is None:
        return
    if lesson.settings.cache == "on":
        what = "a counterfactual run needs the teacher beside the student, with other sources in each epoch"
        yield ("cache",), f"{what}; give `cache: off`, or remove it"
    if isinstance(lesson.settings.teacher, ByColumn):
        what = "the signals of teachers by a column are stored, and counterfactual runs cannot be"
        yield ("teacher",), f"{what}; take one teacher, or a list"
    teacher, student = sides(graph, lesson)
    # Tokenizers that are not fetched yet may be equal; the stage compares them.
    known = None not in (teacher.shape.vocabulary, student.shape.vocabulary)
    if known and teacher.tokenizer and student.tokenizer and teacher.tokenizer != student.tokenizer:
        what = "activations are swapped token by token, but the tokenizers differ: the teacher's is of"
        found = f"{teacher.tokenizer!r}, the student's of {student.tokenizer!r}"
        yield ("interchange",), f"{what} {found}; take a student with the teacher's tokenizer"
    yield from _wrong_sites(graph, lesson, settings)
    if getattr(lesson.settings.training, "torch_compile", None):
        what = "runs that begin and end inside a model are not supported of a compiled model"
        yield ("training", "torch_compile"), f"{what}; remove this"
    yield from _unsuited_data(graph, lesson, settings)


def alignments(graph: Graph, lesson: Lesson) -> Iterator[str]:
    """Yield the sites of a teacher and a student that are swapped, in words."""
    settings = interchange_of(lesson)
    if settings is None:
        return
    if settings.swap == "tokens":
        yield "tokens are swapped, in no block"
        return
    found = alignment_of(graph, lesson, settings) or ()
    sites = "; ".join(" or ".join(map(str, entry)) for entry in found)
    below = ", read a block below" if settings.read == "shifted" else ""
    yield f"{sites}{below}" if sites else "known once the models are fetched"


def interchange_of(lesson: Lesson) -> InterchangeSettings | None:
    """Return what is swapped for a lesson; None where no term with a weight reads a counterfactual run."""
    settings: InterchangeSettings | None = getattr(lesson.settings, "interchange", None)
    return settings if lesson.intervenes else None


def alignment_of(graph: Graph, lesson: Lesson, settings: InterchangeSettings) -> Alignment | None:
    """Return the sites of a teacher and a student; None where a depth is unknown, or nothing has a site."""
    if settings.swap == "tokens":
        return None
    depths = [side.shape.depth for side in sides(graph, lesson)]
    if settings.named and None in depths:
        return None
    return alignment_between(settings.sites, *(depth or 0 for depth in depths))


def _wrong_sites(graph: Graph, lesson: Lesson, settings: InterchangeSettings) -> Findings:
    """Yield which sites the models do not have."""
    teacher, student = sides(graph, lesson)
    try:
        alignment = alignment_of(graph, lesson, settings) or ()
    except KdpipeError as error:
        yield ("interchange", "alignment"), str(error)
    else:
        cut = bool(teacher.ranked), bool(student.ranked)
        for what in faults(alignment, teacher.shape, student.shape, settings.read, cut):
            yield ("interchange", "alignment"), what


def _unsuited_data(graph: Graph, lesson: Lesson, settings: InterchangeSettings) -> Findings:
    task = graph.datasets[lesson.dataset].task
    family = graph.facts[lesson.learner].shape.family
    masks = task == LANGUAGE_MODELING and not (family and family_facts(family)["causal"])
    if settings.positions == "masked" and not masks:
        what = "`masked` needs a model that predicts masked tokens"
        yield ("interchange", "positions"), f"{what}; take `consecutive` or `scattered`"
    if settings.sources == "in_context" and len(lesson.settings.datasets) > 1:
        what = "`in_context` draws from the token counts of one dataset"
        yield ("interchange", "sources"), f"{what}; take `fixed` or `epoch`"
