"""Train a student against its teachers, run beside it or cached."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdpipe.adapters.training import ensemble_of, load_learner, losses_of
from kdpipe.artifacts.sums import require
from kdpipe.data.encoded import EncodedSplit
from kdpipe.errors import KdpipeError, ModelError, listed
from kdpipe.evaluation.scoring import load_for, task_of
from kdpipe.models.compatibility import count_entries
from kdpipe.models.family import config_shape
from kdpipe.models.loading import load_tokenizer, read_model_config
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.trackers import tracked
from kdpipe.runner.workspace import Workspace
from kdpipe.signals.cache import SIGNALS, CachedKnowledge
from kdpipe.signals.capture import Origin, Request, Teacher
from kdpipe.training.objective import Objective
from kdpipe.training.run import save_outcome, train_on_data
from kdpipe.training.terms import build_objective


def run(
    settings: DistillSettings,
    workspace: Workspace,
    *,
    teacher: list[Path],
    student: Path,
    data: Path,
    knowledge: list[Path] | None = None,
    counts: Path | None = None,
) -> None:
    """Train a student on the weighted sum of the loss terms.

    With `knowledge`, a folder for each teacher, the signals of teachers are read from there, and no teacher
    runs. Then their configs are needed, and their tokenizers where teacher and student must see the same
    tokens.
    """
    teachers = _by_name(settings, "teacher", teacher)
    caches = _by_name(settings, "knowledge", knowledge) if knowledge else {}
    learner, tokenizer, targets = load_learner(
        student, data, settings.masking, counts, settings.freeze, settings.seed
    )
    objective = _objective(settings, learner, tokenizer, teachers, data)
    for source, request in objective.teachers.items():
        _check_tokens(request, tokenizer, teachers[source.teacher], data, online=not caches)
    split = EncodedSplit(data, "train")
    stored = {
        Origin(name): CachedKnowledge(folder / SIGNALS, split, targets) for name, folder in caches.items()
    }
    for source, signals in stored.items():
        signals.require(objective.teachers[source])
    requests = {} if stored else objective.teachers
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
                source: Teacher(load_for(data, teachers[source.teacher], head=request.needs_head)[0], request)
                for source, request in requests.items()
            },
            checkpoints=workspace.checkpoints,
            callbacks=tracked(settings.training, workspace.runs()),
            bar=bar,
        )
        save_outcome(draft, learner, tokenizer, outcome)
        draft.record(
            pairs={term.name: list(term.pairs) for term in objective.terms if term.pairs[0] != (None, None)}
        )


def _by_name(settings: DistillSettings, option: str, folders: Sequence[Path]) -> dict[str, Path]:
    """Return the folder of each teacher, or of its signals, by the teacher's name."""
    if len(folders) != len(settings.teachers):
        names = listed(settings.teachers)
        raise KdpipeError(f"--{option}: expected a folder for each of {names}, found {len(folders)}")
    return dict(zip(settings.teachers, folders, strict=True))


def _objective(
    settings: DistillSettings, learner: Any, tokenizer: Any, teachers: Mapping[str, Path], data: Path
) -> Objective:
    for folder in teachers.values():
        require(folder, "config.json")
    shapes = {name: config_shape(read_model_config(folder)) for name, folder in teachers.items()}
    losses, ensemble = losses_of(settings.losses), ensemble_of(settings.ensemble)
    student, entries = config_shape(learner.config), count_entries(tokenizer)
    return build_objective(losses, task_of(data), shapes, student, settings.seed, entries, ensemble)


def _check_tokens(request: Request, tokenizer: Any, teacher: Path, data: Path, online: bool) -> None:
    """Refuse a teacher with another tokenizer than the student's if both must see the same tokens."""
    if not (online or task_of(data).by_token or request.aligned):
        return
    require(teacher, "tokenizer.json")
    if load_tokenizer(teacher).get_vocab() != tokenizer.get_vocab():
        raise ModelError(
            f"{teacher} and the student have different tokenizers, but both must see the same tokens; "
            "compare logits of a cached teacher on a task, or take a student with the teacher's tokenizer"
        )


if __name__ == "__main__":
    main(run, several=True, in_part={"teacher": "knowledge"})
