"""Distil, prune and score transformers models in Python, with the code of the workflow's stages.

A dataset is a `datasets.Dataset` of token ids and labels, as `transformers.Trainer` takes it
(`kdpipe.data.tokenized`). The head of a model says what the task is.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from transformers import PreTrainedModel, TrainerCallback

from kdpipe import catalog
from kdpipe.anatomy.families import LANGUAGE_MODELING, QUESTION_ANSWERING
from kdpipe.anatomy.signals import BYTES, StoredPrecision
from kdpipe.data.batches import Collator
from kdpipe.errors import KdpipeError, ModelError, quoted
from kdpipe.evaluation.reading import check_teacher, read_rows, take_over, targets_for
from kdpipe.evaluation.scoring import padding_id, score, scorer
from kdpipe.interchange.given import Intervention
from kdpipe.interchange.runs import Interchange, teacher_of
from kdpipe.losses.ensemble import MEAN_LOGITS, Ensemble
from kdpipe.losses.loss import Loss
from kdpipe.models.compatibility import count_entries
from kdpipe.models.precision import autocast, choose_precision, default_device, norms_in_fp32
from kdpipe.pruning.criteria.mask_gradient import MaskGradient
from kdpipe.pruning.criterion import Reduction
from kdpipe.pruning.cut import prune_to_sparsity, ranks_from
from kdpipe.pruning.importance import check_finite, first_batches, label_losses, score_units
from kdpipe.signals.adapted import Adapted, bare
from kdpipe.signals.building import write_knowledge
from kdpipe.signals.cache import CachedKnowledge
from kdpipe.signals.capture import TEACHER, Origin, Teacher
from kdpipe.signals.sizes import measure
from kdpipe.training.given import weighted_losses
from kdpipe.training.objective import Objective
from kdpipe.training.run import freeze as freeze_parameters
from kdpipe.training.run import train
from kdpipe.training.terms import Shape, Weighted, build_objective
from kdpipe.training.trial import shape_on

LOG = logging.getLogger(__name__)
# Fields of a training that runs the student as a whole, from its first block to its last.
WHOLE_RUNS = (
    "torch_compile",
    "torch_compile_mode",
    "torch_compile_backend",
    "activation_checkpointing",
    "gradient_checkpointing",
)
M = TypeVar("M", PreTrainedModel, Adapted)


def distill(
    teacher: PreTrainedModel | Adapted | Mapping[str, PreTrainedModel | Adapted],
    student: M,
    dataset: Any,
    losses: Sequence[Loss | Weighted],
    *,
    validation: Any = None,
    tokenizer: Any = None,
    freeze: Sequence[str] = (),
    callbacks: Sequence[TrainerCallback] = (),
    cache: StoredPrecision | None = None,
    ensemble: Ensemble = MEAN_LOGITS,
    interchange: Intervention | None = None,
    seed: int = 42,
    **training: Any,
) -> M:
    """Train a student in place against a teacher or several, and return the student.

    Args:
        teacher: the model whose outputs the student learns, or several models by the names that `teacher` of
            a `Weighted` loss gives; losses on logits that name none read the mean of all.
        student: the model that is trained, with a head for the task.
        dataset: tokenized rows that both read.
        losses: the losses, whose sum is lowered; `Weighted` gives a loss its weight and layers.
        validation: tokenized rows that the student is scored on, where `eval_strategy` asks for it.
        tokenizer: the tokenizer, which masked language modelling needs.
        freeze: globs of names of student parameters that stay as they are.
        callbacks: callbacks of `transformers.Trainer`, whose `model` is the student.
        cache: the precision in which the teacher's signals are stored before the training, in a temporary
            file, so that the teacher runs once; None lets it run beside the student in every epoch.
        ensemble: how losses on logits read several teachers as one.
        interchange: the counterfactual run that losses with `run="counterfactual"` compare.
        seed: seed of the order of rows, of masks, dropout and projections.
        training: fields of `transformers.TrainingArguments`, and `early_stopping_patience`.

    Raises:
        KdpipeError: models, rows, losses and arguments do not fit together.
    """
    named: dict[str, Any] = dict(teacher) if isinstance(teacher, Mapping) else {TEACHER.teacher: teacher}
    if not named or not all(isinstance(name, str) and name for name in named):
        raise ModelError(f"teacher: expected models by their names, found {quoted([*named])}")
    for model in named.values():
        _take_teacher(model, student, dataset)
    split = read_rows(student, dataset)
    weighted = weighted_losses(losses, split)
    collator = Collator(split, padding_id(student, tokenizer), targets_for(student, tokenizer, split, seed))
    for model in (*named.values(), student):
        model.to(default_device())
    shapes: dict[str, Shape] = {}
    for name, model in named.items():
        read = [loss for loss in weighted if loss.teacher in ("", name)]
        shapes[name] = shape_on(model, collator, read)
    ours = shape_on(student, collator, weighted)
    entries = count_entries(tokenizer) if tokenizer else None
    task = catalog.resolve("tasks", split.task)
    objective = build_objective(weighted, task, shapes, ours, seed, entries, ensemble)
    for source, request in objective.teachers.items():
        intervened = objective.counterfactual.get(source)
        needs_head = request.needs_head or bool(intervened and intervened.needs_head)
        check_teacher(named[source.teacher], student, split, needs_head)
    interchanges = _interchanges(interchange, objective, named, student, cache)
    if interchanges:
        _refuse_beside_exchanges(student, training)
    if interchange:
        collator.exchanges = interchange.exchanges(
            interchanges,
            split,
            pad_id=collator.pad_id,
            tokenizer=tokenizer,
            targets=collator.targets,
            seed=seed,
        )
    freeze_parameters(bare(student), freeze)
    held_out = None if validation is None else read_rows(student, validation)
    scored = scorer(held_out, tokenizer, seed=seed, batch_size=training.get("per_device_eval_batch_size"))
    with _lessons(named, objective, collator, cache, training, interchanges) as (batches, teachers):
        train(
            student,
            objective,
            batches,
            training,
            seed=seed,
            teachers=teachers,
            evaluate=scored,
            callbacks=callbacks,
            interchange=next(iter(interchanges.values()), None),
        )
    trained: M = student.eval()
    return trained


def _interchanges(
    given: Intervention | None,
    objective: Objective,
    teachers: Mapping[str, Any],
    student: Any,
    cache: StoredPrecision | None,
) -> dict[Origin, Interchange]:
    """Return what is swapped, for each teacher whose counterfactual run a loss compares."""
    if given is not None and not isinstance(given, Intervention):
        raise KdpipeError(f"interchange: expected a kdpipe.Intervention, found {quoted(given)}")
    if not objective.counterfactual:
        return {}
    if given is None:
        what = "losses: a counterfactual run is compared"
        raise KdpipeError(f"{what}; give `interchange`, such as kdpipe.Intervention()")
    if cache is not None:
        raise KdpipeError("cache: a counterfactual run needs the teacher beside the student; leave it out")
    if any(isinstance(model, Adapted) for model in (*teachers.values(), student)):
        raise ModelError("a counterfactual run needs models of a family, found an adapted model")
    return {
        origin: given.between(teachers[origin.teacher].config, student.config)
        for origin in objective.counterfactual
    }


def _refuse_beside_exchanges(student: Any, training: Mapping[str, Any]) -> None:
    """Refuse trainings whose runs cannot begin or end at a block."""
    for name in WHOLE_RUNS:
        if training.get(name):
            raise KdpipeError(f"{name}: is not supported beside a counterfactual run; leave it out")
    if getattr(student, "is_activation_checkpointing", False):
        what = "the student checkpoints its gradients, which is not supported beside a counterfactual run"
        raise ModelError(f"{what}; call its `activation_checkpointing_disable` first")


def _take_teacher(teacher: Any, student: Any, dataset: Any) -> None:
    """Refuse a teacher that is the student, and name the labels alike."""
    if bare(teacher) is bare(student):
        raise ModelError("expected a teacher and a student, found one model twice; load the model twice")
    if getattr(bare(teacher), "training", False):
        LOG.warning(
            "the teacher was in training mode; it teaches without dropout, and stays in evaluation mode"
        )
    take_over(student, teacher, dataset)
    take_over(teacher, student, dataset)


@contextmanager
def _lessons(
    named: Mapping[str, Any],
    objective: Objective,
    collator: Collator,
    cache: StoredPrecision | None,
    training: Mapping[str, Any],
    interchanges: Mapping[Origin, Interchange],
) -> Iterator[tuple[Collator, Mapping[Origin, Teacher]]]:
    """Yield the batches, and the teacher if it runs beside the student; else batches hold its signals."""
    teachers = {
        source: teacher_of(
            named[source.teacher].eval(),
            request,
            objective.counterfactual.get(source),
            interchanges.get(source),
        )
        for source, request in objective.teachers.items()
    }
    if cache is None:
        yield collator, teachers
        return
    if cache not in BYTES:
        raise KdpipeError(f"cache: expected {' or '.join(BYTES)}, found {quoted(cache)}")
    targets, precision = collator.targets, choose_precision(training)
    if targets and targets.maskings is None:
        raise KdpipeError("cache: text is masked anew in every epoch, so nothing can be stored; leave it out")
    with TemporaryDirectory() as folder:
        stored = {}
        for number, (source, run) in enumerate(teachers.items()):
            file = Path(folder, str(number))
            if precision.name == "bfloat16":
                norms_in_fp32(run.model)
            with autocast(precision):
                size = sum(measure(run, collator, cache, run.model.device).values())
                device, multiplied = run.model.device, precision.name
                write_knowledge(file, run, collator, cache, device, multiplied=multiplied, size=size)
            stored[source] = CachedKnowledge(file, collator.split, targets)
        yield Collator(collator.split, collator.pad_id, targets, stored), {}


def prune(
    model: PreTrainedModel,
    dataset: Any,
    *,
    sparsity: float,
    criterion: type[Any] = MaskGradient,
    reduction: Reduction = "batch",
    batches: int | None = 64,
    batch_size: int = 32,
    seed: int = 42,
) -> PreTrainedModel:
    """Return a copy of a model without the heads and neurons that matter least for the loss on a dataset.

    Args:
        model: the model, with a head for the task.
        dataset: tokenized rows with labels.
        sparsity: the share of heads, and of neurons, that goes, from 0 to below 1; of a model that was pruned
            before the share of the first model.
        criterion: how heads and neurons are scored, a `kdpipe.pruning.criterion.Criterion`.
        reduction: as of `Criterion`.
        batches: number of batches that are read, in the order of the seed; None for all.
        batch_size: rows of a batch.
        seed: seed of the order.

    Raises:
        KdpipeError: the rows do not fit the model, or the model has lost more units already.
    """
    if not 0 <= sparsity < 1:
        raise KdpipeError(f"sparsity: expected a share from 0 to below 1, found {sparsity}")
    if batch_size < 1 or (batches is not None and batches < 1):
        fault = f"found batches={batches} and batch_size={batch_size}"
        raise KdpipeError(f"prune: expected at least one batch of at least one row, {fault}")
    if not isinstance(criterion, type):
        raise KdpipeError(
            f"criterion: expected a class, such as {MaskGradient.__name__} of {MaskGradient.__module__},"
            f" found {quoted(criterion)}"
        )
    if isinstance(model, Adapted):
        raise ModelError(
            "prune: expected a model of a family, found an adapted model, whose units nobody names"
        )
    split = read_rows(model, dataset)
    if split.task == LANGUAGE_MODELING:
        raise KdpipeError(
            "prune: units are ranked by the loss on labels; prune a model with a head for a task"
        )
    task = catalog.resolve("tasks", split.task)
    _, rows = first_batches(split, padding_id(model, None), batch_size, batches, seed)
    losses = label_losses(model, task.kind, task.positions)
    scores = score_units(model, criterion, rows, losses, reduction=reduction, seed=seed)
    check_finite(scores, type(model).__name__)
    pruned: Any = prune_to_sparsity(model, sparsity, ranks_from(model, scores))
    return pruned.to(model.device).eval()  # type: ignore[no-any-return]


def evaluate(
    model: PreTrainedModel | Adapted,
    dataset: Any,
    *,
    metrics: Sequence[str] = (),
    tokenizer: Any = None,
    batch_size: int | None = None,
    seed: int = 42,
) -> dict[str, float]:
    """Return the scores of a model on a dataset, by the names of the metrics.

    Args:
        model: the model, with a head for the task.
        dataset: tokenized rows with labels.
        metrics: names of the metrics; by default the metrics of the task.
        tokenizer: the tokenizer, which masked language modelling needs.
        batch_size: rows of a batch.
        seed: seed of masks.

    Raises:
        KdpipeError: the rows do not fit the model, or have no labels.
    """
    split = read_rows(model, dataset)
    if split.task == QUESTION_ANSWERING:
        raise KdpipeError(
            "evaluate: answers are scored as texts, which rows of token ids do not have; score a model for"
            " question answering with the workflow (`evaluate` in a config)"
        )
    if split.task != LANGUAGE_MODELING and "labels" not in split.columns:
        raise KdpipeError("evaluate: expected rows with a column `labels`, found none")
    targets_for(model, tokenizer, split, seed)
    known = catalog.resolve("tasks", split.task).all_metrics
    if unknown := set(metrics) - set(known):
        raise KdpipeError(f"metrics: expected some of {', '.join(known)}, found {', '.join(sorted(unknown))}")
    evaluation = score(model, tokenizer, split, metrics=metrics, batch_size=batch_size, seed=seed)
    return dict(evaluation.metrics)
