"""What follows from a config about its datasets: their tasks, sources and lengths."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.config.document import Document
from kdpipe.config.mistakes import Mistakes, SettingError, key_path
from kdpipe.config.settings.dataset import (
    SPLIT_FILES,
    CombineSettings,
    DatasetSettings,
    SourceSettings,
    named_facts,
    tasks_of,
)
from kdpipe.declarations import constants
from kdpipe.errors import suggest
from kdpipe.plan.entries import Dataset
from kdpipe.plan.hub import kept
from kdpipe.plan.source_checks import check_source

QUESTION_ANSWERING = "question_answering"
# The settings of datasets of questions alone, with what these do.
OF_QUESTIONS = {
    "stride": "cuts long texts into windows",
    "longest_answer": "gives answers of some length",
    "no_answer_threshold": "may give no answer",
}
USUAL_LENGTH, LENGTH_OF_QUESTIONS = 128, 384
# With fewer tokens beside the stride, questions of usual lengths would be cut.
LEAST_ROOM = 64
# Of datasets that are combined of combined ones, the sources double at each step.
MOST_SOURCES = 1000


def work_out_datasets(
    datasets: Mapping[str, Dataset], document: Document, mistakes: Mistakes
) -> dict[str, Dataset]:
    """Return the datasets without mistakes, with task, sources and length worked out.

    Args:
        datasets: datasets by name, each after those it is made of.
        document: the config.
        mistakes: takes what is wrong.
    """
    found: dict[str, Dataset] = {}
    for name, dataset in datasets.items():
        settings = dataset.settings
        try:
            if isinstance(settings, SourceSettings):
                found[name] = _read(dataset, settings, document.data_dir)
            elif all(part in found for part in settings.combine):
                found[name] = _combined(dataset, settings, [found[part] for part in settings.combine])
        except SettingError as error:
            where = ("datasets", dataset.template, error.setting)
            # What was wrong has been left out, so that it seems to be missing.
            if key_path(where) not in {problem.where for problem in mistakes.problems}:
                mistakes.add(where, str(error), name)
    return found


def _read(dataset: Dataset, settings: SourceSettings, data_dir: Path) -> Dataset:
    task, stride = _task(settings), settings.stride
    length = settings.max_length or (LENGTH_OF_QUESTIONS if task == QUESTION_ANSWERING else USUAL_LENGTH)
    check_source(settings, task)
    _check_questions(settings, task, length, stride)
    return replace(
        dataset,
        task=task,
        metrics=_metrics(settings, task) or named_facts(settings).get("metrics") or _of(task)["metrics"],
        sources=(_below(settings, data_dir),),
        proportions=(1.0,),
        max_length=length,
        stride=stride,
        longest_answer=settings.longest_answer,
        no_answer_threshold=settings.no_answer_threshold,
    )


def _metrics(settings: DatasetSettings, task: str) -> tuple[str, ...]:
    known = _of(task)["all_metrics"]
    for metric in settings.metrics or ():
        if metric not in known:
            raise SettingError("metrics", f"{task} has no metric {metric!r}; {suggest(metric, known)}")
    return settings.metrics or ()


def _of(task: str) -> dict[str, Any]:
    return constants(catalog.TASKS[task])


def _combined(dataset: Dataset, settings: CombineSettings, parts: Sequence[Dataset]) -> Dataset:
    _check_parts(dataset, parts)
    shares = settings.proportions or (1.0,) * len(parts)
    length = settings.max_length or parts[0].max_length
    own = {
        name: getattr(parts[0], name) if (value := getattr(settings, name)) is None else value
        for name in OF_QUESTIONS
    }
    _check_questions(settings, parts[0].task, length, own["stride"])
    return replace(
        dataset,
        task=parts[0].task,
        metrics=_metrics(settings, parts[0].task) or parts[0].metrics,
        sources=tuple(source for part in parts for source in part.sources),
        proportions=tuple(
            share * own for share, part in zip(shares, parts, strict=True) for own in part.proportions
        ),
        max_length=length,
        **own,
    )


def _check_parts(dataset: Dataset, parts: Sequence[Dataset]) -> None:
    count = sum(len(part.sources) for part in parts)
    if count > MOST_SOURCES:
        raise SettingError("combine", f"is read from {count:,} sources; there may be {MOST_SOURCES:,}")
    tasks = {part.task for part in parts}
    if len(tasks) > 1:
        raise SettingError("combine", f"all datasets must have one task, found {', '.join(sorted(tasks))}")
    for part in parts:
        if part.settings.labels:
            raise SettingError(
                "combine", f"{part.name!r} has `labels: none`; give it to {dataset.name!r} instead"
            )
        if part.settings.rows and isinstance(part.settings, CombineSettings):
            raise SettingError("combine", f"{part.name!r} is combined itself, so it cannot have `rows` here")


def _check_questions(settings: DatasetSettings, task: str, max_length: int, stride: int) -> None:
    """Raise SettingError if what is said of questions does not fit, or the dataset has none."""
    if task == QUESTION_ANSWERING and max_length - stride < LEAST_ROOM:
        what = (
            f"must leave {LEAST_ROOM} of {max_length} tokens for the question and what is new of the context"
        )
        raise SettingError("stride", f"{what}, found {stride}; 128 of 384 is usual")
    for name, what in OF_QUESTIONS.items() if task != QUESTION_ANSWERING else ():
        if name in settings.model_fields_set:
            raise SettingError(name, f"only {QUESTION_ANSWERING} {what}; remove this")


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


def _below(settings: SourceSettings, data_dir: Path) -> SourceSettings:
    """Return the settings with relative paths below the data folder."""
    if settings.hub:
        return kept(settings, data_dir)
    update: dict[str, Any] = {
        key: data_dir / path
        for key in ("path", *SPLIT_FILES)
        if isinstance(path := getattr(settings, key), Path)
    }
    update["splits"] = {split: data_dir / path for split, path in (settings.splits or {}).items()}
    return settings.model_copy(update={key: value for key, value in update.items() if value})
