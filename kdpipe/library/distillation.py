"""`kdpipe.distill`: a student trained in Python, with the code of the stage `distill`.

A dataset is a `datasets.Dataset` of token ids and labels, as `transformers.Trainer` takes it
(`kdpipe.data.tokenized`). The head of a model says what the task is.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from transformers import PreTrainedModel, TrainerCallback

from kdpipe import catalog
from kdpipe.anatomy.knowledge import Amount, Selection
from kdpipe.anatomy.signals import StoredPrecision
from kdpipe.data.batches import Collator
from kdpipe.data.tokenized import TokenizedSplit
from kdpipe.errors import KdpipeError, ModelError, quoted
from kdpipe.evaluation.reading import check_teacher, read_rows, take_over, targets_for
from kdpipe.evaluation.scoring import padding_id, scorer
from kdpipe.interchange.given import Intervention
from kdpipe.interchange.runs import Interchange
from kdpipe.knowledge.choosing import selects
from kdpipe.library.lessons import Taught, lessons
from kdpipe.library.progress import check_trainer_callbacks, progress_bar
from kdpipe.losses.ensemble import MEAN_LOGITS, Ensemble
from kdpipe.losses.loss import Loss
from kdpipe.models.compatibility import count_entries
from kdpipe.models.precision import default_device
from kdpipe.signals.adapted import Adapted, bare
from kdpipe.signals.capture import TEACHER, Origin
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
    knowledge: Selection | str | None = None,
    interchange: Intervention | None = None,
    seed: int = 42,
    progress: bool | None = None,
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
        callbacks: callbacks of `transformers.Trainer`, whose `model` is the student; logs have the mean of
            each loss by its name.
        cache: the precision in which the teacher's signals are stored before the training, in a temporary
            file, so that the teacher runs once; None lets it run beside the student in every epoch.
        ensemble: how losses on logits read several teachers as one.
        knowledge: how much of the teachers' states is compared, such as `1l_10t_0.1h`, or a
            `kdpipe.Selection`; None for all.
        interchange: the counterfactual run that losses with `run="counterfactual"` compare.
        seed: seed of the order of rows, of masks, dropout and projections.
        progress: whether bars are shown of the signals that are stored and of the steps; by default on a
            terminal and in a notebook.
        training: fields of `transformers.TrainingArguments`, and `early_stopping_patience`.

    Raises:
        KdpipeError: models, rows, losses and arguments do not fit together.
    """
    check_trainer_callbacks(callbacks, training)
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
    selection = _selection_of(knowledge, seed)
    entries = count_entries(tokenizer) if tokenizer else None
    objective = _objective(named, student, weighted, collator, seed, entries, ensemble, selection)
    _check_teachers(named, student, split, objective)
    if selection and not any(selects(selection, request) for request in objective.teachers.values()):
        raise KdpipeError("knowledge: no loss reads states of a teacher; leave it out")
    collator.tokens = objective.tokens
    interchanges = _interchanges(interchange, objective, named, student, cache)
    if interchanges:
        _refuse_beside_exchanges(student, training, selection)
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
    taught = Taught(named, objective, interchanges, selection, tokenizer)
    learned = lessons(taught, collator, cache, training, progress)
    with learned as (batches, teachers), progress_bar(progress, "distill", "step") as bar:
        train(
            student,
            objective,
            batches,
            training,
            seed=seed,
            teachers=teachers,
            evaluate=scored,
            callbacks=callbacks,
            bar=bar,
            interchange=next(iter(interchanges.values()), None),
        )
    trained: M = student.eval()
    return trained


def _objective(
    teachers: Mapping[str, Any],
    student: Any,
    losses: Sequence[Weighted],
    collator: Collator,
    seed: int,
    entries: int | None,
    ensemble: Ensemble,
    selection: Selection | None,
) -> Objective:
    """Return the sum of the losses between teachers and student."""
    shapes: dict[str, Shape] = {}
    for name, model in teachers.items():
        read = [loss for loss in losses if loss.teacher in ("", name)]
        shapes[name] = shape_on(model, collator, read)
    ours, task = shape_on(student, collator, losses), catalog.resolve("tasks", collator.split.task)
    return build_objective(losses, task, shapes, ours, seed, entries, ensemble, selection=selection)


def _check_teachers(
    teachers: Mapping[str, Any], student: Any, split: TokenizedSplit, objective: Objective
) -> None:
    """Refuse teachers whose heads cannot be compared with the student's, where losses compare heads."""
    for origin in objective.teachers:
        check_teacher(teachers[origin.teacher], student, split, objective.reads_head(origin))


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


def _selection_of(knowledge: Selection | str | None, seed: int) -> Selection | None:
    """Return what is taken of states."""
    if isinstance(knowledge, str):
        return Selection(Amount.parse(knowledge), seed=seed)
    if knowledge is not None and not isinstance(knowledge, Selection):
        what = f"expected an amount such as `1l_10t_0.1h`, or a kdpipe.Selection, found {quoted(knowledge)}"
        raise KdpipeError(f"knowledge: {what}")
    return knowledge


def _refuse_beside_exchanges(student: Any, training: Mapping[str, Any], selection: Selection | None) -> None:
    """Refuse what cannot be beside runs that begin or end at a block."""
    if selection is not None:
        raise KdpipeError("knowledge: is not built beside a counterfactual run; leave one of them out")
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
