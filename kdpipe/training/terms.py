"""Loss terms as an objective takes them, from loss terms as a config gives them."""

from collections import Counter
from collections.abc import Mapping, Sequence

from kdpipe import catalog
from kdpipe.anatomy.signals import SIGNAL_KINDS, Positions
from kdpipe.config.settings.losses import TermSettings
from kdpipe.evaluation.task import Task
from kdpipe.losses.hard import HardLoss
from kdpipe.signals.teacher import Source
from kdpipe.training.objective import Objective, Projection, Term

# Tokens that are masked, and first pieces of words that have tags, are those with a label.
POSITIONS: dict[str, Positions] = {"all": "tokens", "masked": "labelled"}


def build_objective(
    settings: Sequence[TermSettings],
    task: type[Task],
    teachers: Mapping[str, tuple[int, int]],
    student: tuple[int, int],
    seed: int,
    entries: int | None = None,
) -> Objective:
    """Return the loss of a distillation.

    Args:
        settings: the terms of the config.
        task: the dataset's task.
        teachers: depth and width of each teacher, by the setting that names it.
        student: its depth and width.
        seed: seed of projections.
        entries: how many the tokenizer has; tasks whose outputs are not tokens have no use of it.
    """
    names = Counter[str]()
    terms = []
    for term in settings:
        names[term.loss] += 1
        name = term.loss if names[term.loss] == 1 else f"{term.loss}_{names[term.loss]}"
        shapes = teachers[term.taught_by], student
        terms.append(_term(name, term, task, shapes, entries if task.masked else None))
    return Objective(terms, task.kind, seed)


def hard_term(task: type[Task]) -> Term:
    """Return the term of training with labels alone."""
    return Term("hard", HardLoss(), positions=task.positions)


def _term(
    name: str,
    settings: TermSettings,
    task: type[Task],
    shapes: tuple[tuple[int, int], tuple[int, int]],
    entries: int | None,
) -> Term:
    (teacher_depth, teacher_width), (depth, width) = shapes
    loss = catalog.resolve("losses", settings.loss)(**settings.options)
    outputs = any(SIGNAL_KINDS[kind].rows == "task" for kind in settings.student_kinds)
    chosen = None if outputs and task.positions != "labelled" else settings.positions
    given = settings.projection_settings
    return Term(
        name,
        loss,
        settings.weight,
        POSITIONS[chosen] if chosen else task.positions if outputs else "tokens",
        settings.pairs(teacher_depth, depth) or (),
        Projection((teacher_width, width), given.kind, given.shared, given.learning_rate) if given else None,
        entries if outputs and settings.needs_teacher else None,
        Source(settings.taught_by),
    )
