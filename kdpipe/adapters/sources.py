"""What the settings of a dataset name, as the library takes it: sources, and the files that these read."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.anatomy.families import LANGUAGE_MODELING
from kdpipe.augmentation.copies import Augmented, Copies
from kdpipe.config.settings.augmentation import CopiesSettings
from kdpipe.config.settings.dataset import SourceSettings, read_dataset, tasks_of
from kdpipe.config.signatures import constructor_options
from kdpipe.data.made import Made
from kdpipe.data.opening import Part, installed_files, open_dataset
from kdpipe.data.source import Source
from kdpipe.data.watch import Watch
from kdpipe.plan.stages.preprocess import PreprocessSettings

# The settings of a source that tell it from others.
NAMING = ("source", "name", "path", "train")


def source_of(
    settings: PreprocessSettings,
    augmented: Sequence[Path] = (),
    mask_token: str | None = None,
    copies: Copies | None = None,
) -> Source:
    """Return what a dataset is read from, as its settings say.

    Args:
        settings: how the sources are sampled, joined, unlabelled and augmented.
        augmented: the artifacts with training splits that models have made; without them, `splits` is right.
        mask_token: the mask token of a tokenizer.
        copies: makes and counts copies.
    """
    source = open_dataset(
        parts_of(settings, () if settings.copied else augmented),
        seed=settings.seed,
        proportions=settings.proportions,
        rows=settings.rows,
        labels=settings.labels,
    )
    if settings.copied and augmented:
        return Made(source, augmented[0])
    if settings.copies and copies:
        return Augmented(source, method_of(settings.copies), copies, mask_token)
    return source


def method_of(settings: CopiesSettings) -> Any:
    """Return the method that makes copies."""
    return catalog.resolve("augmentations", settings.method)(**settings.options)


def parts_of(settings: PreprocessSettings, augmented: Sequence[Path] = ()) -> list[Part]:
    """Return the sources that a dataset is read from, some with training splits that models have labelled."""
    made = dict(zip(settings.labelled, augmented, strict=False))
    sources = enumerate(_sources(settings))
    return [replace(_part(source, settings), made=made.get(place)) for place, source in sources]


def source_digests(settings: PreprocessSettings) -> dict[str, str]:
    """Return the SHA-256 of the local files that a dataset is read from, by their paths."""
    return Watch(partial(_local_files, settings)).digests


def watch_files(settings: PreprocessSettings) -> Watch:
    """Return a watch over all files that a dataset is read from: local files, and files of packages."""
    return Watch(partial(_files, settings))


def local_digests(settings: PreprocessSettings, watch: Watch) -> dict[str, str]:
    """Return `source_digests` as a watch over them knows them."""
    return {str(path): watch.digests[str(path)] for path in _local_files(settings)}


def _files(settings: PreprocessSettings) -> list[Path]:
    return [*_local_files(settings), *installed_files(parts_of(settings))]


def _local_files(settings: PreprocessSettings) -> list[Path]:
    return [path for source in _sources(settings) for path in source.local_files()]


def _sources(settings: PreprocessSettings) -> list[SourceSettings]:
    sources = [read_dataset(dict(source)) for source in settings.sources]
    return [source for source in sources if isinstance(source, SourceSettings)]


def _part(settings: SourceSettings, dataset: PreprocessSettings) -> Part:
    taken = constructor_options(catalog.SOURCES[settings.source])
    # A model can label sentences of a source of text.
    task = dataset.task if dataset.task in tasks_of(settings) else LANGUAGE_MODELING
    labels = settings.labels or dataset.labels
    common = {"path": settings.path, "files": settings.files, "labels": labels, "task": task}
    options = {name: value for name, value in common.items() if name in taken} | settings.options
    named = settings.model_dump(mode="json", exclude_defaults=True)
    name = " ".join(str(named[key]) for key in NAMING if key in named)
    return Part(settings.source, options, settings.shares, settings.rows, name)
