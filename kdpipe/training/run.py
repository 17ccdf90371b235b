"""Train a model on an encoded dataset, with or without a teacher."""

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from itertools import islice
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn
from tqdm import tqdm
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback

from kdpipe import processes
from kdpipe.anatomy.steps import count_steps
from kdpipe.artifacts.artifact import Draft
from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.artifacts.parquet import HISTORY, write_parquet
from kdpipe.data.batches import Collator
from kdpipe.errors import ModelError, TrainingError
from kdpipe.evaluation.scoring import Scorer
from kdpipe.interchange.runs import Interchange
from kdpipe.models.dropout import use_fast_dropout
from kdpipe.models.multitask import MultiTask, models_in, on_dataset, save_parts
from kdpipe.models.precision import Precision, choose_precision, default_device, norms_in_fp32
from kdpipe.signals.adapted import Adapted
from kdpipe.signals.capture import Origin, Teacher
from kdpipe.training.arguments import training_arguments
from kdpipe.training.callbacks import ProgressBar, check_callbacks
from kdpipe.training.course import Course
from kdpipe.training.embeddings import occurring_rows
from kdpipe.training.objective import Objective
from kdpipe.training.resumption import Resumption
from kdpipe.training.trainer import AtSize, LearningTrainer
from kdpipe.training.trial import try_out

LOG = logging.getLogger(__name__)
# What is recorded of the counts of a trainer.
SEEN = {"examples": "examples_seen", "tokens": "tokens_seen", "labelled": "targets_seen"}
NOT_HISTORY = (
    "step",
    "epoch",
    "total_flos",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
)


@dataclass(frozen=True)
class Outcome:
    """The results of a training besides the model.

    Args:
        history: rows of step, epoch, name and value: the loss, its terms, and evaluations.
        seen: numbers of examples, tokens, targets and passes of the training, and of examples left out.
        precision: precision of matrix products; None if nothing was trained.
    """

    history: list[dict[str, Any]]
    seen: Mapping[str, int]
    precision: Precision | None = None


def train(
    student: Any,
    objective: Objective,
    collator: Collator,
    training: dict[str, Any],
    *,
    teachers: Mapping[Origin, Teacher] | None = None,
    evaluate: Scorer | None = None,
    interchange: Interchange | None = None,
    **options: Any,
) -> Outcome:
    """Train a model in place on one dataset, in all processes of the job.

    Args:
        student: the model.
        objective: the loss.
        collator: as of `Course`, and so `teachers` and `evaluate`.
        training: as of `train_together`, and so `options`.
        teachers: teachers that give signals online.
        evaluate: scores the student.
        interchange: what is swapped in the student's counterfactual runs.
        options: passed to `train_together`.
    """
    course = Course(collator, objective, teachers or {}, evaluate, interchange)
    return train_together(student, {"": course}, training, **options)


def train_together(
    student: Any,
    courses: Mapping[str, Course],
    training: dict[str, Any],
    *,
    seed: int,
    exponent: float = 1.0,
    checkpoints: Checkpoints | None = None,
    sizes: Sequence[AtSize] = (nullcontext,),
    callbacks: Sequence[TrainerCallback] = (),
    bar: "tqdm[Any] | None" = None,
) -> Outcome:
    """Train a model in place on one dataset or several, in all processes of the job.

    Args:
        student: the model; for several datasets a `MultiTask` model.
        courses: what is learned on each dataset, by name; on the only dataset by "".
        training: fields of `TrainingArguments`, and `early_stopping_patience`.
        seed: seed of order and dropout.
        exponent: how often a batch is of each dataset, as of `kdpipe.data.mixing.MixedSampler`.
        checkpoints: the checkpoints; a stopped training goes on from the newest; None to write none.
        sizes: the sizes in which the student runs at every step.
        callbacks: callbacks of the Trainer, whose `model` is the student.
        bar: progress bar of the steps.

    Raises:
        TrainingError: the loss is not finite, or no example can be compared with the teacher's signals on it.
    """
    collators = [course.collator for course in courses.values()]
    left_out = _left_out(courses)
    steps = count_steps(training, sum(len(collator.examples) for collator in collators))
    for name, course in courses.items():
        try_out(course.objective, on_dataset(student, name), course.collator, course.teachers)
    resumption = Resumption(checkpoints) if checkpoints else None
    stored = _stored_precision(collators)
    precision = choose_precision(training, (resumption and resumption.precision) or stored)
    LOG.info("matrices are multiplied in %s", precision)
    with nullcontext(checkpoints.folder) if checkpoints else TemporaryDirectory() as folder:
        arguments = training_arguments(training, folder, seed, steps, precision)
        teachers = [teacher.model for course in courses.values() for teacher in course.teachers.values()]
        _adapt_to_processor(student, teachers, arguments.bf16)
        patience = training.get("early_stopping_patience")
        check_callbacks(callbacks)
        own = [EarlyStoppingCallback(patience)] if patience else []
        earlier = resumption.occurring_rows if resumption else None
        with occurring_rows(student, collators, arguments, earlier):
            trainer = LearningTrainer(
                student,
                courses,
                arguments,
                seed,
                exponent,
                sizes,
                resumption,
                callbacks=[*callbacks, *own, *([ProgressBar(bar)] if bar is not None else [])],
            )
            trainer.remove_callback(PrinterCallback)
            result = resumption.train() if resumption else trainer.train()
    _check_finite(student, result)
    passes = _passes(trainer) | ({"examples_left_out": left_out} if left_out else {})
    return Outcome(_history(trainer.state.log_history), passes, precision)


def _left_out(courses: Mapping[str, Course]) -> int:
    """Return how many examples cannot be compared with the signals of their teachers.

    Raises:
        TrainingError: no example of a dataset can.
    """
    total = 0
    for name, collator in ((name, course.collator) for name, course in courses.items()):
        left_out, of = len(collator.split) - len(collator.examples), f" of {name}" if name else ""
        if collator.split.windowed:
            why = "no window of the teacher holds all of the context in the window"
        else:
            why = "only some of the tokenizers cut words of the sentence"
        if left_out == len(collator.split):
            raise TrainingError(f"no example{of} is left: of each, {why}; raise `max_length`")
        if left_out:
            LOG.warning("%d of %d examples%s are left out: %s", left_out, len(collator.split), of, why)
        total += left_out
    return total


def _stored_precision(collators: Sequence[Collator]) -> Precision | None:
    """Return the precision of the cached teachers, which a training has too; None without any."""
    known = [knowledge.precision for collator in collators for knowledge in collator.knowledge.values()]
    precisions = {precision.name: precision for precision in known}
    if len(precisions) > 1:
        raise TrainingError(
            f"the signals of some teachers were computed in {' and of others in '.join(precisions)}, as their"
            " machines chose; give `bf16: true` or `bf16: false` in `training`"
        )
    return next(iter(precisions.values()), None)


def train_courses(
    student: Any, courses: Mapping[str, Course], training: dict[str, Any], **options: Any
) -> Outcome:
    """Train a model in place, and end all processes but the first.

    Args:
        student: as of `train_together`, and so `courses`.
        courses: what is learned on each dataset; the name of the only one does not matter.
        training: as of `train_together`; a tracker that they name is among the callbacks.
        options: passed to `train_together`.
    """
    training = {name: value for name, value in training.items() if name != "report_to"}
    if len(courses) == 1:
        courses = dict(zip([""], courses.values(), strict=True))
    outcome = train_together(student, courses, training, **options)
    processes.leave_to_first()
    return outcome


def save_outcome(draft: Draft, student: Any, tokenizer: Any, outcome: Outcome) -> None:
    """Write a trained model, its history and its numbers of examples."""
    save_parts(student.parts if isinstance(student, MultiTask) else {"": student}, tokenizer, draft.folder)
    write_parquet(draft.folder / "history.parquet", outcome.history, HISTORY)
    draft.record(processes=processes.count(), **outcome.seen)
    if outcome.precision is not None:
        draft.record(precision=asdict(outcome.precision))


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Exclude the parameters from training whose names match one of some globs."""
    named = [pair for part in models_in(model) for pair in part.named_parameters()]
    for pattern in patterns:
        # Models that share a body have its parameters in common.
        matched = {parameter for name, parameter in named if fnmatchcase(name, pattern)}
        if not matched:
            names = ", ".join(name for name, _ in islice(named, 5))
            raise ModelError(f"freeze: {pattern!r} matches no parameter; the parameters are {names}, …")
        for parameter in matched:
            parameter.requires_grad_(False)
        LOG.info("%s freezes %d parameters", pattern, sum(parameter.numel() for parameter in matched))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(f"freeze: {', '.join(patterns)} leaves no parameter to train")


def _adapt_to_processor(student: Any, teachers: Sequence[Any], bf16: bool) -> None:
    """Prepare a student, and the teachers beside it, for a training without a GPU."""
    if default_device().type != "cpu":
        return
    for model in models_in(student):
        if not isinstance(model, Adapted):
            use_fast_dropout(model)
    for model in (student, *teachers) if bf16 else ():
        norms_in_fp32(model)


def _check_finite(student: nn.Module, result: Any) -> None:
    """Check the steps after the last log, and the last update."""
    finite = all(bool(parameter.isfinite().all()) for parameter in student.parameters())
    if not finite or not math.isfinite(result.training_loss):
        raise TrainingError(
            f"after step {result.global_step} the weights or the loss are not finite; "
            "lower the learning rate or set max_grad_norm"
        )


def _passes(trainer: LearningTrainer) -> dict[str, int]:
    """Return the numbers of examples, tokens, targets and passes of a training."""
    seen = {SEEN[name]: count for name, count in trainer.seen.items() if name in SEEN}
    learned, taught = trainer.seen["learned"], trainer.seen["taught"]
    return {**seen, "forwards": learned + taught, "backwards": learned}


def _history(logs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    # A checkpoint sorts the names of a log, so the history sorts them too.
    return [
        {"step": entry["step"], "epoch": entry["epoch"], "name": name, "value": float(value)}
        for entry in logs
        for name, value in sorted(entry.items())
        if name not in NOT_HISTORY
    ]
