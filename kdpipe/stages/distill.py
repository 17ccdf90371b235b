"""Train a student against its teachers, run beside it or cached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdpipe.adapters.training import ensemble_of, load_learner, losses_of
from kdpipe.artifacts.sums import require
from kdpipe.config.settings.base import ByColumn
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit, SomeRows, kept_values, rows_with
from kdpipe.data.targets import Targets
from kdpipe.errors import KdpipeError, ModelError, listed
from kdpipe.evaluation.scoring import load_for, task_of
from kdpipe.models.compatibility import count_entries
from kdpipe.models.family import config_shape
from kdpipe.models.loading import load_tokenizer, read_model_config
from kdpipe.models.multitask import MultiTask, on_dataset
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.trackers import tracked
from kdpipe.runner.workspace import Workspace
from kdpipe.signals.by_rows import KnowledgeByRows
from kdpipe.signals.cache import SIGNALS, CachedKnowledge, same_examples
from kdpipe.signals.capture import Origin, Request, Teacher
from kdpipe.training.course import Course
from kdpipe.training.objective import Objective
from kdpipe.training.run import course_on, prefix_of, save_outcome, train_courses
from kdpipe.training.terms import build_objective


@dataclass(frozen=True)
class Source:
    """Where the signals of a teacher on a dataset come from.

    Args:
        teacher: the folder of the teacher.
        data: the dataset as the teacher's tokenizer encodes it.
        stored: the folder of its stored signals; None where the teacher runs.
    """

    teacher: Path
    data: Path
    stored: Path | None


def run(
    settings: DistillSettings,
    workspace: Workspace,
    *,
    teacher: list[Path],
    student: Path,
    data: list[Path],
    teacher_data: list[Path] | None = None,
    knowledge: list[Path] | None = None,
    counts: Path | None = None,
) -> None:
    """Train a student on the weighted sum of the loss terms.

    With `knowledge`, a folder for each teacher and dataset, the signals of teachers are read from there, and
    no teacher runs. Then their configs are needed, and their tokenizers where teacher and student must see
    the same tokens. Otherwise `teacher_data` has the datasets as other tokenizers of teachers encode them, a
    folder for each teacher and dataset.
    """
    datasets = dict(zip(settings.datasets, data, strict=True))
    sources = _sources(settings, teacher, datasets, teacher_data or [], knowledge or [])
    learner, tokenizer, targets = load_learner(
        student, datasets, settings.masking, counts, settings.freeze, settings.seed
    )
    courses = {
        name: _course(settings, name, folder, sources[name], learner, tokenizer, targets)
        for name, folder in datasets.items()
    }
    _share_bodies(courses, sources)
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


def _sources(
    settings: DistillSettings,
    teacher: list[Path],
    datasets: Mapping[str, Path],
    teacher_data: list[Path],
    knowledge: list[Path],
) -> dict[str, dict[str, Source]]:
    """Return where the signals of the teachers of each dataset come from, by dataset and teacher."""
    folders = _by_name("teacher", settings.teachers, teacher)
    lessons = {f"{each.teacher} on {each.dataset}": each for each in settings.lessons}
    read = [name for name, lesson in lessons.items() if lesson.taught]
    stored = _by_name("knowledge", read, knowledge) if knowledge else {}
    encoded = _by_name("teacher-data", read, teacher_data) if teacher_data else {}
    sources: dict[str, dict[str, Source]] = {name: {} for name in datasets}
    for name, lesson in lessons.items():
        data = encoded.get(name, datasets[lesson.dataset])
        sources[lesson.dataset][lesson.teacher] = Source(folders[lesson.teacher], data, stored.get(name))
    return sources


def _by_name(option: str, names: Sequence[str], folders: Sequence[Path]) -> dict[str, Path]:
    if len(folders) != len(names):
        raise KdpipeError(f"--{option}: expected a folder for each of {listed(names)}, found {len(folders)}")
    return dict(zip(names, folders, strict=True))


def _course(
    settings: DistillSettings,
    name: str,
    data: Path,
    sources: Mapping[str, Source],
    learner: Any,
    tokenizer: Any,
    targets: Targets | None,
) -> Course:
    """Return what is learned on a dataset."""
    objective = _objective(settings, name, on_dataset(learner, name), tokenizer, sources, data)
    split = EncodedSplit(data, "train")
    knowledge: dict[Origin, CachedKnowledge | KnowledgeByRows] = {}
    teachers, others = {}, {}
    for origin, request in objective.teachers.items():
        if isinstance(settings.teacher, ByColumn):
            for source in sources.values():
                _check_tokens(request, tokenizer, source, data)
            knowledge[origin] = _by_column(settings, settings.teacher, name, sources, split, request)
            continue
        source = sources[origin.teacher]
        _check_tokens(request, tokenizer, source, data)
        if source.stored is None:
            model, theirs = load_for(source.data, source.teacher, head=request.needs_head)
            teachers[origin] = Teacher(model, request)
            if source.data != data:
                others[origin] = Collator(same_examples(source.data, split), theirs.pad_token_id)
        else:
            knowledge[origin] = CachedKnowledge(source.stored / SIGNALS, split, targets)
            knowledge[origin].require(request)
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
        others=others,
    )


def _share_bodies(courses: Mapping[str, Course], sources: Mapping[str, Mapping[str, Source]]) -> None:
    """Let a teacher that runs on several datasets have one body for all of them."""
    running: dict[Path, dict[str, Any]] = {}
    for name, course in courses.items():
        for origin, teacher in course.teachers.items():
            running.setdefault(sources[name][origin.teacher].teacher, {})[name] = teacher.model
    for models in running.values():
        MultiTask(models)


def _by_column(
    settings: DistillSettings,
    by: ByColumn,
    name: str,
    sources: Mapping[str, Source],
    split: EncodedSplit,
    request: Request,
) -> KnowledgeByRows:
    """Return the stored signals of the teacher of each row.

    Raises:
        KdpipeError: some rows have no teacher, or the signals are not stored.
    """
    if without := {*kept_values(split, by.column)} - {*by.models}:
        what = f"rows whose {by.column!r} is {listed(sorted(map(repr, map(str, without))))} have no teacher"
        raise KdpipeError(f"{split.path}: {what}; give each value one in `teacher.models`")
    parts = []
    for lesson in settings.lessons:
        if lesson.dataset == name and lesson.rows:
            stored, rows = sources[lesson.teacher].stored, rows_with(split, *lesson.rows)
            if stored is None:
                raise KdpipeError(
                    "--knowledge: teachers by a column need their stored signals; give the folders"
                )
            parts.append((CachedKnowledge(stored / SIGNALS, SomeRows(split, rows)), rows))
    knowledge = KnowledgeByRows(parts, len(split))
    knowledge.require(request)
    return knowledge


def _objective(
    settings: DistillSettings,
    name: str,
    student: Any,
    tokenizer: Any,
    sources: Mapping[str, Source],
    data: Path,
) -> Objective:
    for source in sources.values():
        require(source.teacher, "config.json")
    taught = {lesson.teacher for lesson in settings.lessons if lesson.dataset == name and lesson.taught}
    shapes = {
        teacher: config_shape(read_model_config(source.teacher))
        for teacher, source in sources.items()
        if teacher in taught
    }
    if isinstance(settings.teacher, ByColumn) and shapes:
        # They are as one teacher that is called as the column, and equally large where it matters.
        shapes = {settings.teacher.column: next(iter(shapes.values()))}
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


def _check_tokens(request: Request, tokenizer: Any, source: Source, data: Path) -> None:
    """Refuse a teacher with another tokenizer than the student's if both must see the same tokens."""
    reads_ours = source.stored is None and source.data == data
    if not (reads_ours or task_of(data).by_token or request.aligned):
        return
    require(source.teacher, "tokenizer.json")
    if load_tokenizer(source.teacher).get_vocab() != tokenizer.get_vocab():
        raise ModelError(
            f"{source.teacher} and the student have different tokenizers, but both must see the same tokens; "
            "compare logits on a task whose labels are of examples or words, or take a student with the"
            " teacher's tokenizer"
        )


if __name__ == "__main__":
    main(run, several=True, in_part={"teacher": "knowledge"})
