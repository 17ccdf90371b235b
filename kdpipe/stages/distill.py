"""Train a student against its teachers, run beside it or cached."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdpipe.adapters.training import ensemble_of, load_learner, losses_of
from kdpipe.artifacts.sums import require
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import Targets
from kdpipe.errors import KdpipeError, ModelError, listed
from kdpipe.evaluation.scoring import load_for, task_of
from kdpipe.models.compatibility import count_entries
from kdpipe.models.family import config_shape
from kdpipe.models.loading import load_tokenizer, read_model_config
from kdpipe.models.multitask import on_dataset
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.trackers import tracked
from kdpipe.runner.workspace import Workspace
from kdpipe.signals.cache import SIGNALS, CachedKnowledge
from kdpipe.signals.capture import Request, Teacher
from kdpipe.training.course import Course
from kdpipe.training.objective import Objective
from kdpipe.training.run import course_on, prefix_of, save_outcome, train_courses
from kdpipe.training.terms import build_objective

# The folder of a teacher and, where its signals are stored, the folder of these.
Taught = dict[str, tuple[Path, Path | None]]


def run(
    settings: DistillSettings,
    workspace: Workspace,
    *,
    teacher: list[Path],
    student: Path,
    data: list[Path],
    knowledge: list[Path] | None = None,
    counts: Path | None = None,
) -> None:
    """Train a student on the weighted sum of the loss terms.

    With `knowledge`, a folder for each teacher and dataset, the signals of teachers are read from there, and
    no teacher runs. Then their configs are needed, and their tokenizers where teacher and student must see
    the same tokens.
    """
    datasets = dict(zip(settings.datasets, data, strict=True))
    taught = _taught(settings, teacher, knowledge or [])
    learner, tokenizer, targets = load_learner(
        student, datasets, settings.masking, counts, settings.freeze, settings.seed
    )
    courses = {
        name: _course(settings, name, folder, taught[name], learner, tokenizer, targets)
        for name, folder in datasets.items()
    }
    with workspace.artifact() as draft, workspace.progress(None, "distill") as bar:
        outcome = train_courses(
            learner,
            courses,
            settings.training.model_dump(exclude_unset=True),
            seed=settings.seed,
            exponent=settings.exponent,
            checkpoints=workspace.checkpoints,
            callbacks=tracked(settings.training, workspace.runs()),
            bar=bar,
        )
        save_outcome(draft, learner, tokenizer, outcome)
        terms = [term for course in courses.values() for term in course.objective.terms]
        draft.record(pairs={term.name: list(term.pairs) for term in terms if term.pairs[0] != (None, None)})


def _taught(settings: DistillSettings, teacher: list[Path], knowledge: list[Path]) -> dict[str, Taught]:
    """Return the teachers of each dataset by name."""
    folders = _by_name("teacher", settings.teachers, teacher)
    lessons = {(lesson.dataset, lesson.teacher): bool(lesson.taught) for lesson in settings.lessons}
    read = [f"{name} on {dataset}" for (dataset, name), reads in lessons.items() if reads]
    stored = _by_name("knowledge", read, knowledge) if knowledge else {}
    taught: dict[str, Taught] = {name: {} for name in settings.datasets}
    for dataset, name in lessons:
        taught[dataset][name] = folders[name], stored.get(f"{name} on {dataset}")
    return taught


def _by_name(option: str, names: Sequence[str], folders: Sequence[Path]) -> dict[str, Path]:
    if len(folders) != len(names):
        raise KdpipeError(f"--{option}: expected a folder for each of {listed(names)}, found {len(folders)}")
    return dict(zip(names, folders, strict=True))


def _course(
    settings: DistillSettings,
    name: str,
    data: Path,
    taught: Taught,
    learner: Any,
    tokenizer: Any,
    targets: Targets | None,
) -> Course:
    """Return what is learned on a dataset."""
    objective = _objective(settings, name, on_dataset(learner, name), tokenizer, taught, data)
    split = EncodedSplit(data, "train")
    knowledge, teachers = {}, {}
    for source, request in objective.teachers.items():
        folder, stored = taught[source.teacher]
        _check_tokens(request, tokenizer, folder, data, online=stored is None)
        if stored is None:
            teachers[source] = Teacher(load_for(data, folder, head=request.needs_head)[0], request)
        else:
            knowledge[source] = CachedKnowledge(stored / SIGNALS, split, targets)
            knowledge[source].require(request)
    return course_on(
        data,
        tokenizer,
        settings.training.model_dump(exclude_unset=True),
        seed=settings.seed,
        probability=settings.masking.probability,
        objective=objective,
        targets=targets,
        knowledge=knowledge,
        teachers=teachers,
    )


def _objective(
    settings: DistillSettings, name: str, student: Any, tokenizer: Any, taught: Taught, data: Path
) -> Objective:
    for folder, _ in taught.values():
        require(folder, "config.json")
    shapes = {name: config_shape(read_model_config(folder)) for name, (folder, _) in taught.items()}
    return build_objective(
        losses_of([term for _, term in settings.terms_on(name)]),
        task_of(data),
        shapes,
        config_shape(student.config),
        settings.seed,
        count_entries(tokenizer),
        ensemble_of(settings.ensemble),
        prefix_of(name, settings.datasets),
    )


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
