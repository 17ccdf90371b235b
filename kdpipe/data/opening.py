"""Open the sources that a dataset's settings name."""

from functools import partial
from pathlib import Path

from kdpipe import catalog
from kdpipe.config.settings.dataset import SourceSettings, read_dataset
from kdpipe.config.signatures import constructor_options
from kdpipe.data.source import Installed, Source
from kdpipe.data.views import Combined, Sample, Shared, Unlabelled
from kdpipe.data.watch import Watch
from kdpipe.plan.stages.preprocess import PreprocessSettings

# The settings of a source that tell it from others.
NAMING = ("source", "name", "path", "train")


def open_dataset(settings: PreprocessSettings) -> Source:
    """Return what a dataset is read from, sampled, joined and unlabelled as its settings say."""
    sources = [_open(source, settings) for source in _sources(settings)]
    source = sources[0]
    if len(sources) > 1 or settings.proportions:
        source = Combined(sources, settings.seed, settings.proportions, _names(settings))
    if settings.rows is not None:
        source = Sample(source, settings.rows, settings.seed)
    return Unlabelled(source) if settings.labels == "none" else source


def open_sources(settings: PreprocessSettings) -> list[Source]:
    """Return the sources that a dataset is read from, each as its files are."""
    return [_reader(source, settings) for source in _sources(settings)]


def source_digests(settings: PreprocessSettings) -> dict[str, str]:
    """Return the SHA-256 of the local files that a dataset is read from, by their paths."""
    return Watch(partial(_local_files, settings)).digests


def watch_files(settings: PreprocessSettings) -> Watch:
    """Return a watch over all files that a dataset is read from: local ones, and those of packages."""
    return Watch(partial(_files_read, settings))


def local_digests(settings: PreprocessSettings, watch: Watch) -> dict[str, str]:
    """Return `source_digests` as a watch over them knows them."""
    return {str(path): watch.digests[str(path)] for path in _local_files(settings)}


def _local_files(settings: PreprocessSettings) -> list[Path]:
    return [path for source in _sources(settings) for path in source.local_files()]


def _files_read(settings: PreprocessSettings) -> list[Path]:
    readers = (reader for reader in open_sources(settings) if isinstance(reader, Installed))
    installed = [file for reader in readers for file in reader.modules()]
    return [*_local_files(settings), *installed]


def _sources(settings: PreprocessSettings) -> list[SourceSettings]:
    sources = [read_dataset(dict(source)) for source in settings.sources]
    return [source for source in sources if isinstance(source, SourceSettings)]


def _names(settings: PreprocessSettings) -> list[str]:
    """Return what the sources are called in messages: by the name of the source and by where it reads."""
    return [" ".join(str(source[key]) for key in NAMING if key in source) for source in settings.sources]


def _open(settings: SourceSettings, dataset: PreprocessSettings) -> Source:
    source = _reader(settings, dataset)
    if settings.shares:
        source = Shared(source, settings.shares, dataset.seed)
    return Sample(source, settings.rows, dataset.seed) if settings.rows is not None else source


def _reader(settings: SourceSettings, dataset: PreprocessSettings) -> Source:
    target = catalog.SOURCES[settings.source]
    taken = constructor_options(target)
    common = {"path": settings.path, "files": settings.files, "labels": dataset.labels}
    options = {name: value for name, value in common.items() if name in taken} | settings.options
    source: Source = catalog.resolve("sources", settings.source)(task=dataset.task, **options)
    return source
