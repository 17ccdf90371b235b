"""Train a student against its teachers, run beside it or cached."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdpipe.adapters.interchange import file_digests, intervention_of
from kdpipe.adapters.knowledge import taken_bytes, teacher_shape
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
from kdpipe.anatomy.knowledge import Selection
from kdpipe.artifacts.sums import require
from kdpipe.config.settings.base import ByColumn
from kdpipe.data.batches import Knowledge
from kdpipe.data.counterpart import CounterpartCollator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import Targets
from kdpipe.evaluation.scoring import load_for, task_of
from kdpipe.interchange.given import Intervention
from kdpipe.interchange.runs import Interchange, TeacherOfBoth, teacher_of
from kdpipe.knowledge.choosing import ChoosingTeacher, selects
from kdpipe.knowledge.tokens import separators_of
from kdpipe.models.compatibility import count_entries
from kdpipe.models.family import config_shape
from kdpipe.models.loading import read_model_config
from kdpipe.models.multitask import MultiTask, on_dataset
from kdpipe.plan.stages.distill import DistillSettings
from kdpipe.quantization.simulated import as_int8, check_simulated, simulate_int8
from kdpipe.runner.command_line import main
from kdpipe.runner.trackers import tracked
from kdpipe.runner.workspace import Workspace
from kdpipe.signals.capture import Origin, Teacher
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
    if settings.quantize is not None:
        check_simulated(learner, student)
        simulate_int8(learner)
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
        save_outcome(draft, learner if settings.quantize is None else as_int8(learner), tokenizer, outcome)
        terms = [term for course in courses.values() for term in course.objective.terms]
        draft.record(**({"source_files": files} if files else {}))
        draft.record(pairs={term.name: list(term.pairs) for term in terms if term.pairs[0] != (None, None)})
        draft.record(**({"sites": sites} if (sites := _sites(courses)) else {}))
        draft.record(**_taken(settings, courses, sources, datasets, learner, tokenizer))


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
    objective = _objective(settings, name, model, tokenizer, sources, data, settings.selection)
    intervention = intervention_of(settings.interchange if settings.intervenes else None)
    interchanges = _interchanges(intervention, objective, sources, model)
    read = _read(settings, objective, sources, tokenizer, data)
    running = {origin: source for origin, source in read.items() if source.stored is None}
    teachers, others = _teachers(settings, objective, running, interchanges, tokenizer, data, split)
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
        knowledge=_knowledge(settings, name, objective, read, sources, data, split, targets),
        teachers=teachers,
        others=others,
        exchanges=exchanges,
        interchange=next(iter(interchanges.values()), None),
    )


def _read(
    settings: DistillSettings,
    objective: Objective,
    sources: Mapping[str, Source],
    tokenizer: Any,
    data: Path,
) -> dict[Origin, Source]:
    """Return where the signals of each teacher come from, checked; nothing for teachers by a column."""
    if isinstance(settings.teacher, ByColumn):
        for request in objective.teachers.values():
            for source in sources.values():
                checked(source, request, tokenizer, data)
        return {}
    return {
        origin: checked(sources[origin.teacher], request, tokenizer, data, origin in objective.counterfactual)
        for origin, request in objective.teachers.items()
    }


def _knowledge(
    settings: DistillSettings,
    name: str,
    objective: Objective,
    read: Mapping[Origin, Source],
    sources: Mapping[str, Source],
    data: Path,
    split: EncodedSplit,
    targets: Targets | None,
) -> dict[Origin, Knowledge]:
    """Return the signals that are stored."""
    if isinstance(settings.teacher, ByColumn):
        by = settings, settings.teacher, name, sources, split
        return {origin: signals_by_column(*by, request) for origin, request in objective.teachers.items()}
    found: dict[Origin, Knowledge] = {}
    for origin, source in read.items():
        if source.stored is not None:
            request = objective.teachers[origin]
            signals = stored_signals(source, source.stored, data, split, targets, request, settings.selection)
            signals.require(request)
            found[origin] = signals
    return found


def _teachers(
    settings: DistillSettings,
    objective: Objective,
    running: Mapping[Origin, Source],
    interchanges: Mapping[Origin, Interchange],
    tokenizer: Any,
    data: Path,
    split: EncodedSplit,
) -> tuple[dict[Origin, Teacher], dict[Origin, CounterpartCollator]]:
    """Return the teachers that run, and the batches of teachers that read other tokens than the student."""
    teachers: dict[Origin, Teacher] = {}
    others = {}
    for origin, source in running.items():
        request, intervened = objective.teachers[origin], objective.counterfactual.get(origin)
        model, theirs = load_for(source.data, source.model, head=objective.reads_head(origin))
        selection = settings.selection
        if selection is not None and selects(selection, request):
            apart = separators_of(tokenizer), settings.cache_precision
            teachers[origin] = ChoosingTeacher(model, request, selection, *apart)
        else:
            teachers[origin] = teacher_of(model, request, intervened, interchanges.get(origin))
        if source.data != data:
            others[origin] = CounterpartCollator(counterpart(source, split), theirs.pad_token_id)
    return teachers, others


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


def _taken(
    settings: DistillSettings,
    courses: Mapping[str, Course],
    sources: Mapping[str, Mapping[str, Source]],
    datasets: Mapping[str, Path],
    learner: Any,
    tokenizer: Any,
) -> dict[str, dict[str, float]]:
    """Return the bytes of what is taken of states, and their share of all that the losses could read."""
    if settings.knowledge is None:
        return {}
    taken = whole = 0
    for name, course in courses.items():
        given = settings, name, on_dataset(learner, name), tokenizer, sources[name], datasets[name]
        sizes, copies = (sources[name], course.collator.split.lengths), course.collator.maskings
        taken += copies * taken_bytes(course.objective, settings.selection, *sizes)
        whole += copies * taken_bytes(_objective(*given, None), None, *sizes)
    return {"knowledge": {"bytes": taken, "share": taken / whole if whole else 0.0}}


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
    selection: Selection | None,
) -> Objective:
    """Return the loss on a dataset, with what is taken of states."""
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
        selection,
    )


def _shape_of(source: Source) -> Shape:
    """Return depth and width of a teacher."""
    if source.teacher is not None:
        require(source.teacher, "config.json")
    shape = teacher_shape(source)
    return shape.depth or 0, shape.width


if __name__ == "__main__":
    main(run, several=True, sources=file_digests, in_part={"teacher": "knowledge"})
