"""Settings of the stages that run because models need them: encoding, counting, caching, evaluating."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from kdpipe.anatomy.layers import match_layers
from kdpipe.anatomy.signals import Signal, first_layer
from kdpipe.config.settings.base import Settings
from kdpipe.config.settings.bounds import Count
from kdpipe.config.settings.dataset import Rows


class PreprocessSettings(Settings):
    """How a dataset is encoded.

    Args:
        sources: the settings of the datasets it is read from; several are joined.
        proportions: of several, the share of each one's training rows that is taken; by default all.
        task: what its examples are for.
        max_length: tokens of an encoded example.
        stride: tokens of a long context that one window shares with the next.
        rows: size of a fixed sample of the joined training split, or of each split named.
        labels: `none` drops the labels of the training split.
        seed: seed of samples and of the order in which several sources are joined.
    """

    sources: tuple[dict[str, object], ...]
    proportions: tuple[float, ...] | None = None
    task: str
    max_length: int
    stride: int = 128
    rows: Rows | None = None
    labels: Literal["none"] | None = None
    seed: int = 42


class FetchSettings(Settings):
    """Which dataset of the Hub is stored.

    Args:
        path: name of the repository, or a folder that is laid out as one.
        local: whether it is a folder.
        name: configuration of the dataset.
        revision: commit, branch or tag of the repository.
    """

    path: str
    local: bool = False
    name: str = "default"
    revision: str = "main"


class CountTokensSettings(Settings):
    """How tokens are counted.

    Args:
        split: the split that is counted.
    """

    split: str = "train"


class LayerMapSettings(Settings):
    """A layer map that the teacher's depth resolves.

    Args:
        kinds: the kinds of signals that are stored of its layers.
        layers: the name of the map.
        student_depth: number of blocks of the student; null where that is the teacher's.
    """

    kinds: tuple[str, ...]
    layers: str
    student_depth: int | None

    def signals(self, depth: int) -> Iterator[tuple[str, int]]:
        """Yield kind and layer of each signal that is stored of a teacher with so many blocks."""
        first = first_layer(self.kinds)
        for layer, _ in match_layers(self.layers, depth, self.student_depth or depth, first):
            yield from ((kind, layer) for kind in self.kinds)


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
    """

    signals: tuple[str, ...] = ()
    maps: tuple[LayerMapSettings, ...] = ()
    precision: Literal["float16", "float32"] = "float16"
    bf16: bool | None = None
    fp16: bool | None = None
    tf32: bool | None = None
    split: str = "train"
    eval_batch_size: Count | None = None

    def stored(self, depth: int) -> tuple[Signal, ...]:
        """Return the signals that are stored of a teacher with so many blocks."""
        mapped = {Signal(kind, place) for entry in self.maps for kind, place in entry.signals(depth)}
        return tuple(sorted({*map(Signal.parse, self.signals), *mapped}))


class ScoreImportanceSettings(Settings):
    """How a model's heads and neurons are scored.

    Args:
        criterion: its name in the catalog.
        split: the split that is read.
        batches: how many batches are read; null for all.
        batch_size: examples of a batch.
        reduction: whether absolute values are taken of a batch's mean gradient or of each example's.
        seed: seed of the order of examples and of random scores.
    """

    criterion: str
    split: str
    batches: int | None
    batch_size: int
    reduction: Literal["batch", "example"]
    seed: int


class EvaluateSettings(Settings):
    """How a model is scored.

    Args:
        seed: seed of the masking, where the task masks tokens.
        probability: share of the tokens that are masked.
        metrics: names of the metrics, by default those of the task; models are chosen by the first.
        longest_answer: tokens of the longest answer to a question.
        no_answer_threshold: by how much the logits of giving no answer may exceed those of one that is given.
        eval_batch_size: examples that the model runs at once; null for the usual number.
    """

    seed: int = 42
    probability: float = 0.15
    metrics: tuple[str, ...] = ()
    longest_answer: int = 30
    no_answer_threshold: float = 0.0
    eval_batch_size: Count | None = None


class ExportSettings(Settings):
    """What the files of a test split's labels are called.

    Args:
        files: split to file name without its ending; the split's own name by default.
        eval_batch_size: examples that the model runs at once; null for the usual number.
    """

    files: dict[str, str] = Field(default_factory=dict)
    eval_batch_size: Count | None = None
