"""Train models of several sizes together against a teacher, and write the best assistant for a student."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers import PreTrainedModel

from kdpipe import catalog, processes
from kdpipe.adapters.training import losses_of
from kdpipe.artifacts.parquet import write_parquet
from kdpipe.assistants.method import Method
from kdpipe.data.encoded import EncodedSplit
from kdpipe.errors import DataError, ModelError, suggest
from kdpipe.evaluation.scoring import load_for, task_of, validation_scorer
from kdpipe.models.family import config_shape
from kdpipe.models.pruned import count_parameters
from kdpipe.models.sliced import Counts, Slices
from kdpipe.plan.stages.schedule import ScheduleSettings
from kdpipe.pruning.cut import is_no_larger, is_smaller, name_units, prune_to_sparsity, ranks_from, units_at
from kdpipe.pruning.scores import scores_of
from kdpipe.runner.command_line import main
from kdpipe.runner.trackers import tracked
from kdpipe.runner.workspace import Workspace
from kdpipe.signals.cache import SIGNALS, CachedKnowledge
from kdpipe.signals.capture import Origin, Teacher
from kdpipe.training.course import course_on
from kdpipe.training.run import Outcome, save_outcome, train_courses
from kdpipe.training.terms import build_objective
from kdpipe.training.trainer import AtSize

LOG = logging.getLogger(__name__)
TRADEOFF = "tradeoff"
CANDIDATES = "candidates.parquet"
CANDIDATES_SCHEMA = pa.schema(
    [
        ("sparsity", pa.float64()),
        ("metric", pa.string()),
        *((name, pa.float64()) for name in ("value", "tradeoff")),
        *((name, pa.bool_()) for name in ("eligible", "chosen")),
        *((name, pa.int64()) for name in ("heads", "neurons", "parameters", "forwards")),
    ]
)


def run(
    settings: ScheduleSettings,
    workspace: Workspace,
    *,
    teacher: Path,
    data: Path,
    knowledge: Path | None = None,
    importance: list[Path] | None = None,
) -> None:
    """Train the sizes, score them, and write the size that the method chooses; without any, the teacher."""
    # A teacher whose signals are stored does not run.
    source, tokenizer = load_for(data, teacher, device=torch.device("cpu") if knowledge else None)
    method = catalog.resolve("methods", settings.method)(settings.target, settings.tradeoff, settings.compat)
    sparsities = _sparsities(settings, source, teacher)
    if not any(map(method.admits, sparsities)):
        return _write_teacher(settings, workspace, source, tokenizer)
    ranks = ranks_from(source, scores_of(importance)) if importance else None
    learner = prune_to_sparsity(source, sparsities[0], ranks, drop_empty_bias=settings.compat == "code")
    counts = {sparsity: _counts(learner, sparsity) for sparsity in sparsities}
    slices = Slices(learner)
    sizes = {sparsity: partial(slices.at, units) for sparsity, units in counts.items()}
    task = task_of(data)
    metric = settings.metric or task.metrics[0]
    score = _scorer(settings, metric, sizes, tokenizer, data)
    shape = config_shape(source.config)
    losses = losses_of(settings.losses)
    objective = build_objective(losses, task, {settings.teacher: shape}, shape, settings.seed)
    split = EncodedSplit(data, "train")
    stored = {Origin(settings.teacher): CachedKnowledge(knowledge / SIGNALS, split)} if knowledge else {}
    for origin, signals in stored.items():
        signals.require(objective.teachers[origin])
    requests = {} if knowledge else objective.teachers
    training = settings.training.model_dump(exclude_unset=True)
    course = course_on(
        data,
        tokenizer,
        training,
        seed=settings.seed,
        objective=objective,
        knowledge=stored,
        teachers={origin: Teacher(source, request) for origin, request in requests.items()},
        evaluate=lambda model: _with_tradeoff(method, score(model)),
    )
    with workspace.artifact() as draft, workspace.progress(None, "schedule") as bar:
        outcome = train_courses(
            learner,
            {settings.dataset: course},
            training,
            seed=settings.seed,
            sizes=list(sizes.values()),
            checkpoints=workspace.checkpoints,
            callbacks=tracked(settings.training, workspace.runs()),
            bar=bar,
        )
        values = score(learner)
        chosen = method.choose(values)
        assistant = prune_to_sparsity(learner, chosen)
        save_outcome(draft, assistant, tokenizer, outcome)
        rows = _candidates(method, metric, values, counts, learner, outcome.seen["examples_seen"])
        write_parquet(draft.folder / CANDIDATES, rows, CANDIDATES_SCHEMA)
        draft.record(chosen=chosen, kept=name_units(assistant))


def _sparsities(settings: ScheduleSettings, teacher: PreTrainedModel, folder: Path) -> list[float]:
    """Return the sparsities of the trained sizes; refuse a teacher that is as small as the student."""
    if not is_smaller(settings.target, teacher):
        raise ModelError(
            f"{folder}: expected more heads or neurons than the sparsity {settings.target:g} of the student"
            " leaves of its unpruned ancestor, found as few; raise `target`, or give a larger teacher"
        )
    # The published code trains the teacher's own size again, too.
    fits = is_no_larger if settings.compat == "code" else is_smaller
    return [sparsity for sparsity in sorted(settings.sparsities) if fits(sparsity, teacher)]


def _write_teacher(settings: ScheduleSettings, workspace: Workspace, teacher: Any, tokenizer: Any) -> None:
    LOG.warning("no size lies between the teacher and the target %g: it is written", settings.target)
    processes.leave_to_first()
    with workspace.artifact() as draft:
        save_outcome(draft, teacher, tokenizer, Outcome([], {}))
        write_parquet(draft.folder / CANDIDATES, [], CANDIDATES_SCHEMA)
        draft.record(chosen=None)


def _counts(model: Any, sparsity: float) -> Counts:
    left = units_at(model, sparsity)
    return {kind: [len(units) for units in left[kind]] for kind in left}


def _scorer(
    settings: ScheduleSettings, metric: str, sizes: Mapping[float, AtSize], tokenizer: Any, data: Path
) -> Callable[[Any], dict[float, float]]:
    """Return a function that gives the metric of each size of a model on the validation split."""
    training = settings.training.model_dump(exclude_unset=True)
    score = validation_scorer(data, tokenizer, training, seed=settings.seed, probability=0.0)
    if score is None:
        raise DataError(f"{data}: expected a validation split with labels, by which an assistant is chosen")

    def scores(model: Any) -> dict[float, float]:
        by_sparsity = {}
        for sparsity, size in sizes.items():
            with size():
                values = score(model)
            if metric not in values:
                what = f"{metric!r} is not measured on the validation split; {suggest(metric, values)}"
                raise DataError(f"{data}: metric: {what}")
            by_sparsity[sparsity] = values[metric]
            LOG.info("sparsity %g: %s %.4f", sparsity, metric, values[metric])
        return by_sparsity

    return scores


def _with_tradeoff(method: Method, values: Mapping[float, float]) -> dict[str, float]:
    """Return what a training is evaluated by: the metric of each size, and what the method makes of them."""
    named = {f"{sparsity:g}": value for sparsity, value in values.items()}
    return {**named, TRADEOFF: method.score(values)}


def _candidates(
    method: Method,
    metric: str,
    values: Mapping[float, float],
    counts: Mapping[float, Counts],
    learner: PreTrainedModel,
    forwards: int,
) -> list[dict[str, Any]]:
    chosen = method.choose(values)
    return [
        {
            "sparsity": sparsity,
            "metric": metric,
            "value": value,
            "tradeoff": method.tradeoff(value, sparsity),
            "eligible": method.admits(sparsity),
            "chosen": sparsity == chosen,
            "heads": sum(counts[sparsity]["head"]),
            "neurons": sum(counts[sparsity]["neuron"]),
            "parameters": count_parameters(learner, counts[sparsity]),
            "forwards": forwards,
        }
        for sparsity, value in values.items()
    ]


if __name__ == "__main__":
    main(run, several=True)
