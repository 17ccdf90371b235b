"""Sources made of other sources: samples, shares, mixtures, and sources without labels.

Views that draw examples read a split twice, once to count it, so that memory stays at a byte per example.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from kdpipe.data.files import in_order
from kdpipe.data.source import TRAIN, Example, Source
from kdpipe.errors import DataError, suggest
from kdpipe.seeds import draw_seed


class View:
    """A source with the tasks, labels and splits of another source."""

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


class Sample(View):
    """A fixed random sample of some splits, in their order.

    Args:
        source: the whole source.
        rows: size of the sample, of the train split or per split; a smaller split is taken whole.
        seed: seed of the draw.
    """

    def __init__(self, source: Source, rows: int | Mapping[str, int], seed: int) -> None:
        super().__init__(source)
        self._rows = {TRAIN: rows} if isinstance(rows, int) else rows
        self._seed = seed

    def splits(self) -> tuple[str, ...]:
        splits = super().splits()
        for split in self._rows:
            if split not in splits:
                raise DataError(
                    f"expected `rows` of the splits {', '.join(splits)}, found {split!r};"
                    f" {suggest(split, splits)}, as in `rows: {{{splits[-1]}: 100}}`"
                )
        return splits

    def read(self, split: str) -> Iterator[Example]:
        """Yield the examples of the split that were drawn."""
        examples = self._source.read(split)
        return compress(examples, self._drawn(split)) if split in self._rows else examples

    def _drawn(self, split: str) -> NDArray[np.bool_]:
        total = _count(self._source, split)
        drawn = np.zeros(total, dtype=bool)
        size = min(self._rows[split], total)
        drawn[_generator(self._seed, f"sample {split}").choice(total, size, replace=False)] = True
        return drawn


class Shared(View):
    """A source whose training examples are shared out to other splits, drawn at random, in their order.

    Args:
        source: the whole source.
        shares: split to share of the training examples.
        seed: seed of the draw.
    """

    def __init__(self, source: Source, shares: Mapping[str, float], seed: int) -> None:
        super().__init__(source)
        self._shares = shares
        self._seed = seed

    def splits(self) -> tuple[str, ...]:
        """Return the splits of the source, and the shares."""
        splits = super().splits()
        if TRAIN not in splits:
            raise DataError(f"expected a training split to take shares of, found {', '.join(splits)}")
        for split, share in self._shares.items():
            if split in splits:
                raise DataError(
                    f"expected no split {split!r} in the files beside `{split}: {share}`, found both; remove"
                    " this share of the training examples, or name the file of the training split alone as"
                    " `train`"
                )
        return in_order(dict.fromkeys((*splits, *self._shares)))

    def read(self, split: str) -> Iterator[Example]:
        """Yield the examples of the split; examples of a share have the ids that they have in training."""
        if split != TRAIN and split not in self._shares:
            return self._source.read(split)
        wanted = [TRAIN, *self._shares].index(split)
        return compress(self._source.read(TRAIN), self._turns == wanted)

    @cached_property
    def _turns(self) -> NDArray[np.uint8]:
        """Which split each training example is in: 0 for training, then the shares."""
        total = _count(self._source)
        sizes = [_share(total, share) for share in self._shares.values()]
        if sum(sizes) >= total:
            shares = " and ".join(map(str, self._shares.values()))
            raise DataError(
                f"expected more training examples than the shares {shares} take, found {total}; get more,"
                " or give smaller shares"
            )
        order = _generator(self._seed, "shares").permutation(total)
        turns = np.zeros(total, dtype=np.uint8)
        for number, part in enumerate(np.split(order, np.cumsum(sizes))[:-1], start=1):
            turns[part] = number
        return turns


class Combined(View):
    """Several sources as one: their train splits are mixed; the other splits come from the first source.

    The mixture is a random merge, the same for the same seed: each source keeps its order. The id of an
    example begins with the position of its source, in a repetition also with its number, as in `1.2/`.

    Args:
        sources: the sources.
        seed: seed of the merge and of samples.
        proportions: the share of each train split that is taken, all by default: a random sample for less
            than the whole, repetitions for more.
        names: the names of the sources in messages.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        seed: int,
        proportions: Sequence[float] | None = None,
        names: Sequence[str] = (),
    ) -> None:
        super().__init__(sources[0])
        self._sources = sources
        self._seed = seed
        self._proportions = proportions or [1.0] * len(sources)
        self._names = names or [f"number {position}" for position in range(len(sources))]

    @cached_property
    def labels(self) -> tuple[str, ...] | None:
        first = self._source.labels
        for name, source in zip(self._names, self._sources, strict=True):
            different = sorted(set(first or ()).symmetric_difference(source.labels or ()))
            if different:
                has, lacks = self._names[0], name
                if different[0] not in (first or ()):
                    has, lacks = lacks, has
                raise DataError(
                    f"expected the same labels in all parts of a combination, found {different[0]!r} in"
                    f" {has!r} but not in {lacks!r}; mend the data, or where the part merely"
                    " lacks examples of it, give it all labels as `classes`"
                )
        return first

    def splits(self) -> tuple[str, ...]:
        for name, source in zip(self._names, self._sources, strict=True):
            splits = source.splits()
            if TRAIN not in splits:
                raise DataError(
                    "expected a training split in all parts of a combination,"
                    f" {name!r} has only {', '.join(splits)}"
                )
        return super().splits()

    def read(self, split: str) -> Iterator[Example]:
        """Yield the examples of all sources for train, and of the first source for other splits."""
        return self._mixed() if split == TRAIN else self._source.read(split)

    def _mixed(self) -> Iterator[Example]:
        totals = [_count(source) for source in self._sources]
        sizes = [_share(total, share) for total, share in zip(totals, self._proportions, strict=True)]
        turns = np.repeat(np.arange(len(sizes), dtype=np.uint8), sizes)
        _generator(self._seed, "combine").shuffle(turns)
        readers = [self._repeated(turn, totals[turn], size) for turn, size in enumerate(sizes)]
        paired: dict[bool, str] = {}
        for turn in turns.tolist():
            example = next(readers[turn], None)
            if example is None:
                raise DataError(
                    f"expected as many training examples in {self._names[turn]!r} as when they were counted,"
                    " found fewer; run the stage again once nothing writes the data"
                )
            paired.setdefault(example.text_pair is not None, self._names[turn])
            if len(paired) > 1:
                raise DataError(
                    "expected pairs of texts in all parts of a combination or in none, found them in"
                    f" {paired[True]!r} but not in {paired[False]!r}"
                )
            yield example

    def _repeated(self, turn: int, total: int, size: int) -> Iterator[Example]:
        """Yield some training examples of a source: all of them while more are needed, then a sample."""
        source, repetition = self._sources[turn], 0
        while size > 0:
            taken = source if size >= total else Sample(source, size, self._seed)
            repetition += 1
            name = str(turn) if repetition == 1 else f"{turn}.{repetition}"
            for example in taken.read(TRAIN):
                yield example._replace(id=f"{name}/{example.id}")
            size -= total


class Unlabelled(View):
    """A source whose train split has no labels; held-out splits keep their labels for scoring."""

    def read(self, split: str) -> Iterator[Example]:
        """Yield the examples, without labels for train."""
        examples = self._source.read(split)
        if split != TRAIN:
            return examples
        return (example._replace(label=None) for example in examples)


def _share(total: int, share: float) -> int:
    """Return the size of a share of some examples, to the nearest whole number, and at least one."""
    return max(round(share * total), min(total, 1))


def _count(source: Source, split: str = TRAIN) -> int:
    return sum(1 for _ in source.read(split))


def _generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng(draw_seed(seed, purpose))
