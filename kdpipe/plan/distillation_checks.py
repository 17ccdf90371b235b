"""Checks of a distillation beside what its teacher, its learner and its dataset are."""

from collections.abc import Collection, Iterator

from kdpipe import catalog
from kdpipe.anatomy.families import family_facts
from kdpipe.anatomy.signals import SIGNAL_KINDS
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.distillation import Distillation
from kdpipe.config.settings.losses import TermSettings
from kdpipe.declarations import constants
from kdpipe.errors import KdpipeError
from kdpipe.plan.entries import LANGUAGE_MODELING, Facts, Node
from kdpipe.plan.graph import Graph


def check_distillation(graph: Graph, node: Node) -> Findings:
    """Yield what is wrong with a distillation: its losses, layers, heads, cache, tokenizers."""
    if isinstance(node.settings, Distillation):
        for find in (_terms, _layers, _heads, _cache, _tokenizers):
            yield from find(graph, node.settings)


def _terms(graph: Graph, settings: Distillation) -> Findings:
    if not any(term.weight for term in settings.losses):
        yield ("losses",), "all weights are 0, so nothing would be learned"
    task = graph.datasets[settings.dataset].task
    labelled = constants(catalog.TASKS[task])["positions"] == "labelled"
    for index, term in enumerate(settings.losses):
        place, outputs = ("losses", index, "positions"), not _aligned(term)
        if term.positions and (term.declared["compares"], term.declared["averaged_over"]) != ("rows", "rows"):
            yield place, f"{term.loss} compares all tokens of an example; remove this"
        elif term.positions == "masked" and not labelled:
            yield place, f"`masked` needs tokens with labels, {task} has none"
        elif term.positions == "all" and labelled and task != LANGUAGE_MODELING and outputs:
            yield place, f"logits of {task} are compared where there are labels"


def _layers(graph: Graph, settings: Distillation) -> Findings:
    teacher, student = (graph.facts[name].shape.width for name in (settings.teacher, settings.learner))
    for index, term in enumerate(settings.losses):
        try:
            graph.pairs_of(settings, term)
        except KdpipeError as error:
            yield ("losses", index, "layers"), str(error)
        differs = teacher and student and teacher != student
        if term.declared["same_width"] and differs and not term.projection_settings:
            yield (
                ("losses", index),
                f"the teacher's states are {teacher} wide, the student's {student}; "
                "give a `projection`, such as {kind: linear}",
            )


def _heads(graph: Graph, settings: Distillation) -> Findings:
    """Yield which terms compare attention heads that one side has not, or not as many."""
    facts = {name: graph.facts[name] for name in (settings.teacher, settings.learner)}
    counts = {name: own.shape.heads for name, own in facts.items() if own.ranked is False}
    for index, term in enumerate(settings.losses):
        sides = {settings.teacher: term.teacher_kinds, settings.learner: term.student_kinds}
        for name, kinds in sides.items():
            if facts[name].shape.heads == 0 and any(SIGNAL_KINDS[kind].attends for kind in kinds):
                what = f"{term.loss} compares {' and '.join(kinds)}"
                yield ("losses", index), f"{what}, but {name!r}, a {facts[name].shape.family}, has no heads"
        found = [counts.get(name) for name in (settings.teacher, settings.learner)]
        if term.declared["same_heads"] and all(found) and found[0] != found[1]:
            what = f"the teacher's has {found[0]}, the student's {found[1]}"
            yield ("losses", index), f"{term.loss} needs as many heads in a block, {what}"
        yield from (((("losses", index)), what) for what in _divisions(term, facts.values()))


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
            yield f"{option}: {parts} heads cannot share the {width} features of a {family}'s heads"


def _cache(graph: Graph, settings: Distillation) -> Findings:
    if not graph.is_cached(settings):
        return
    if graph.datasets[settings.dataset].task == LANGUAGE_MODELING:
        yield ("cache",), "text is masked anew in every epoch, so a teacher's signals on it cannot be stored"
    student = graph.facts[settings.learner]
    has_maps = any(term.pairs(None, None) is None for term in settings.taught)
    if has_maps and student.shape.depth is None and student.tokenizer and not graph.equally_deep(settings):
        yield (
            ("cache",),
            "which layers to store is unknown until the student is fetched; give `cache: off`, `layers` "
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
    by_position = [term.loss for term in settings.taught if aligned or _aligned(term)]
    if by_position:
        yield (
            ("losses",),
            f"{' and '.join(dict.fromkeys(by_position))} compare position by position, but the tokenizers "
            f"differ: the teacher's is of {_vocabulary(teacher)}, the student's of {_vocabulary(student)}",
        )
    elif settings.taught and not graph.is_cached(settings):
        yield (
            ("cache",),
            "teacher and student have different tokenizers, which needs a cache; remove `cache: off`",
        )


def _aligned(term: TermSettings) -> bool:
    return any(SIGNAL_KINDS[kind].aligned for kind in term.student_kinds)


def _vocabulary(facts: Facts) -> str:
    size = facts.shape.vocabulary
    return repr(facts.tokenizer) + (f" with {size} entries" if size else "")
