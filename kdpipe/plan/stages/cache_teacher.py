"""`cache_teacher`: the signals of a teacher that students learn from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from kdpipe.anatomy.families import LANGUAGE_MODELING
from kdpipe.anatomy.layers import States, match_layers, parts
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
from kdpipe.config.settings.masking import MaskingSettings
from kdpipe.plan.entries import Dataset
from kdpipe.plan.graph import Graph
from kdpipe.plan.layout import KNOWLEDGE
from kdpipe.plan.running import RunningStage
from kdpipe.plan.stage import Job


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
    layers: str
    student_depth: int | None

    def signals(self, depth: int) -> Iterator[tuple[str, int]]:
        """Yield kind and layer of each signal that is stored of a teacher with so many blocks."""
        first = first_layer(self.kinds)
        for side, _ in match_layers(self.layers, depth, self.student_depth or depth, first, self.states):
            yield from ((kind, layer) for kind in self.kinds for layer in parts(side))


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

    def stored(self, depth: int) -> tuple[Signal, ...]:
        """Return the signals that are stored of a teacher with so many blocks."""
        mapped = {Signal(kind, place) for entry in self.maps for kind, place in entry.signals(depth)}
        return tuple(sorted({*map(Signal.parse, self.signals), *mapped}))


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
    """Yield the signals that layer maps may choose, which name no more than there are."""
    for kind in {kind for entry in settings.maps for kind in entry.kinds}:
        yield from (Signal(kind, place) for place in SIGNAL_KINDS[kind].places(depth))
