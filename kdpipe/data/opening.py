"""Open the sources of a dataset: sampled, joined and unlabelled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdpipe import catalog
from kdpipe.data.made import Made
from kdpipe.data.source import Installed, Source
from kdpipe.data.views import Combined, Sample, Shared, Unlabelled

RowLimit = int | Mapping[str, int]


@dataclass(frozen=True)
class Part:
    """A source of a dataset.

    Args:
        source: its name in the catalog.
        options: the options of its constructor.
        shares: split to share of the training examples.
        rows: size of a fixed sample of the training split, or of each split named.
        name: its name in messages.
        made: the folder with its training split, if a model has made it.
    """

    source: str
    options: Mapping[str, Any]
    shares: Mapping[str, float] = field(default_factory=dict)
    rows: RowLimit | None = None
    name: str = ""
    made: Path | None = None

    def reader(self) -> Source:
        """Return the source, with all splits and rows as its files have them."""
        source: Source = catalog.resolve("sources", self.source)(**self.options)
        return source

    def open(self, seed: int) -> Source:
        """Return the source with its shares, sampled; or with the training split that was made of it."""
        source = self.reader()
        if self.shares:
            source = Shared(source, self.shares, seed)
        if self.rows is not None:
            source = Sample(source, self.rows, seed)
        return Made(source, self.made) if self.made else source


def open_dataset(
    parts: Sequence[Part],
    *,
    seed: int = 42,
    proportions: Sequence[float] | None = None,
    rows: RowLimit | None = None,
    labels: str | None = None,
) -> Source:
    """Return the source that a dataset is read from.

    Args:
        parts: its sources; several are joined.
        seed: seed of samples and of the order in which several sources are joined.
        proportions: the share of each source's training rows that is taken; by default all.
        rows: size of a fixed sample of the joined training split, or of each split named.
        labels: `none` drops the labels of the training split.
    """
    sources = [part.open(seed) for part in parts]
    source = sources[0]
    if len(sources) > 1 or proportions:
        source = Combined(sources, seed, proportions, [part.name for part in parts])
    if rows is not None:
        source = Sample(source, rows, seed)
    return Unlabelled(source) if labels == "none" else source


def installed_files(parts: Sequence[Part]) -> list[Path]:
    """Return the files of installed packages that some sources read."""
    readers = (reader for reader in (part.reader() for part in parts) if isinstance(reader, Installed))
    return [file for reader in readers for file in reader.modules()]
