"""What follows from a config about its datasets: their tasks, sources and lengths."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from kdpipe import catalog
from kdpipe.anatomy.families import LANGUAGE_MODELING, QUESTION_ANSWERING
from kdpipe.config.document import Document
from kdpipe.config.mistakes import Mistakes, SettingError, key_path
from kdpipe.config.settings.augmentation import AugmentationSettings
from kdpipe.config.settings.dataset import (
    AugmentedSettings,
    CombineSettings,
    SourceSettings,
    named_facts,
    named_labels,
    tasks_of,
)
from kdpipe.declarations import constants
from kdpipe.errors import suggest
from kdpipe.plan.augmentation import check_augmentation, labelled_task
from kdpipe.plan.entries import TRAIN, UNKNOWN, Dataset
from kdpipe.plan.model_stage import Known
from kdpipe.plan.sources import check_source, located

# The settings of datasets of questions alone, with what these do.
OF_QUESTIONS = {
    "stride": "cuts long texts into windows",
    "longest_answer": "gives answers of some length",
    "no_answer_threshold": "may give no answer",
}
# What the settings of a dataset may give in place of what is usual for it.
OWN = ("metrics", "max_length", "packing", *OF_QUESTIONS)
USUAL_LENGTH, LENGTH_OF_QUESTIONS = 128, 384
# With fewer tokens beside the stride, questions of usual lengths would be cut.
LEAST_ROOM = 64
# The sources double at each step where combined datasets are combined again.
MOST_SOURCES = 1000


def work_out_datasets(
    datasets: Iterable[Dataset], known: Known, document: Document, mistakes: Mistakes
) -> None:
    """Add datasets without mistakes to what is known, with task, sources and length worked out.

    Each dataset comes after the datasets that it is made of, and after the models that make it.
    """
    for dataset in datasets:
        references = [*dataset.settings.references()]
        lacks = (name not in known.datasets for _, kind, name in references if kind == "dataset")
        unknown = (known.facts[name] is UNKNOWN for _, kind, name in references if kind == "model")
        told = [problem.where for problem in mistakes.problems]
        # A wrong setting has been left out, and `labels` may say the task.
        wrong = any(place.startswith(key_path(("datasets", dataset.template, "labels."))) for place in told)
        if any(lacks) or any(unknown) or wrong:
            continue
        try:
            known.datasets[dataset.name] = _with_settings(_usual(dataset, known, document))
        except SettingError as error:
            where = ("datasets", dataset.template, error.setting)
            # A wrong setting seems to be missing.
            if key_path(where) not in told:
                mistakes.add(where, str(error), dataset.name)


def _usual(dataset: Dataset, known: Known, document: Document) -> Dataset:
    """Return a dataset with what follows from the sources and datasets that it is made of."""
    match settings := dataset.settings:
        case CombineSettings():
            return _combined(dataset, settings, [known.datasets[part] for part in settings.combine])
        case AugmentedSettings(augment=augment):
            return _augmented(dataset, augment, known)
        case _:
            return _read(dataset, settings, located(settings, document.data_dir), known)


def _read(dataset: Dataset, settings: SourceSettings, source: SourceSettings, known: Known) -> Dataset:
    labeller = settings.labeller
    facts = known.facts[labeller.model] if labeller else None
    task = labelled_task(settings, facts) if facts else _task(settings)
    check_source(settings, task if task in tasks_of(settings) else LANGUAGE_MODELING)
    labels = named_labels(settings)
    if facts and facts.labels and labels and {*labels} != {*facts.labels}:
        what = f"the model gives the labels {', '.join(facts.labels)}, but the source has {', '.join(labels)}"
        raise SettingError("labels.from", f"{what}; name them alike")
    return replace(
        dataset,
        task=task,
        metrics=named_facts(settings).get("metrics") or constants(catalog.TASKS[task])["metrics"],
        sources=(source,),
        origins=(dataset.name,),
        proportions=(1.0,),
        max_length=LENGTH_OF_QUESTIONS if task == QUESTION_ANSWERING else USUAL_LENGTH,
        labels=labels if facts is None else facts.labels or (),
        unlabelled=settings.labels == "none",
        rows=settings.rows,
    )


def _combined(dataset: Dataset, settings: CombineSettings, parts: Sequence[Dataset]) -> Dataset:
    _check_parts(dataset, parts)
    shares = zip(settings.proportions or (1.0,) * len(parts), parts, strict=True)
    own_rows = isinstance(settings.rows, dict) and {*settings.rows} - {TRAIN}
    return replace(
        dataset,
        **{name: getattr(parts[0], name) for name in ("task", "labels", *OWN)},
        sources=tuple(source for part in parts for source in part.sources),
        origins=tuple(origin for part in parts for origin in part.origins),
        proportions=tuple(share * within for share, part in shares for within in part.proportions),
        unlabelled=settings.labels == "none",
        rows=settings.rows,
        held_out_of="" if own_rows else parts[0].held_out_of or parts[0].name,
    )


def _augmented(dataset: Dataset, augment: AugmentationSettings, known: Known) -> Dataset:
    base = known.datasets[augment.dataset]
    check_augmentation(augment, base, known)
    own = {name: getattr(dataset, name) for name in ("name", "template", "settings", "variables")}
    return replace(
        base,
        **own,
        augmentation=augment,
        unlabelled=base.unlabelled or augment.labels == "none",
        held_out_of=base.held_out_of or base.name,
    )


def _with_settings(usual: Dataset) -> Dataset:
    """Return a dataset with what its settings say in place of what is usual for it."""
    settings, task = usual.settings, usual.task
    known = constants(catalog.TASKS[task])["all_metrics"]
    for metric in settings.metrics or ():
        if metric not in known:
            raise SettingError("metrics", f"{task} has no metric {metric!r}; {suggest(metric, known)}")
    values = {name: getattr(settings, name) for name in OWN}
    dataset = replace(usual, **{name: value for name, value in values.items() if value not in (None, ())})
    if any(getattr(dataset, name) != getattr(usual, name) for name in OWN):
        dataset = replace(dataset, held_out_of="")
    if task != LANGUAGE_MODELING and "packing" in settings.model_fields_set:
        raise SettingError("packing", f"only texts for {LANGUAGE_MODELING} are joined; remove this")
    if task != QUESTION_ANSWERING:
        for name, what in OF_QUESTIONS.items():
            if name in settings.model_fields_set:
                raise SettingError(name, f"only {QUESTION_ANSWERING} {what}; remove this")
    elif dataset.max_length - dataset.stride < LEAST_ROOM:
        what = f"must leave {LEAST_ROOM} of {dataset.max_length} tokens for the question and for new context"
        raise SettingError("stride", f"{what}, found {dataset.stride}; 128 of 384 is usual")
    return dataset


def _check_parts(dataset: Dataset, parts: Sequence[Dataset]) -> None:
    count = sum(len(part.sources) for part in parts)
    if count > MOST_SOURCES:
        raise SettingError("combine", f"is read from {count:,} sources; there may be {MOST_SOURCES:,}")
    tasks = {part.task for part in parts}
    if len(tasks) > 1:
        raise SettingError("combine", f"all datasets must have one task, found {', '.join(sorted(tasks))}")
    first = parts[0]
    for part in parts:
        if part.labels and first.labels and {*part.labels} != {*first.labels}:
            theirs, ours = ", ".join(part.labels), ", ".join(first.labels)
            what = f"{part.name!r} has the labels {theirs}, {first.name!r} {ours}"
            raise SettingError("combine", f"{what}; all parts need the same labels")
        if part.kept != first.kept:
            kept = [", ".join(sorted(each.kept)) or "no column" for each in (part, first)]
            what = f"{part.name!r} keeps {kept[0]}, {first.name!r} {kept[1]}"
            raise SettingError("combine", f"{what}; all parts need the same `keep`")
        if part.augmentation:
            what = f"{part.name!r} has copies; combine first, and then augment the combination"
            raise SettingError("combine", what)
        if part.unlabelled:
            what = f"{part.name!r} has `labels: none`; give it to {dataset.name!r} instead"
            raise SettingError("combine", what)
        if part.rows and isinstance(part.settings, CombineSettings):
            raise SettingError("combine", f"{part.name!r} is combined itself, so it cannot have `rows` here")


def _task(settings: SourceSettings) -> str:
    served = tasks_of(settings)
    task = settings.task or (served[0] if len(served) == 1 else None)
    if task in served and task in catalog.TASKS:
        return task
    choices = f"source {settings.source!r} serves {', '.join(served)}"
    if task is None:
        raise SettingError("task", f"is required; {choices}")
    if task in catalog.TASKS:
        raise SettingError("task", f"{choices}, found {task!r}")
    raise SettingError("task", f"{task!r} is not known; {suggest(task, served)}")
