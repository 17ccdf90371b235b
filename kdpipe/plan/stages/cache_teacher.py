"""`cache_teacher`: the signals of a teacher that students learn from."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any, Literal

from kdpipe.anatomy.families import LANGUAGE_MODELING
from kdpipe.anatomy.knowledge import (
    Amount,
    Quirks,
    RankedBy,
    Selection,
    Share,
    TokenScheme,
    WidthScheme,
    is_part,
    largest_shares,
    ranking_layer,
    top_pairs,
)
from kdpipe.anatomy.layers import ANY_DEPTH, Pairs, States, match_layers, parts
from kdpipe.anatomy.signals import (
    SIGNAL_KINDS,
    STORED_BYTES,
    STORED_ROWS,
    Signal,
    StoredPrecision,
    first_layer,
    token_bytes,
)
from kdpipe.config.settings.base import Settings
from kdpipe.config.settings.bounds import Count, Seed
from kdpipe.config.settings.losses import LayerMap
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.plan.entries import Dataset
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import KNOWLEDGE
from kdpipe.plan.running import RunningStage
from kdpipe.plan.stage import Job

# Tokens, share of the width, and seed, as of `kdpipe.anatomy.knowledge.Share`.
ShareNumbers = tuple[int | None, float | None, int]


class LayerMapSettings(Settings):
    """A layer map that the teacher's depth resolves.

    Args:
        kinds: the kinds of signals that are stored of its layers.
        states: how many layers are compared at once (`kdpipe.anatomy.layers`).
        layers: the name of the map.
        student_depth: number of blocks of the student; null where it is the teacher's number.
    """

    kinds: tuple[str, ...]
    states: States = "one"
    layers: LayerMap
    student_depth: int | None

    def pairs(self, depth: int) -> Pairs:
        """Return the (teacher, student) pairs of layers of a teacher with so many blocks."""
        student = self.student_depth or depth
        return match_layers(self.layers, depth, student, first_layer(self.kinds), self.states)

    def signals(self, depth: int) -> Iterator[tuple[str, int]]:
        """Yield kind and layer of each signal that is stored of a teacher with so many blocks."""
        for side, _ in self.pairs(depth):
            yield from ((kind, layer) for kind in self.kinds for layer in parts(side))


class PartSettings(Settings):
    """Signals that are stored in part.

    Args:
        signals: the signals, such as `hidden_states.8@8`, whose tokens the attention of block 8 ranks.
        map: a layer map that the teacher's depth resolves, in place of signals.
        top: how many of the map's pairs are stored, from the top; null for all.
        ranked_by: whose attention ranks the tokens of the map's layers; null where none does.
        shares: what is stored of each example, for each reader: tokens, share of the width, and a seed.
    """

    signals: tuple[str, ...] = ()
    map: LayerMapSettings | None = None
    top: int | None = None
    ranked_by: RankedBy | None = None
    shares: tuple[ShareNumbers, ...] = ()

    def stored(self, depth: int) -> Iterator[Signal]:
        """Yield the signals that are stored of a teacher with so many blocks."""
        yield from map(Signal.parse, self.signals)
        if self.map is None:
            return
        student, kinds = self.map.student_depth or depth, self.map.kinds
        for pair in top_pairs(self.map.pairs(depth), self.top):
            ranked = ranking_layer(pair, self.ranked_by, depth, student) if self.ranked_by else 0
            for layer in parts(pair[0]):
                yield from (Signal(kind, layer, ranked) for kind in kinds)


class SelectedSettings(Settings):
    """What is stored of a teacher's states where readers take a part of them.

    Args:
        token_scheme, hidden_scheme, compat: as of `knowledge`.
        parts: the signals, and what is stored of them.
    """

    token_scheme: TokenScheme
    hidden_scheme: WidthScheme
    compat: Quirks
    parts: tuple[PartSettings, ...] = ()

    @property
    def selection(self) -> Selection:
        """How states are taken, whatever the amount."""
        return Selection(Amount(), self.token_scheme, "own", self.hidden_scheme, self.compat)

    def shares(self, depth: int) -> dict[Signal, tuple[Share, ...]]:
        """Return what is stored of each signal of a teacher with so many blocks."""
        found: dict[Signal, dict[Share, None]] = {}
        for part in self.parts:
            for signal in part.stored(depth):
                found.setdefault(signal, {}).update(dict.fromkeys(Share(*share) for share in part.shares))
        return {signal: largest_shares(found[signal], self.hidden_scheme) for signal in sorted(found)}


def merged(parts: Iterable[PartSettings], scheme: WidthScheme) -> tuple[PartSettings, ...]:
    """Return the parts of several readers as one list, in an order that does not depend on theirs."""
    alone: dict[str, PartSettings] = {}
    shares: dict[str, set[ShareNumbers]] = {}
    for part in parts:
        for each in _apart(part):
            name = each.model_dump_json()
            alone[name] = each
            shares.setdefault(name, set()).update(part.shares)
    taken = {name: largest_shares((Share(*share) for share in shares[name]), scheme) for name in alone}
    groups: dict[tuple[Share, ...], list[PartSettings]] = {}
    for name, part in alone.items():
        if not any(_holds(other, taken[key], part, taken[name], scheme) for key, other in alone.items()):
            groups.setdefault(taken[name], []).append(part)
    found = []
    for largest, members in groups.items():
        held = tuple(astuple(share) for share in largest)
        signals = sorted(signal for part in members for signal in part.signals)
        found += [PartSettings(signals=tuple(signals), shares=held)] if signals else []
        found += [part.model_copy(update={"shares": held}) for part in members if part.map]
    return tuple(sorted(found, key=PartSettings.model_dump_json))


def _apart(part: PartSettings) -> list[PartSettings]:
    """Return a part for each of its signals, or the part with its map, without shares."""
    alone = [part.model_copy(update={"signals": (signal,), "shares": ()}) for signal in part.signals]
    return alone or [part.model_copy(update={"shares": ()})]


def _holds(
    other: PartSettings,
    held: Sequence[Share],
    part: PartSettings,
    wanted: Sequence[Share],
    scheme: WidthScheme,
) -> bool:
    """Tell whether a part takes more of the pairs of a map than another part takes, and all that it takes."""
    same = other.map is not None and (other.map, other.ranked_by) == (part.map, part.ranked_by)
    deeper = other.top != part.top and (other.top is None or other.top > (part.top or ANY_DEPTH))
    return same and deeper and all(any(is_part(each, share, scheme) for share in held) for each in wanted)


class CacheTeacherSettings(Settings):
    """Which of a teacher's signals are stored.

    Args:
        signals: the signals that are stored, such as `logits` and `hidden_states.3`.
        maps: layer maps whose teacher layers are stored, where the teacher's depth was not yet known.
        precision: how signals are stored that may be halved.
        bf16: whether the teacher runs in bfloat16, as its students; null where the processor decides.
        fp16: whether it runs in float16, as they do.
        tf32: whether a GPU multiplies float32 as TF32, as they do.
        split: the split that is run.
        eval_batch_size: examples that the teacher runs at once; null for the usual number.
        masking: how text is masked, for masked language models.
        seed: seed of the masks.
        positions: `all` where logits of all tokens are stored; by default logits of tokens with a label.
        rows: a column that the dataset keeps, and its values in the rows that the teacher runs on; null for
            all rows.
        selected: what is stored of states where readers take a part of them; null where they take all.
    """

    signals: tuple[str, ...] = ()
    maps: tuple[LayerMapSettings, ...] = ()
    precision: StoredPrecision = "float16"
    bf16: bool | None = None
    fp16: bool | None = None
    tf32: bool | None = None
    split: str = "train"
    eval_batch_size: Count | None = None
    masking: MaskingSettings | None = None
    seed: Seed = 0
    positions: Literal["all"] | None = None
    rows: tuple[str, tuple[str, ...]] | None = None
    selected: SelectedSettings | None = None

    @property
    def apart(self) -> "CacheTeacherSettings":
        """The settings without what is stored: readers that agree in these share a cache."""
        selected = self.selected and self.selected.model_copy(update={"parts": ()})
        return self.model_copy(update={"signals": (), "maps": (), "selected": selected})

    def joined(self, others: "Iterable[CacheTeacherSettings]") -> "CacheTeacherSettings":
        """Return the settings of a cache that also holds what other readers take."""
        every = [self, *others]
        selected = self.selected
        taken = (part for cache in every if cache.selected for part in cache.selected.parts)
        parts = merged(taken, selected.hidden_scheme) if selected else ()
        maps = {entry.model_dump_json(): entry for cache in every for entry in cache.maps}
        return self.model_copy(
            update={
                "signals": tuple(sorted({signal for cache in every for signal in cache.signals})),
                "maps": tuple(maps[name] for name in sorted(maps)),
                "selected": selected and selected.model_copy(update={"parts": parts}),
            }
        )

    def stored(self, depth: int) -> tuple[Signal, ...]:
        """Return the signals that are stored of a teacher with so many blocks."""
        mapped = {Signal(kind, place) for entry in self.maps for kind, place in entry.signals(depth)}
        parts = self.selected.shares(depth) if self.selected else {}
        return tuple(sorted({*map(Signal.parse, self.signals), *mapped, *parts}))


class CacheTeacher(RunningStage[CacheTeacherSettings]):
    """Run a frozen teacher once over a dataset and store the signals that students learn from."""

    settings = CacheTeacherSettings
    wildcards = ("teacher", "dataset", "key")
    kind = KNOWLEDGE
    only_read = True
    option = "teacher"

    def settings_of(self, graph: Graph, *names: str) -> CacheTeacherSettings:
        teacher, dataset, key = names
        return graph.caches[teacher, dataset, key]

    def inputs(self, graph: Graph, *names: str) -> dict[str, list[Path]]:
        settings, folders = self.settings_of(graph, *names), super().inputs(graph, *names)
        if settings.masking and settings.masking.smoothing:
            teacher, dataset = names[:2]
            folders["counts"] = [graph.layout.counts(dataset, graph.facts[teacher].tokenizer)]
        return folders

    def kept_bytes(self, job: Job, shape: dict[str, int], dataset: Dataset) -> int:
        settings: Any = job.settings["settings"]
        signals = [*map(Signal.parse, settings.signals), *_mapped(settings, shape["depth"])]
        length = dataset.max_length
        example = length * token_bytes(signals, shape, length, settings.precision)
        # A record batch holds at least one example. The teacher's batch is taken to be as large.
        rows = min(STORED_ROWS * example, max(2 * STORED_BYTES, example))
        if dataset.task == LANGUAGE_MODELING:
            # Logits over the vocabulary fill a record batch.
            rows = max(rows, 2 * STORED_BYTES)
        return super().kept_bytes(job, shape, dataset) + round(rows)


def _mapped(settings: CacheTeacherSettings, depth: int) -> Iterator[Signal]:
    """Yield the signals that layer maps may choose, which name no more than there are, and parts as whole.

    The teacher gives whole states, of which a part is copied.
    """
    parts = settings.selected.parts if settings.selected else ()
    maps = [*settings.maps, *(part.map for part in parts if part.map)]
    for kind in {kind for entry in maps for kind in entry.kinds}:
        yield from (Signal(kind, place) for place in SIGNAL_KINDS[kind].places(depth))
    yield from {Signal.parse(signal) for part in parts for signal in part.signals}
