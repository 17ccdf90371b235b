"""Train models of several sizes together against a teacher, and write the best assistant for a student."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from kdpipe.artifacts.tables import write_table
from kdpipe.config.settings.schedule import ScheduleSettings
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.errors import DataError
from kdpipe.evaluation.scoring import task_of, validation_scorer
from kdpipe.job import Job, main
from kdpipe.knowledge.cache import SIGNALS, CachedKnowledge
from kdpipe.knowledge.teacher import Teacher
from kdpipe.models.family import config_shape
from kdpipe.models.fit import check_fit
from kdpipe.models.loading import load_frozen, load_tokenizer
from kdpipe.models.precision import default_device
from kdpipe.models.sliced import Counts, Slices
from kdpipe.pruning.cut import is_smaller, prune_to_sparsity, ranks_from, units_at
from kdpipe.pruning.scores import SCORES, read_scores
from kdpipe.schedules.minidisc import choose, eligible, tradeoff
from kdpipe.training.run import Outcome, save_outcome, train
from kdpipe.training.terms import build_objective
from kdpipe.training.trainer import Size

LOG = logging.getLogger(__name__)
TRADEOFF = "tradeoff"
CANDIDATES = "candidates.parquet"
SCHEMA = pa.schema(
    [
        ("sparsity", pa.float64()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("tradeoff", pa.float64()),
        ("eligible", pa.bool_()),
        ("chosen", pa.bool_()),
        ("heads", pa.int64()),
        ("neurons", pa.int64()),
        ("forwards", pa.int64()),
    ]
)


def run(
    settings: ScheduleSettings,
    job: Job,
    *,
    teacher: Path,
    data: Path,
    knowledge: Path | None = None,
    importance: Path | None = None,
) -> None:
    """Train the sizes, score them, and write the one with the best tradeoff; without any, the teacher."""
    task, labels = task_of(data)
    tokenizer, source = load_tokenizer(teacher), load_frozen(teacher, task.head(labels), default_device())
    check_fit(teacher, tokenizer, data)
    ranks = ranks_from(source, read_scores(importance / SCORES)) if importance else None
    sizes = [sparsity for sparsity in sorted(settings.sparsities) if is_smaller(sparsity, source)]
    if not any(eligible(sparsity, settings.target, settings.compat) for sparsity in sizes):
        return _write_teacher(settings, job, source, tokenizer)
    learner = prune_to_sparsity(source, sizes[0], ranks)
    slices = Slices(learner)
    at = {sparsity: partial(slices.at, _counts(learner, sparsity)) for sparsity in sizes}
    metric = settings.metric or task.metrics[0]
    score = _scorer(settings, metric, at, tokenizer, data)
    split = EncodedSplit(data, "train")
    cached = CachedKnowledge(knowledge / SIGNALS, split) if knowledge else None
    shape = config_shape(source.config)
    objective = build_objective(settings.losses, task, shape, shape, settings.seed)
    with job.artifact() as draft, job.progress(None, "schedule") as bar:
        outcome = train(
            learner,
            objective,
            Collator(split, tokenizer.pad_token_id, None, cached),
            settings.training.model_dump(exclude_unset=True),
            seed=settings.seed,
            folder=job.checkpoints,
            teacher=None if cached else Teacher(source, objective.teacher_request()),
            evaluate=lambda model: _with_tradeoff(settings, score(model)),
            sizes=list(at.values()),
            bar=bar,
        )
        values = score(learner)
        chosen = choose(values, settings.target, settings.tradeoff, settings.compat)
        save_outcome(draft, prune_to_sparsity(learner, chosen), tokenizer, outcome)
        counts = {size: _counts(learner, size) for size in sizes}
        rows = _candidates(settings, metric, values, counts, chosen, outcome.seen["examples_seen"])
        write_table(draft.folder / CANDIDATES, rows, SCHEMA)
        draft.record(chosen=chosen)


def _write_teacher(settings: ScheduleSettings, job: Job, teacher: Any, tokenizer: Any) -> None:
    LOG.warning("no size lies between the teacher and the target %g: it is written", settings.target)
    with job.artifact() as draft:
        save_outcome(draft, teacher, tokenizer, Outcome([], {}))
        write_table(draft.folder / CANDIDATES, [], SCHEMA)
        draft.record(chosen=None)


def _counts(model: Any, sparsity: float) -> Counts:
    kept = units_at(model, sparsity)
    return {kind: [len(own) for own in kept[kind]] for kind in kept}


def _scorer(
    settings: ScheduleSettings, metric: str, at: Mapping[float, Size], tokenizer: Any, data: Path
) -> Callable[[Any], dict[float, float]]:
    """Return a function that gives the metric of each size of a model on the validation split."""
    score = validation_scorer(tokenizer, data, seed=settings.seed, probability=0.0)
    if score is None:
        raise DataError(f"{data}: expected a validation split with labels, by which an assistant is chosen")

    def scores(model: Any) -> dict[float, float]:
        found = {}
        for sparsity, size in at.items():
            with size():
                found[sparsity] = score(model)[metric]
            LOG.info("sparsity %g: %s %.4f", sparsity, metric, found[sparsity])
        return found

    return scores


def _with_tradeoff(settings: ScheduleSettings, values: Mapping[float, float]) -> dict[str, float]:
    """Return what a training is evaluated by: the metric of each size, and the tradeoff of the best."""
    best = choose(values, settings.target, settings.tradeoff, settings.compat)
    named = {f"{sparsity:g}": value for sparsity, value in values.items()}
    return {**named, TRADEOFF: tradeoff(values[best], best, settings.tradeoff)}


def _candidates(
    settings: ScheduleSettings,
    metric: str,
    values: Mapping[float, float],
    counts: Mapping[float, Counts],
    chosen: float,
    forwards: int,
) -> list[dict[str, Any]]:
    return [
        {
            "sparsity": sparsity,
            "metric": metric,
            "value": value,
            "tradeoff": tradeoff(value, sparsity, settings.tradeoff),
            "eligible": eligible(sparsity, settings.target, settings.compat),
            "chosen": sparsity == chosen,
            "heads": sum(counts[sparsity]["head"]),
            "neurons": sum(counts[sparsity]["neuron"]),
            "forwards": forwards,
        }
        for sparsity, value in values.items()
    ]


if __name__ == "__main__":
    main(run)
