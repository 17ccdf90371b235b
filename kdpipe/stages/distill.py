"""Train a student against a teacher, run beside it or cached."""

from pathlib import Path
from typing import Any

from kdpipe import processes
from kdpipe.adapters.training import losses_of, targets_of
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit, validation_split
from kdpipe.errors import ModelError
from kdpipe.evaluation.scoring import scorer, task_of
from kdpipe.evaluation.task import Task
from kdpipe.models.compatibility import check_fit, count_entries
from kdpipe.models.family import config_shape
from kdpipe.models.loading import load_frozen, load_tokenizer, load_with_head, read_config
from kdpipe.models.precision import default_device
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace
from kdpipe.signals.cache import SIGNALS, CachedKnowledge
from kdpipe.signals.capture import TEACHER, Request, Teacher
from kdpipe.training.run import freeze, save_outcome, train
from kdpipe.training.terms import build_objective


def run(
    settings: DistillSettings,
    workspace: Workspace,
    *,
    teacher: Path,
    student: Path,
    data: Path,
    knowledge: Path | None = None,
    counts: Path | None = None,
) -> None:
    """Train a student on the weighted sum of the loss terms.

    With `knowledge` the teacher's signals are read from there, and of the teacher only its config is.
    """
    task, labels = task_of(data)
    tokenizer = load_tokenizer(student)
    check_fit(student, tokenizer, data)
    teachers, stored = {TEACHER: teacher}, {TEACHER: knowledge} if knowledge else {}
    shapes = {source.teacher: config_shape(read_config(folder)) for source, folder in teachers.items()}
    shape, entries = config_shape(read_config(student)), count_entries(tokenizer)
    objective = build_objective(losses_of(settings.losses), task, shapes, shape, settings.seed, entries)
    running = {}
    for source, request in objective.teachers.items():
        _check_tokens(request, task, teachers[source], tokenizer, online=source not in stored)
        if source not in stored:
            running[source] = _online(request, teachers[source], tokenizer, data)
    learner = load_with_head(student, task.head(labels), settings.seed)
    freeze(learner, settings.freeze)
    split = EncodedSplit(data, "train")
    cached = {source: CachedKnowledge(folder / SIGNALS, split) for source, folder in stored.items()}
    targets = targets_of(task, learner, tokenizer, settings.masking, counts, settings.seed)
    score = scorer(
        validation_split(data),
        tokenizer,
        seed=settings.seed,
        probability=settings.masking.probability,
        batch_size=getattr(settings.training, "per_device_eval_batch_size", None),
    )
    with workspace.artifact() as draft, workspace.progress(None, "distill") as bar:
        outcome = train(
            learner,
            objective,
            Collator(split, tokenizer.pad_token_id, targets, cached),
            settings.training.model_dump(exclude_unset=True),
            seed=settings.seed,
            checkpoints=workspace.checkpoints,
            teachers=running,
            evaluate=score,
            bar=bar,
        )
        processes.leave_to_first()
        save_outcome(draft, learner, tokenizer, outcome)
        draft.record(
            pairs={term.name: list(term.pairs) for term in objective.terms if term.pairs[0] != (None, None)}
        )


def _check_tokens(request: Request, task: type[Task], teacher: Path, tokenizer: Any, online: bool) -> None:
    """Refuse a teacher that reads other tokens than the student where both must see the same."""
    by_position = task.by_token or request.aligned
    if (online or by_position) and load_tokenizer(teacher).get_vocab() != tokenizer.get_vocab():
        raise ModelError(
            f"{teacher} and the student have different tokenizers, but both must see the same tokens; "
            "compare logits of a cached teacher on a task, or take a student with the teacher's tokenizer"
        )


def _online(request: Request, folder: Path, tokenizer: Any, data: Path) -> Teacher:
    check_fit(folder, tokenizer, data)
    task, labels = task_of(data)
    head = task.head(labels) if request.needs_head else None
    return Teacher(load_frozen(folder, head, default_device()), request)


if __name__ == "__main__":
    main(run, several=True)
