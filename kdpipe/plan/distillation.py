"""What the stages share that train a model against a teacher."""

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, TypeVar

from kdpipe import catalog
from kdpipe.anatomy.alignments import PASSES
from kdpipe.anatomy.families import LANGUAGE_MODELING, family_facts
from kdpipe.anatomy.layers import parts
from kdpipe.anatomy.positions import wrong_positions
from kdpipe.anatomy.signals import SIGNAL_KINDS, Signal
from kdpipe.config.mistakes import Findings, Where
from kdpipe.config.settings.distillation import Distillation, Lesson
from kdpipe.config.settings.losses import PlacePairs, TermSettings
from kdpipe.declarations import constants
from kdpipe.errors import KdpipeError
from kdpipe.plan.entries import Facts, Node
from kdpipe.plan.graph import Graph
from kdpipe.plan.heads import equally_deep, sides, wrong_heads
from kdpipe.plan.interchange import alignments, wrong_interchange
from kdpipe.plan.knowledge import pairs_of, reads_states, selected, wrong_knowledge
from kdpipe.plan.modules import modules_of, wrong_modules
from kdpipe.plan.outputs import check_outputs
from kdpipe.plan.sizes import PAIRED_ROW, Cost, block_parameters, known, rows_of
from kdpipe.plan.stage import Job
from kdpipe.plan.stages.cache_teacher import CacheTeacherSettings, LayerMapSettings
from kdpipe.plan.suitability import needs_head
from kdpipe.plan.training import TrainingStage

D = TypeVar("D", bound=Distillation)


class DistillationStage(TrainingStage[D]):
    """A stage that trains a model against a teacher."""

    def checks(self, graph: Graph, node: Node) -> Findings:
        settings = self.settings_of(graph, node.name)
        found: dict[tuple[Where, str], None] = {}
        for lesson in settings.lessons:
            if self.reads_head(lesson):
                found |= dict.fromkeys(needs_head(graph, lesson.teacher, lesson.dataset, "teacher"))
            for find in CHECKS:
                found |= dict.fromkeys(find(graph, lesson))
        yield from found
        yield from dict.fromkeys((*_labels(graph, settings), *_terms(graph, settings)))
        yield from super().checks(graph, node)

    def reads_head(self, lesson: Lesson) -> bool:
        """Tell whether the teacher's head is for the dataset."""
        return lesson.reads_head

    def knowledge(self, graph: Graph, settings: D) -> list[tuple[str, str, CacheTeacherSettings]]:
        return [(*of[:2], graph.shared_cache(*of)) for of in self.asked(graph, settings)]

    def asked(self, graph: Graph, settings: D) -> list[tuple[str, str, CacheTeacherSettings]]:
        return [
            (*lesson.pair, cache_settings(graph, lesson))
            for lesson in settings.lessons
            if is_cached(graph, lesson) and not lesson.given
        ]

    def readings(self, graph: Graph, node: Node) -> Iterator[tuple[str, str, str]]:
        yield from super().readings(graph, node)
        for lesson in self.settings_of(graph, node.name).lessons:
            yield "teacher", lesson.teacher, lesson.dataset

    def uses(self, settings: D, setting: str, model: str) -> Iterator[tuple[str, bool]]:
        for lesson in settings.lessons:
            if setting == "teacher" and lesson.teacher == model:
                yield lesson.dataset, self.reads_head(lesson)

    def remarks(self, graph: Graph, node: Node) -> Iterator[str]:
        told: dict[str, None] = {}
        for lesson in self.settings_of(graph, node.name).lessons:
            for term, pairs in layer_pairs(graph, lesson):
                pair = " ".join(f"({t}, {s})" for t, s in pairs or ()) or "known once the models are fetched"
                sides = f"({term.teacher or 'teacher'}, student)"
                told[f"{node.name}: {term.loss} {term.matched}: {sides} {pair}"] = None
            for sites in alignments(graph, lesson):
                told[f"{node.name}: interchange: {lesson.teacher} -> student: {sites}"] = None
        yield from told

    def sized_by(self, settings: D) -> list[str]:
        return [settings.learner]

    def cost(self, graph: Graph, job: Job) -> Cost:
        cost, settings = super().cost(graph, job), self.settings_of(graph, *job.names)
        if not settings.intervenes:
            return cost
        rows = sum(rows_of(graph.datasets[name]) for name in settings.datasets)
        return replace(cost, memory=cost.memory + cost.processes * PAIRED_ROW * rows)

    def passes(self, settings: D) -> int:
        return PASSES if settings.intervenes else 1

    def beside(self, graph: Graph, settings: D) -> int:
        beside = dict.fromkeys(settings.datasets, 0)
        for lesson in settings.lessons:
            if lesson.taught and not is_cached(graph, lesson):
                passes = PASSES if lesson.intervenes else 1
                beside[lesson.dataset] += passes * block_parameters(known(graph.facts[lesson.teacher].shape))
        # A batch is of one dataset.
        return max(beside.values())


def is_cached(graph: Graph, lesson: Lesson) -> bool:
    """Tell whether a teacher's signals are computed once and stored."""
    # The stage has stored signals of all teachers on all datasets, or of none.
    if not lesson.taught or lesson.settings.intervenes:
        return False
    if lesson.given:
        return True
    if lesson.settings.cache == "auto":
        return graph.datasets[lesson.dataset].task != LANGUAGE_MODELING
    return lesson.settings.cache == "on"


def cache_settings(graph: Graph, lesson: Lesson) -> CacheTeacherSettings:
    """Return the settings of the stage that caches a teacher's signals for a node."""
    settings = lesson.settings
    # Where it is unknown and not the teacher's, a check has refused maps.
    depth = graph.facts[lesson.learner].shape.depth
    signals: set[Signal] = set()
    knowledge = selected(graph, lesson)
    maps: dict[str, LayerMapSettings] = {}
    for term in lesson.taught:
        kinds, pairs = term.teacher_kinds, pairs_of(graph, lesson, term)
        if knowledge and reads_states(term):
            continue
        signals |= {
            Signal.at(kind, place) for kind in kinds for side, _ in pairs or () for place in parts(side)
        }
        if pairs is None:
            states = term.declared["states"]
            entry = LayerMapSettings(kinds=kinds, states=states, layers=term.matched, student_depth=depth)
            maps[f"{term.matched} {kinds}"] = entry
    halved = any(SIGNAL_KINDS[kind].halved for term in lesson.taught for kind in term.teacher_kinds)
    return CacheTeacherSettings(
        signals=tuple(map(str, sorted(signals))),
        maps=tuple(maps[name] for name in sorted(maps)),
        precision=settings.cache_precision if halved else "float32",
        bf16=getattr(settings.training, "bf16", None),
        eval_batch_size=graph.eval_batch_size(lesson.teacher),
        # Not to run in float16 is as if nothing had been said of it.
        fp16=getattr(settings.training, "fp16", None) or None,
        tf32=getattr(settings.training, "tf32", None),
        rows=lesson.rows,
        selected=knowledge,
        **_masks(graph, lesson),
    )


def _masks(graph: Graph, lesson: Lesson) -> dict[str, Any]:
    """Return how the text is masked on which a teacher's signals are stored, and which logits are stored."""
    if graph.datasets[lesson.dataset].task != LANGUAGE_MODELING:
        return {}
    outputs = [term for term in lesson.taught if not _aligned(term)]
    masks = {"positions": "all" if any(term.positions == "all" for term in outputs) else None}
    if _is_causal(graph.facts[lesson.teacher]):
        return masks
    return masks | {"masking": getattr(lesson.settings, "masking", None), "seed": lesson.settings.seed}


def _is_causal(facts: Facts) -> bool:
    return bool(facts.shape.family and family_facts(facts.shape.family)["causal"])


def layer_pairs(graph: Graph, lesson: Lesson) -> list[tuple[TermSettings, PlacePairs | None]]:
    """Return each term that matches places with their (teacher, student) pairs; None while unknown."""
    return [(term, pairs_of(graph, lesson, term)) for _, term in lesson.terms if term.matched]


def _labels(graph: Graph, settings: Distillation) -> Findings:
    for dataset in map(graph.datasets.__getitem__, settings.datasets):
        if dataset.task == LANGUAGE_MODELING or not dataset.unlabelled:
            continue
        for index, term in settings.terms_on(dataset.name):
            if term.weight and not term.needs_teacher:
                yield ("losses", index), f"{term.loss} needs labels, {dataset.name!r} has `labels: none`"


def _terms(graph: Graph, settings: Distillation) -> Findings:
    if not any(term.weight for term in settings.losses):
        yield ("losses",), "all weights are 0, so nothing would be learned"
    for name in settings.datasets:
        task = graph.datasets[name].task
        labelled = constants(catalog.TASKS[task])["positions"] == "labelled"
        for index, term in settings.terms_on(name):
            if wrong := wrong_positions(term.positions, SimpleNamespace(**term.declared), task, labelled):
                yield ("losses", index, "positions"), wrong


def _layers(graph: Graph, lesson: Lesson) -> Findings:
    teacher, student = (side.shape.width for side in sides(graph, lesson))
    for index, term in lesson.terms:
        try:
            pairs_of(graph, lesson, term)
        except KdpipeError as error:
            yield ("losses", index, "layers"), str(error)
        mapped = term.projection_settings or modules_of(term)
        if term.declared["same_width"] and teacher and student and teacher != student and not mapped:
            what = f"the teacher's states are {teacher} wide, the student's {student}"
            yield ("losses", index), f"{what}; give a `projection`, such as {{kind: linear}}"


def _cache(graph: Graph, lesson: Lesson) -> Findings:
    if not is_cached(graph, lesson):
        return
    masking = getattr(lesson.settings, "masking", None)
    teacher, student = sides(graph, lesson)
    # The stage refuses a masked teacher whose family is not known yet.
    anew = not (masking and masking.fixed) and teacher.shape.family and not _is_causal(teacher)
    if graph.datasets[lesson.dataset].task == LANGUAGE_MODELING and anew:
        what = "text is masked anew in every epoch, so a teacher's signals on it cannot be stored"
        remedy = "give `masking: {fixed: N}`, N maskings of each example, or `cache: off`"
        yield ("cache",), f"{what}; {remedy}"
    # All blocks of a teacher are all its blocks, whatever the student has.
    has_maps = any(
        term.pairs(None, None) is None and term.declared["states"] != "all" for term in lesson.taught
    )
    if has_maps and student.shape.depth is None and student.tokenizer and not equally_deep(teacher, student):
        yield (
            ("cache",),
            "which layers to store is unknown until the student is fetched; give `cache: off`, `layers` "
            "as a list of pairs, or a student that is loaded from a folder",
        )


def _column(graph: Graph, lesson: Lesson) -> Findings:
    """Yield what keeps the rows of a dataset from having teachers by a column."""
    if lesson.rows is None or not lesson.taught:
        return
    column, dataset = lesson.rows[0], graph.datasets[lesson.dataset]
    if column not in dataset.kept:
        what = f"{dataset.name!r} keeps no column {column!r}; give it `keep: [{column}]`"
        yield ("teacher", "column"), f"{what}, which tables have"
    if not is_cached(graph, lesson) and not lesson.settings.intervenes:
        what = "the signals of teachers by a column are stored, for tasks with labels"
        yield ("cache",), f"{what}; remove `cache: off`, or take such a task"
    first, *others = (graph.facts[name].shape for name in lesson.settings.teachers)
    inner = [t.loss for t in lesson.taught for kind in t.teacher_kinds if not SIGNAL_KINDS[kind].needs_head]
    if inner and any((other.depth, other.width) != (first.depth, first.width) for other in others):
        what = f"{inner[0]} compares states, but the teachers differ in depth or width"
        yield ("teacher", "models"), f"{what}; take losses on logits, or teachers of one size"


def _tokenizers(graph: Graph, lesson: Lesson) -> Findings:
    teacher, student = sides(graph, lesson)
    if teacher.tokenizer == student.tokenizer or not (teacher.tokenizer and student.tokenizer):
        return
    if None in (teacher.shape.vocabulary, student.shape.vocabulary):
        # Tokenizers that are not fetched yet may be equal; the stage compares them.
        return
    aligned = constants(catalog.TASKS[graph.datasets[lesson.dataset].task])["by_token"]
    for index, term in lesson.terms:
        if term in lesson.taught and (aligned or _aligned(term) or term.positions == "all"):
            yield (
                ("losses", index),
                f"{term.loss} compares position by position, but the tokenizers differ: the teacher's is of "
                f"{_vocabulary(teacher)}, the student's of {_vocabulary(student)}",
            )


def _aligned(term: TermSettings) -> bool:
    return any(SIGNAL_KINDS[kind].aligned for kind in term.student_kinds)


def _vocabulary(facts: Facts) -> str:
    size = facts.shape.vocabulary
    return repr(facts.tokenizer) + (f" with {size} entries" if size else "")


# What may be wrong between a teacher and a student on a dataset.
CHECKS = (
    _cache,
    _column,
    _tokenizers,
    check_outputs,
    _layers,
    wrong_heads,
    wrong_modules,
    wrong_interchange,
    wrong_knowledge,
)
