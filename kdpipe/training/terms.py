"""Loss terms as an objective takes them, from loss terms as a config gives them."""

from collections import Counter
from collections.abc import Sequence
from typing import cast

from kdpipe import catalog
from kdpipe.anatomy.layers import match_layers
from kdpipe.config.settings.losses import HiddenTermSettings, TermSettings
from kdpipe.evaluation.task import Task
from kdpipe.losses.hard import HardLoss
from kdpipe.training.objective import Objective, Positions, Projection, Term

# Tokens that are masked, and first pieces of words that have tags, are those with a label.
POSITIONS: dict[str, Positions] = {"all": "all", "masked": "labelled"}


def build_terms(settings: Sequence[TermSettings], task: type[Task], depths: tuple[int, int]) -> list[Term]:
    """Return the terms of a distillation.

    Args:
        settings: the terms of the config.
        task: the dataset's task.
        depths: numbers of blocks of teacher and student.
    """
    names = Counter[str]()
    terms = []
    for term in settings:
        names[term.loss] += 1
        name = term.loss if names[term.loss] == 1 else f"{term.loss}_{names[term.loss]}"
        terms.append(_term(name, term, task, depths))
    return terms


def build_objective(
    settings: Sequence[TermSettings],
    task: type[Task],
    teacher: tuple[int, int],
    student: tuple[int, int],
    seed: int,
    entries: int | None = None,
) -> Objective:
    """Return the loss of a distillation.

    Args:
        settings: the terms of the config.
        task: the dataset's task.
        teacher: its depth and width.
        student: its depth and width.
        seed: seed of projections.
        entries: how many the tokenizer has; tasks whose outputs are not tokens have no use of it.
    """
    depths, widths = zip(teacher, student, strict=True)
    compared = entries if task.masked else None
    return Objective(build_terms(settings, task, depths), task.kind, widths, seed, compared)


def hard_term(task: type[Task]) -> Term:
    """Return the term of training with labels alone."""
    return Term("hard", HardLoss(), positions=cast(Positions, task.positions))


def _term(name: str, settings: TermSettings, task: type[Task], depths: tuple[int, int]) -> Term:
    loss = catalog.resolve("losses", settings.loss)(**settings.options)
    if not isinstance(settings, HiddenTermSettings):
        chosen = settings.positions if task.positions == "labelled" else None
        positions = POSITIONS[chosen] if chosen else cast(Positions, task.positions)
        return Term(name, loss, settings.weight, positions)
    given = settings.projection
    projection = Projection(given.kind, given.shared, given.learning_rate) if given else None
    pairs = match_layers(settings.layers, *depths)
    return Term(name, loss, settings.weight, POSITIONS[settings.positions or "all"], pairs, projection)
