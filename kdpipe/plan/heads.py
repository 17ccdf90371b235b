"""Whether the heads of two models can be compared as loss terms do."""

from collections.abc import Collection, Iterator

from kdpipe.anatomy.families import family_facts
from kdpipe.anatomy.signals import SIGNAL_KINDS
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.distillation import Distillation, Lesson
from kdpipe.config.settings.losses import TermSettings
from kdpipe.plan.entries import Facts
from kdpipe.plan.graph import Graph


def sides(graph: Graph, lesson: Lesson) -> tuple[Facts, Facts]:
    """Return what is known of the teacher and of the student."""
    return graph.facts[lesson.teacher], graph.facts[lesson.learner]


def equally_deep(teacher: Facts, student: Facts) -> bool:
    """Tell whether two models have the same depth, though it is not known yet."""
    return bool(teacher.deep_as) and teacher.deep_as == student.deep_as


def wrong_heads(graph: Graph, lesson: Lesson) -> Findings:
    """Yield which terms compare attention heads that one side has not, or not as many."""
    facts, names = sides(graph, lesson), (lesson.teacher, lesson.learner)
    for index, term in lesson.terms:
        for name, side, kinds in zip(names, facts, (term.teacher_kinds, term.student_kinds), strict=True):
            if side.shape.heads == 0 and any(SIGNAL_KINDS[kind].attends for kind in kinds):
                what = f"{term.loss} compares {' and '.join(kinds)}"
                yield ("losses", index), f"{what}, but {name!r}, a {side.shape.family}, has no heads"
        heads = [side.shape.heads if side.ranked is False else None for side in facts]
        if compares_heads(term) and all(heads) and heads[0] != heads[1]:
            what = f"{term.loss} needs equally many heads in a block of teacher and student"
            found = f"the teacher has {heads[0]}, the student {heads[1]}"
            yield ("losses", index), f"{what}; {found}; {remedy(term)}"
        for what in _divisions(term, facts):
            yield ("losses", index, term.declared["divided_by"]), what


def heads_of_sizes(settings: Distillation) -> Findings:
    """Yield which terms compare head by head, which smaller sizes of a model cannot be."""
    for index, term in enumerate(settings.losses):
        if compares_heads(term):
            needed = "equally many heads in a block of teacher and student"
            what = f"{term.loss} needs {needed}, but smaller sizes of the teacher have fewer"
            yield ("losses", index), f"{what}; {remedy(term)}"


def compares_heads(term: TermSettings) -> bool:
    """Tell whether a term compares attentions head by head."""
    wanted: bool | tuple[str, str] = term.declared["same_heads"]
    return wanted if isinstance(wanted, bool) else getattr(term, wanted[0]) == wanted[1]


def remedy(term: TermSettings) -> str:
    """Return what else compares attentions of other numbers of heads."""
    named = term.declared["same_heads"]
    other = "" if isinstance(named, bool) else f"give another value of `{named[0]}`, or "
    return f"{other}use `relation`, which divides heads again"


def _divisions(term: TermSettings, sides: Collection[Facts]) -> Iterator[str]:
    """Yield whose heads cannot be divided again as a term does."""
    option = term.declared["divided_by"]
    teacher, *_ = sides
    if not option:
        return
    parts = getattr(term, option) or (teacher.shape.heads if teacher.ranked is False else None) or 1
    for side in sides:
        width, family = side.shape.width or 0, side.shape.family
        if family and side.ranked is False and family_facts(family)["heads_share_width"] and width % parts:
            features = f"the {width} features of a {family}'s heads"
            yield f"{parts} heads cannot share {features}; give a divisor of both models' widths"
