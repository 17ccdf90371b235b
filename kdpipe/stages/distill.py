"""Train a student against a teacher, run beside it or cached."""

from pathlib import Path
from typing import Any

from kdpipe.adapters.training import load_learner, losses_of
from kdpipe.artifacts.sums import require
from kdpipe.data.encoded import EncodedSplit
from kdpipe.errors import ModelError
from kdpipe.evaluation.scoring import load_for, task_of
from kdpipe.models.compatibility import count_entries
from kdpipe.models.family import config_shape
from kdpipe.models.loading import load_tokenizer, read_model_config
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.workspace import Workspace
from kdpipe.signals.cache import SIGNALS, CachedKnowledge
from kdpipe.signals.capture import TEACHER, Teacher
from kdpipe.training.objective import Objective
from kdpipe.training.run import save_outcome, train_on_data
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

    With `knowledge` the teacher's signals are read from there, and the teacher itself does not run. Then its
    config is needed, and its tokenizer where teacher and student must see the same tokens.
    """
    learner, tokenizer, targets = load_learner(
        student, data, settings.masking, counts, settings.freeze, settings.seed
    )
    objective = _objective(settings, learner, tokenizer, teacher, data)
    _check_tokens(objective, tokenizer, teacher, data, online=knowledge is None)
    split = EncodedSplit(data, "train")
    stored = {TEACHER: CachedKnowledge(knowledge / SIGNALS, split, targets)} if knowledge else {}
    for source, signals in stored.items():
        signals.require(objective.teachers[source])
    requests = {} if knowledge else objective.teachers
    with workspace.artifact() as draft, workspace.progress(None, "distill") as bar:
        outcome = train_on_data(
            learner,
            tokenizer,
            data,
            settings.training.model_dump(exclude_unset=True),
            seed=settings.seed,
            probability=settings.masking.probability,
            objective=objective,
            targets=targets,
            knowledge=stored,
            teachers={
                source: Teacher(load_for(data, teacher, head=request.needs_head)[0], request)
                for source, request in requests.items()
            },
            checkpoints=workspace.checkpoints,
            bar=bar,
        )
        save_outcome(draft, learner, tokenizer, outcome)
        draft.record(
            pairs={term.name: list(term.pairs) for term in objective.terms if term.pairs[0] != (None, None)}
        )


def _objective(
    settings: DistillSettings, learner: Any, tokenizer: Any, teacher: Path, data: Path
) -> Objective:
    require(teacher, "config.json")
    shapes = {TEACHER.teacher: config_shape(read_model_config(teacher))}, config_shape(learner.config)
    losses, entries = losses_of(settings.losses), count_entries(tokenizer)
    return build_objective(losses, task_of(data), *shapes, settings.seed, entries)


def _check_tokens(objective: Objective, tokenizer: Any, teacher: Path, data: Path, online: bool) -> None:
    """Refuse a teacher with another tokenizer than the student's if both must see the same tokens."""
    task = task_of(data)
    for request in objective.teachers.values():
        if not (online or task.by_token or request.aligned):
            continue
        require(teacher, "tokenizer.json")
        if load_tokenizer(teacher).get_vocab() != tokenizer.get_vocab():
            raise ModelError(
                f"{teacher} and the student have different tokenizers, but both must see the same tokens; "
                "compare logits of a cached teacher on a task, or take a student with the teacher's tokenizer"
            )


if __name__ == "__main__":
    main(run, several=True, in_part={"teacher": "knowledge"})
