"""Sources made of other sources: a sample, a mixture, one without labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from kdpipe.data.source import TRAIN, Example, Source
from kdpipe.draws import draw_seed


class _View:
    """A source that is like another except for how it is read."""

    def __init__(self, source: Source) -> None:
        self.tasks = source.tasks
        self._source = source

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The labels of the source."""
        return self._source.labels

    def splits(self) -> tuple[str, ...]:
        """Return the splits of the source."""
        return self._source.splits()


class Sample(_View):
    """A fixed random sample of some splits, in their order.

    A sampled split is read twice, once to count it, so that memory stays at a byte per example.

    Args:
        source: what to sample.
        rows: size of the sample, of the train split or per split; a smaller split is taken whole.
        seed: seed of the draw.
    """

    def __init__(self, source: Source, rows: int | Mapping[str, int], seed: int) -> None:
        super().__init__(source)
        self._rows = {TRAIN: rows} if isinstance(rows, int) else rows
        self._seed = seed

    def read(self, split: str) -> Iterator[Example]:
        """Yield the examples of the split that were drawn."""
        examples = self._source.read(split)
        return compress(examples, self._drawn(split)) if split in self._rows else examples

    def _drawn(self, split: str) -> NDArray[np.bool_]:
        total = _count(self._source.read(split))
        drawn = np.zeros(total, dtype=bool)
        size = min(self._rows[split], total)
        drawn[_generator(self._seed, f"sample {split}").choice(total, size, replace=False)] = True
        return drawn


class Combined(_View):
    """Several sources as one: their train splits mixed; all else is that of the first.

    The mixture is a random merge, the same for the same seed: each source keeps its order, and each
    example's id gets the position of its source in front. The train splits are read twice, once to
    count them, so that memory stays at a byte per example.

    Args:
        sources: what to combine.
        seed: seed of the merge.
    """

    def __init__(self, sources: Sequence[Source], seed: int) -> None:
        super().__init__(sources[0])
        self._sources = sources
        self._seed = seed

    def read(self, split: str) -> Iterator[Example]:
        """Yield the examples of all sources for train, else those of the first."""
        return self._mixed() if split == TRAIN else self._source.read(split)

    def _mixed(self) -> Iterator[Example]:
        sizes = [_count(source.read(TRAIN)) for source in self._sources]
        turns = np.repeat(np.arange(len(sizes), dtype=np.uint8), sizes)
        _generator(self._seed, "combine").shuffle(turns)
        readers = [source.read(TRAIN) for source in self._sources]
        for turn in turns:
            example = next(readers[turn])
            yield replace(example, id=f"{turn}/{example.id}")


class Unlabelled(_View):
    """A source whose train split has no labels; what is held out keeps them for scoring."""

    def read(self, split: str) -> Iterator[Example]:
        """Yield the examples, those of train without their labels."""
        examples = self._source.read(split)
        if split != TRAIN:
            return examples
        return (replace(example, label=None) for example in examples)


def _count(examples: Iterator[Example]) -> int:
    return sum(1 for _ in examples)


def _generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(draw_seed(seed, purpose))
