"""What follows from a config about its datasets: their tasks, sources and lengths."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.config.document import Document
from kdpipe.config.graph import Dataset
from kdpipe.config.mistakes import Mistakes, SettingError
from kdpipe.config.settings.dataset import (
    SPLIT_FILES,
    CombineSettings,
    DatasetSettings,
    SourceSettings,
    tasks_of,
)
from kdpipe.errors import suggest

QUESTION_ANSWERING = "question_answering"
LATER_TASKS = ("multi_label", "regression", "token_classification")


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
            mistakes.add(("datasets", dataset.template, error.setting), str(error), name)
    return found


def _read(dataset: Dataset, settings: SourceSettings, data_dir: Path) -> Dataset:
    task, length, stride = _task(settings), settings.max_length, settings.stride
    _check_stride(settings, task, length, stride)
    sources = (_below(settings, data_dir),)
    return replace(dataset, task=task, sources=sources, max_length=length, stride=stride)


def _combined(dataset: Dataset, settings: CombineSettings, parts: Sequence[Dataset]) -> Dataset:
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
    sources = tuple(source for part in parts for source in part.sources)
    length = settings.max_length or parts[0].max_length
    stride = parts[0].stride if settings.stride is None else settings.stride
    _check_stride(settings, parts[0].task, length, stride)
    return replace(dataset, task=parts[0].task, sources=sources, max_length=length, stride=stride)


def _check_stride(settings: DatasetSettings, task: str, max_length: int, stride: int) -> None:
    if task == QUESTION_ANSWERING and stride >= max_length:
        what = f"must be smaller than `max_length`, found {stride} and {max_length}; 128 and 384 are usual"
        raise SettingError("stride", what)
    if task != QUESTION_ANSWERING and "stride" in settings.model_fields_set:
        raise SettingError("stride", f"only {QUESTION_ANSWERING} cuts long texts into windows; remove this")


def _task(settings: SourceSettings) -> str:
    served = tasks_of(settings.source)
    task = settings.task or (served[0] if len(served) == 1 else None)
    if task in served:
        return task
    choices = f"source {settings.source!r} serves {', '.join(served)}"
    if task is None:
        raise SettingError("task", f"is required; {choices}")
    if task in LATER_TASKS:
        raise SettingError("task", f"{task!r} is not available in this version; {choices}")
    if task in catalog.TASKS:
        raise SettingError("task", f"{choices}, found {task!r}")
    raise SettingError("task", f"{task!r} is not known; {suggest(task, served)}")


def _below(settings: SourceSettings, data_dir: Path) -> SourceSettings:
    """Return the settings with relative paths below the data folder."""
    update: dict[str, Any] = {
        key: data_dir / path for key in ("path", *SPLIT_FILES) if (path := getattr(settings, key)) is not None
    }
    update["splits"] = {split: data_dir / path for split, path in (settings.splits or {}).items()}
    return settings.model_copy(update={key: value for key, value in update.items() if value})
