"""Train a model on an encoded dataset, with or without a teacher."""

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import nn
from tqdm import tqdm
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback

from kdpipe import catalog, processes
from kdpipe.anatomy.steps import count_steps
from kdpipe.artifacts.artifact import Draft
from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.artifacts.parquet import HISTORY, write_parquet
from kdpipe.data.batches import Collator, Knowledge
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import Targets
from kdpipe.errors import ModelError, TrainingError
from kdpipe.evaluation.scoring import Scorer, validation_scorer
from kdpipe.models.dropout import use_fast_dropout
from kdpipe.models.loading import save_model
from kdpipe.models.precision import Precision, choose_precision, default_device, norms_in_fp32
from kdpipe.signals.adapted import Adapted
from kdpipe.signals.capture import Origin, Teacher
from kdpipe.training.arguments import training_arguments
from kdpipe.training.callbacks import ProgressBar, check_callbacks
from kdpipe.training.embeddings import occurring_rows
from kdpipe.training.objective import Objective
from kdpipe.training.resumption import Resumption
from kdpipe.training.terms import hard_term
from kdpipe.training.trainer import AtSize, Learner, LearningTrainer
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
    seed: int,
    checkpoints: Checkpoints | None = None,
    teachers: Mapping[Origin, Teacher] | None = None,
    evaluate: Scorer | None = None,
    sizes: Sequence[AtSize] = (nullcontext,),
    callbacks: Sequence[TrainerCallback] = (),
    bar: "tqdm[Any] | None" = None,
) -> Outcome:
    """Train a model in place, in all processes of the job.

    Args:
        student: the model.
        objective: the loss.
        collator: makes batches of the training split.
        training: fields of `TrainingArguments`, and `early_stopping_patience`.
        seed: seed of order and dropout.
        checkpoints: the checkpoints; a stopped training goes on from the newest; None to write none.
        teachers: teachers that give signals online; batches hold the signals of all other teachers.
        evaluate: scores the student, if the arguments ask for evaluation during training.
        sizes: the sizes in which the student runs at every step.
        callbacks: callbacks of the Trainer, whose `model` is the student.
        bar: progress bar of the steps.

    Raises:
        TrainingError: the loss is not finite, or no example can be compared with its stored signals.
    """
    left_out = len(collator.split) - len(collator.examples)
    if left_out == len(collator.split):
        raise TrainingError(
            "no example is left: of each sentence, only some of the tokenizers cut words; raise `max_length`"
        )
    teachers, steps = teachers or {}, count_steps(training, len(collator.examples))
    try_out(objective, student, collator, teachers)
    resumption = Resumption(checkpoints) if checkpoints else None
    stored = _stored_precision(collator)
    precision = choose_precision(training, (resumption and resumption.precision) or stored)
    LOG.info("matrices are multiplied in %s", precision)
    if left_out:
        what = "%d of %d examples are left out: only some of the tokenizers cut their words"
        LOG.warning(what, left_out, len(collator.split))
    with nullcontext(checkpoints.folder) if checkpoints else TemporaryDirectory() as folder:
        arguments = training_arguments(training, folder, seed, steps, precision)
        _adapt_to_processor([student, *(teacher.model for teacher in teachers.values())], arguments.bf16)
        patience = training.get("early_stopping_patience")
        check_callbacks(callbacks)
        own = [EarlyStoppingCallback(patience)] if patience else []
        earlier = resumption.occurring_rows if resumption else None
        with occurring_rows(student, collator, arguments, earlier):
            trainer = LearningTrainer(
                Learner(student, objective),
                arguments,
                collator,
                seed,
                teachers,
                evaluate,
                sizes,
                resumption,
                callbacks=[*callbacks, *own, *([ProgressBar(bar)] if bar is not None else [])],
            )
            trainer.remove_callback(PrinterCallback)
            result = resumption.train() if resumption else trainer.train()
    _check_finite(student, result)
    passes = _passes(trainer) | ({"examples_left_out": left_out} if left_out else {})
    return Outcome(_history(trainer.state.log_history), passes, precision)


def _stored_precision(collator: Collator) -> Precision | None:
    """Return the precision of the cached teachers, which a training has too; None without any."""
    precisions = {knowledge.precision.name: knowledge.precision for knowledge in collator.knowledge.values()}
    if len(precisions) > 1:
        raise TrainingError(
            f"the signals of some teachers were computed in {' and of others in '.join(precisions)}, as their"
            " machines chose; give `bf16: true` or `bf16: false` in `training`"
        )
    return next(iter(precisions.values()), None)


def train_on_data(
    student: Any,
    tokenizer: Any,
    data: Path,
    training: dict[str, Any],
    *,
    seed: int,
    probability: float = 0.0,
    objective: Objective | None = None,
    targets: Targets | None = None,
    knowledge: Mapping[Origin, Knowledge] | None = None,
    evaluate: Scorer | None = None,
    **options: Any,
) -> Outcome:
    """Train a model in place on the training split of a dataset, and end all processes but the first.

    Args:
        student: a model with the head for the dataset's task.
        tokenizer: its tokenizer.
        data: the encoded dataset.
        training: as of `train`; a tracker that they name is among the callbacks.
        seed: as of `train`.
        probability: share of the tokens that are masked for scores during training.
        objective: the loss; by default the loss on the dataset's labels, or on its tokens.
        targets: the tokens to predict, for language modelling.
        knowledge: the stored signals of teachers.
        evaluate: scores the student; by default the metrics on the validation split.
        options: passed to `train`.
    """
    training = {name: value for name, value in training.items() if name != "report_to"}
    split = EncodedSplit(data, "train")
    if objective is None:
        task = catalog.resolve("tasks", split.task)
        objective = Objective([hard_term(task)], task.kind)
    collator = Collator(split, tokenizer.pad_token_id, targets, knowledge)
    evaluate = evaluate or validation_scorer(data, tokenizer, training, seed=seed, probability=probability)
    outcome = train(student, objective, collator, training, seed=seed, evaluate=evaluate, **options)
    processes.leave_to_first()
    return outcome


def save_outcome(draft: Draft, student: Any, tokenizer: Any, outcome: Outcome) -> None:
    """Write a trained model, its history and its numbers of examples."""
    save_model(student, tokenizer, draft.folder)
    write_parquet(draft.folder / "history.parquet", outcome.history, HISTORY)
    draft.record(processes=processes.count(), **outcome.seen)
    if outcome.precision is not None:
        draft.record(precision=asdict(outcome.precision))


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Exclude the parameters from training whose names match one of some globs."""
    for pattern in patterns:
        matched = [parameter for name, parameter in model.named_parameters() if fnmatchcase(name, pattern)]
        if not matched:
            names = ", ".join(name for name, _ in islice(model.named_parameters(), 5))
            raise ModelError(f"freeze: {pattern!r} matches no parameter; the parameters are {names}, …")
        for parameter in matched:
            parameter.requires_grad_(False)
        LOG.info("%s freezes %d parameters", pattern, sum(parameter.numel() for parameter in matched))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(f"freeze: {', '.join(patterns)} leaves no parameter to train")


def _adapt_to_processor(models: Sequence[Any], bf16: bool) -> None:
    """Prepare a student, and the teachers beside it, for a training without a GPU."""
    if default_device().type != "cpu":
        return
    if not isinstance(models[0], Adapted):
        use_fast_dropout(models[0])
    for model in models if bf16 else ():
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
    examples, sizes = seen["examples_seen"], len(trainer.sizes)
    return {**seen, "forwards": examples * (sizes + len(trainer.teachers)), "backwards": examples * sizes}


def _history(logs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    # A checkpoint sorts the names of a log, so the history sorts them too.
    return [
        {"step": entry["step"], "epoch": entry["epoch"], "name": name, "value": float(value)}
        for entry in logs
        for name, value in sorted(entry.items())
        if name not in NOT_HISTORY
    ]
