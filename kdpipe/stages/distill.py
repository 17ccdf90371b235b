"""Train a student against its teachers, run beside it or cached."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdpipe.adapters.interchange import file_digests, intervention_of
from kdpipe.adapters.targets import occurrences
from kdpipe.adapters.teachers import (
    Source,
    checked,
    counterpart,
    signals_by_column,
    sources_of,
    stored_signals,
)
from kdpipe.adapters.training import ensemble_of, load_learner, losses_of
from kdpipe.anatomy.alignments import no_sites
from kdpipe.artifacts.sums import require
from kdpipe.config.settings.base import ByColumn
from kdpipe.data.counterpart import CounterpartCollator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import Targets
from kdpipe.evaluation.scoring import load_for, task_of
from kdpipe.interchange.given import Intervention
from kdpipe.interchange.runs import Interchange, TeacherOfBoth, teacher_of
from kdpipe.knowledge.choosing import ChoosingTeacher
from kdpipe.knowledge.tokens import separators_of
from kdpipe.models.compatibility import count_entries
from kdpipe.models.family import config_shape
from kdpipe.models.loading import read_model_config
from kdpipe.models.multitask import MultiTask, on_dataset
from kdpipe.plan.saved.knowledge import read_knowledge
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.runner.command_line import main
from kdpipe.runner.trackers import tracked
from kdpipe.runner.workspace import Workspace
from kdpipe.signals.by_rows import KnowledgeByRows
from kdpipe.signals.cache import CachedKnowledge
from kdpipe.signals.capture import Origin, Teacher
from kdpipe.signals.matched import MatchedAnswers
from kdpipe.training.course import Course, course_on, prefix_of
from kdpipe.training.objective import Objective
from kdpipe.training.run import save_outcome, train_courses
from kdpipe.training.terms import Shape, build_objective


def run(
    settings: DistillSettings,
    workspace: Workspace,
    *,
    student: Path,
    data: list[Path],
    teacher: list[Path] | None = None,
    teacher_data: list[Path] | None = None,
    knowledge: list[Path] | None = None,
    counts: Path | None = None,
) -> None:
    """Train a student on the weighted sum of the loss terms.

    With `knowledge`, a folder for each teacher and dataset, the signals of teachers are read from there, and
    no teacher runs. Then their configs are needed, and their tokenizers where teacher and student must see
    the same tokens, and for questions on contexts. `teacher_data` has the datasets as other tokenizers of
    teachers encode them, a folder for each teacher and dataset: where teachers run, and for questions on
    contexts. Where `knowledge.from` names stored signals, there is no teacher.
    """
    datasets, files = dict(zip(settings.datasets, data, strict=True)), file_digests(settings)
    sources = sources_of(settings, teacher or [], datasets, teacher_data or [], knowledge or [])
    learner, tokenizer, targets = load_learner(
        student, datasets, settings.masking, counts, settings.freeze, settings.seed
    )
    courses = {
        name: _course(settings, name, folder, sources[name], learner, tokenizer, targets, counts)
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
        draft.record(**({"source_files": files} if files else {}))
        draft.record(pairs={term.name: list(term.pairs) for term in terms if term.pairs[0] != (None, None)})
        draft.record(**({"sites": sites} if (sites := _sites(courses)) else {}))


def _course(
    settings: DistillSettings,
    name: str,
    data: Path,
    sources: Mapping[str, Source],
    learner: Any,
    tokenizer: Any,
    targets: Targets | None,
    counts: Path | None,
) -> Course:
    """Return what is learned on a dataset."""
    model, split = on_dataset(learner, name), EncodedSplit(data, "train")
    objective = _objective(settings, name, model, tokenizer, sources, data)
    selection = settings.selection
    intervention = intervention_of(settings.interchange if settings.intervenes else None)
    interchanges = _interchanges(intervention, objective, sources, model)
    knowledge: dict[Origin, CachedKnowledge | MatchedAnswers | KnowledgeByRows] = {}
    teachers: dict[Origin, Teacher] = {}
    others = {}
    for origin, request in objective.teachers.items():
        if isinstance(settings.teacher, ByColumn):
            for source in sources.values():
                checked(source, request, tokenizer, data)
            knowledge[origin] = signals_by_column(settings, settings.teacher, name, sources, split, request)
            continue
        intervened = objective.counterfactual.get(origin)
        source = checked(sources[origin.teacher], request, tokenizer, data, intervened is not None)
        if source.stored is not None:
            read = stored_signals(source, source.stored, data, split, targets, request, selection)
            read.require(request)
            knowledge[origin] = read
            continue
        needs_head = request.needs_head or bool(intervened and intervened.needs_head)
        teacher, theirs = load_for(source.data, source.model, head=needs_head)
        teachers[origin] = teacher_of(teacher, request, intervened, interchanges.get(origin))
        if selection is not None:
            apart = separators_of(tokenizer), settings.cache_precision
            teachers[origin] = ChoosingTeacher(teacher, request, selection, *apart)
        if source.data != data:
            others[origin] = CounterpartCollator(counterpart(source, split), theirs.pad_token_id)
    exchanges = None
    if intervention:
        exchanges = intervention.exchanges(
            interchanges,
            split,
            pad_id=tokenizer.pad_token_id,
            tokenizer=tokenizer,
            targets=targets,
            seed=settings.seed,
            counts=occurrences(counts),
        )
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
        exchanges=exchanges,
        interchange=next(iter(interchanges.values()), None),
    )


def _interchanges(
    intervention: Intervention | None, objective: Objective, sources: Mapping[str, Source], student: Any
) -> dict[Origin, Interchange]:
    """Return what is swapped, for each teacher whose counterfactual run is read."""
    folders = {origin: sources[origin.teacher].model for origin in objective.counterfactual}
    return {
        origin: intervention.between(read_model_config(folder), student.config)
        for origin, folder in folders.items()
        if intervention is not None
    }


def _sites(courses: Mapping[str, Course]) -> dict[str, list[list[str]]]:
    """Return the sites that are swapped, by teacher: the entries of the alignment, and the pairs of each."""
    return {
        origin.teacher: [[str(pair) for pair in entry] for entry in teacher.interchange.alignment]
        for course in courses.values()
        for origin, teacher in course.teachers.items()
        if isinstance(teacher, TeacherOfBoth) and teacher.interchange.alignment != no_sites()
    }


def _share_bodies(courses: Mapping[str, Course], sources: Mapping[str, Mapping[str, Source]]) -> None:
    """Let a teacher that runs on several datasets have one body for all of them."""
    running: dict[Path, dict[str, Any]] = {}
    for name, course in courses.items():
        for origin, teacher in course.teachers.items():
            running.setdefault(sources[name][origin.teacher].model, {})[name] = teacher.model
    for models in running.values():
        MultiTask(models)


def _objective(
    settings: DistillSettings,
    name: str,
    student: Any,
    tokenizer: Any,
    sources: Mapping[str, Source],
    data: Path,
) -> Objective:
    taught = {lesson.teacher for lesson in settings.lessons if lesson.dataset == name and lesson.taught}
    shapes = {teacher: _shape_of(source) for teacher, source in sources.items() if teacher in taught}
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
        settings.selection,
    )


def _shape_of(source: Source) -> Shape:
    """Return depth and width of a teacher."""
    if source.teacher is None:
        assert source.stored is not None
        shape = read_knowledge(source.stored).shape
        return shape.depth or 0, shape.width
    require(source.teacher, "config.json")
    return config_shape(read_model_config(source.teacher))


if __name__ == "__main__":
    main(run, several=True, sources=file_digests, in_part={"teacher": "knowledge"})
