"""What of a teacher's states a distillation takes."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from types import SimpleNamespace

from kdpipe.anatomy.knowledge import (
    Amount,
    Selection,
    Share,
    columns_of,
    covers,
    differing_way,
    top_pairs,
    ways_of,
    wrong_selection,
)
from kdpipe.anatomy.layers import parts
from kdpipe.anatomy.signals import SIGNAL_KINDS, Signal
from kdpipe.config.mistakes import Findings
from kdpipe.config.settings.base import ByColumn
from kdpipe.config.settings.distillation import Lesson
from kdpipe.config.settings.knowledge import KnowledgeSettings
from kdpipe.config.settings.losses import PlacePairs, TermSettings
from kdpipe.errors import KdpipeError, listed
from kdpipe.plan.entries import UNKNOWN
from kdpipe.plan.graph import Graph
from kdpipe.plan.heads import equally_deep, sides
from kdpipe.plan.modules import modules_of
from kdpipe.plan.saved.knowledge import read_knowledge
from kdpipe.plan.stages.cache_teacher import (
    LayerMapSettings,
    PartSettings,
    SelectedSettings,
    merged,
)


def knowledge_of(lesson: Lesson) -> KnowledgeSettings | None:
    """Return what the node says of the amount of states; None where it takes all."""
    found: KnowledgeSettings | None = getattr(lesson.settings, "knowledge", None)
    return found


def selection_of(lesson: Lesson) -> Selection | None:
    """Return what is taken of the teacher's states; None for all."""
    knowledge = knowledge_of(lesson)
    return knowledge.selection(lesson.settings.seed) if knowledge else None


def reads_states(term: TermSettings) -> bool:
    """Tell whether a term compares what the bodies of the models give."""
    return term.needs_teacher and not SIGNAL_KINDS[term.student_kinds[0]].needs_head


def pairs_of(graph: Graph, lesson: Lesson, term: TermSettings) -> PlacePairs | None:
    """Return the (teacher, student) pairs of a term that are compared; None while a depth is unknown."""
    pairs, selection = whole_pairs(graph, lesson, term), selection_of(lesson)
    if pairs is None or selection is None or not reads_states(term):
        return pairs
    return top_pairs(pairs, selection.amount.layers)


def whole_pairs(graph: Graph, lesson: Lesson, term: TermSettings) -> PlacePairs | None:
    """Return the (teacher, student) pairs of a term as `TermSettings.pairs` does."""
    return term.pairs(*(side.shape.depth for side in sides(graph, lesson)))


def selected(graph: Graph, lesson: Lesson) -> SelectedSettings | None:
    """Return what the cache of a lesson's teacher holds of its states; None where it holds no part."""
    knowledge, selection = knowledge_of(lesson), selection_of(lesson)
    terms = [term for term in lesson.taught if reads_states(term)]
    if knowledge is None or selection is None or not terms:
        return None
    shares = tuple((share.tokens, share.hidden, share.seed) for share in knowledge.shares(selection))
    ways = ways_of(knowledge.stored, selection.token_scheme, selection.hidden_scheme, selection.compat)
    found = (_part(graph, lesson, term, knowledge, selection) for term in terms)
    parts = (part.model_copy(update={"shares": shares}) for part in found)
    assert ways.hidden_scheme is not None
    return SelectedSettings(**asdict(ways), parts=merged(parts, ways.hidden_scheme))


def _part(
    graph: Graph, lesson: Lesson, term: TermSettings, knowledge: KnowledgeSettings, selection: Selection
) -> PartSettings:
    """Return the signals of a term that are stored in part, without what is stored of them."""
    teacher, student = (side.shape.depth for side in sides(graph, lesson))
    pairs, layers = whole_pairs(graph, lesson, term), knowledge.stored.layers
    ranked_by = selection.ranked_by if selection.ranks else None
    if pairs is None or (ranked_by == "top" and None in (teacher, student)):
        found = LayerMapSettings(
            kinds=term.teacher_kinds,
            states=term.declared["states"],
            layers=getattr(term, "layers", term.matched),
            student_depth=student,
        )
        return PartSettings(map=found, top=layers, ranked_by=ranked_by)
    signals = {
        replace(Signal.at(kind, place), ranked=selection.ranking(pair, teacher or 0, student or 1))
        for pair in top_pairs(pairs, layers)
        for kind in term.teacher_kinds
        for place in parts(pair[0])
    }
    return PartSettings(signals=tuple(map(str, sorted(signals))))


def wrong_knowledge(graph: Graph, lesson: Lesson) -> Findings:
    """Yield what keeps a distillation from taking a part of its teacher's states."""
    selection = selection_of(lesson)
    if lesson.given:
        yield from _not_given(graph, lesson, selection)
    if selection is None:
        return
    every = [
        (other, term)
        for other in lesson.settings.lessons
        for _, term in other.terms
        if term.weight and reads_states(term)
    ]
    if not every:
        yield ("knowledge",), "no loss term with a weight reads states of the teacher; remove this"
    terms = [(index, term) for index, term in lesson.terms if term.weight and reads_states(term)]
    if isinstance(lesson.settings.teacher, ByColumn):
        yield ("knowledge",), "is not built for teachers by a column; remove this, or take one teacher"
    if lesson.intervenes:
        yield ("knowledge",), "is not built beside a counterfactual run; remove one of them"
    for index, term in terms:
        declared = SimpleNamespace(**term.declared)
        if wrong := wrong_selection(selection, declared, bool(modules_of(term)), term.positions):
            yield ("losses", index), f"{term.loss}: {wrong}"
    attends = [SIGNAL_KINDS[kind].attends for _, term in every for kind in term.teacher_kinds]
    if selection.amount.hidden and attends and all(attends):
        yield ("knowledge", "hidden"), "is of hidden states, which no loss term compares; remove this"
    yield from _amounts(graph, lesson, selection, every)


def _amounts(
    graph: Graph, lesson: Lesson, selection: Selection, terms: Iterable[tuple[Lesson, TermSettings]]
) -> Findings:
    """Yield what is wrong with the amounts of a node, all of whose terms on states are given."""
    teacher, student = sides(graph, lesson)
    numbers = [len(pairs) for other, term in terms if (pairs := _checked_pairs(graph, other, term))]
    layers, knowledge = selection.amount.layers, knowledge_of(lesson)
    if numbers and layers is not None and layers > max(numbers):
        what = f"the terms compare at most {max(numbers)} pairs of layers, found {layers}"
        yield ("knowledge", "layers"), f"{what}; give a smaller number, or more `layers` in a term"
    if selection.ranks and teacher.shape.heads == 0:
        what = f"{lesson.teacher!r}, a {teacher.shape.family}, has no attention that could rank tokens"
        yield ("knowledge", "token_scheme"), f"{what}; give `left_first`"
    spread = selection.ranks and selection.ranked_by == "top"
    if spread and student.shape.depth is None and student.tokenizer and not equally_deep(teacher, student):
        what = "which blocks rank tokens is unknown until the student is fetched"
        yield ("knowledge", "ranked_by"), f"{what}; give `own`, or a student that is loaded from a folder"
    width = teacher.shape.width
    if width and knowledge and knowledge.cached and selection.hidden_scheme == "uniform":
        [most] = knowledge.shares(selection)
        columns = (columns_of("uniform", share, width) for share in (selection.share, most))
        own, held = ({*(found or range(width))} for found in columns)
        if not own <= held:
            what = f"{most.hidden:g} of the width, spread evenly, lacks some of {selection.amount.hidden:g}"
            yield ("knowledge", "cached"), f"{what}; give a multiple of it, or the same"


def _checked_pairs(graph: Graph, lesson: Lesson, term: TermSettings) -> PlacePairs | None:
    try:
        return whole_pairs(graph, lesson, term)
    except KdpipeError:
        # What is wrong with the layers is told at the term.
        return None


def _not_given(graph: Graph, lesson: Lesson, selection: Selection | None) -> Findings:
    """Yield what a distillation takes of a folder of stored signals that has not all of it."""
    knowledge, width = knowledge_of(lesson), graph.facts[lesson.teacher].shape.width
    if knowledge is None or knowledge.folder is None or graph.facts[lesson.teacher] is UNKNOWN:
        return
    stored = read_knowledge(knowledge.folder)
    held, own = stored.shares, selection or Selection(Amount())
    for index, term in lesson.terms:
        for signal in signals_of(graph, lesson, term) if term in lesson.taught else ():
            place = _unranked(signal)
            alike = [other for other in held if _unranked(other) == place]
            if not alike:
                what = f"{term.loss} reads the teacher's {place}, which {knowledge.folder} has not"
                yield ("losses", index), f"{what}; it has {listed(str(_unranked(other)) for other in held)}"
                continue
            part = own.stored if reads_states(term) else Share()
            if signal not in held or not covers(held[signal], part, own.hidden_scheme, width or 1):
                amounts = " or ".join(_told(share, other) for other in alike for share in held[other])
                what = f"{knowledge.folder} has {amounts} of {place}, not all of what is taken"
                yield ("knowledge",), f"{what}: {_told(part, signal)}; take less, or one of these"
            elif way := differing_way(stored.ways, held[signal], own, bool(signal.ranked)):
                name, found, wanted = way
                yield ("knowledge", name), f"{knowledge.folder} was stored by {found}, found {wanted}"


def _unranked(signal: Signal) -> Signal:
    return replace(signal, ranked=0)


def _told(share: Share, signal: Signal) -> str:
    """Return what is taken of a signal, and which block chose it."""
    return f"{share} (ranked by block {signal.ranked})" if signal.ranked else str(share)


def signals_of(graph: Graph, lesson: Lesson, term: TermSettings) -> Iterator[Signal]:
    """Yield the signals of the teacher that a term reads."""
    selection = selection_of(lesson)
    teacher, student = (side.shape.depth or 1 for side in sides(graph, lesson))
    for pair in pairs_of(graph, lesson, term) or ():
        ranked = selection.ranking(pair, teacher, student) if selection and reads_states(term) else 0
        for kind in term.teacher_kinds:
            yield from (replace(Signal.at(kind, place), ranked=ranked) for place in parts(pair[0]))
