"""What the settings of a dataset name, as the library takes it: sources, and the files that these read."""

from functools import partial
from pathlib import Path

from kdpipe import catalog
from kdpipe.config.settings.dataset import SourceSettings, read_dataset
from kdpipe.config.signatures import constructor_options
from kdpipe.data.opening import Part, installed_files, open_dataset
from kdpipe.data.source import Source
from kdpipe.data.watch import Watch
from kdpipe.plan.stages.preprocess import PreprocessSettings

# The settings of a source that tell it from others.
NAMING = ("source", "name", "path", "train")


def source_of(settings: PreprocessSettings) -> Source:
    """Return what a dataset is read from, sampled, joined and unlabelled as its settings say."""
    return open_dataset(
        parts_of(settings),
        seed=settings.seed,
        proportions=settings.proportions,
        rows=settings.rows,
        labels=settings.labels,
    )


def parts_of(settings: PreprocessSettings) -> list[Part]:
    """Return the sources that a dataset is read from."""
    return [_part(source, settings) for source in _sources(settings)]


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
    common = {"path": settings.path, "files": settings.files, "labels": dataset.labels, "task": dataset.task}
    options = {name: value for name, value in common.items() if name in taken} | settings.options
    named = settings.model_dump(mode="json", exclude_defaults=True)
    name = " ".join(str(named[key]) for key in NAMING if key in named)
    return Part(settings.source, options, settings.shares, settings.rows, name)
