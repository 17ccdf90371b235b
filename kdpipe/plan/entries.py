"""What a config's graph consists of: models, datasets, and what is known of them before they exist."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kdpipe.anatomy.shapes import Shape
from kdpipe.anatomy.units import UNIT_KINDS, Units
from kdpipe.config.settings.augmentation import AugmentationSettings
from kdpipe.config.settings.base import StageSettings
from kdpipe.config.settings.dataset import DatasetSettings, RowCounts, SourceSettings

TRAIN = "train"


@dataclass(frozen=True)
class Facts:
    """What follows from the config about a model.

    Args:
        tokenizer: the node that its tokenizer comes from.
        shape: its shape.
        head: the task of its head; "" for none, None where only its files will tell.
        heads: task and labels of each of several heads, by the dataset that it is for; `head` is "" then.
        units: what of its unpruned ancestor's heads and neurons is gone.
        ranked: whether it carries the ranking of its units by which it was pruned; None where only its files
            will tell, as of a model chosen among some that do and some that do not.
        embedding_rank: rank of its word embeddings, of a chosen model the largest; None where they are whole.
        deep_as: the model not fetched yet that it has the depth of; "" where the depth is known.
        labels: names of the outputs of its head; None where they are not known.
        pair_segments: segments that its tokenizer gives to a pair of texts.
        dropped: tensors of a loaded model that nobody reads, as they are of another head than it has.
        masks: whether its tokenizer may have a mask token.
        quantized: whether it has int8 layers, so that it cannot be trained or cut; None where only its files
            will tell, as of a model chosen among some that have and some that have not.
    """

    tokenizer: str
    shape: Shape = field(default_factory=Shape)
    head: str | None = None
    heads: Mapping[str, tuple[str, tuple[str, ...] | None]] = field(default_factory=dict)
    units: Mapping[str, Units] = field(default_factory=lambda: dict.fromkeys(UNIT_KINDS, Units()))
    ranked: bool | None = False
    embedding_rank: int | None = None
    deep_as: str = ""
    labels: tuple[str, ...] | None = None
    pair_segments: int = 2
    dropped: tuple[str, ...] = ()
    masks: bool = True
    quantized: bool | None = False

    def on(self, dataset: str) -> "Facts":
        """Return what is known of the model as it runs on a dataset: of several heads it has one then."""
        if not self.heads:
            return self
        head, labels = self.heads.get(dataset, ("", None))
        return replace(self, head=head, labels=labels)

    @property
    def in_int8(self) -> str:
        """That it has int8 layers, or may have some, in words; "" where it has none."""
        return "" if self.quantized is False else f"{'has' if self.quantized else 'may have'} int8 weights"

    @property
    def described(self) -> str:
        """What head it has, in words."""
        if self.heads and not self.head:
            return f"a head for each of {', '.join(self.heads)}"
        return f"a head for {' or '.join(self.tasks or ())}" if self.head != "" else "no head"

    @property
    def tasks(self) -> tuple[str, ...] | None:
        """The tasks that its head may be for; None where only its files will tell."""
        if self.head is not None:
            return (self.head,)
        # Their configs need not say which.
        return None if self.labels is None else ("classification", "multi_label")

    @property
    def sparsity(self) -> float | None:
        """The share of heads and neurons that is gone at least; None where it is not one, or not known."""
        gone = {units.gone for units in self.units.values()}
        return gone.pop() if len(gone) == 1 else None


# What is known of a model whose settings are wrong.
UNKNOWN = Facts(tokenizer="")


@dataclass(frozen=True)
class Dataset:
    """A dataset of the config.

    Args:
        name: its name.
        template: its name before the matrix was expanded.
        settings: its settings.
        variables: the matrix values in its name.
        task: what its examples are for.
        metrics: the metrics of models for it; they are chosen by the first.
        sources: the sources it is read from.
        origins: the dataset that each source is of.
        proportions: the share of each source's training rows that is taken.
        max_length: tokens of an encoded example.
        stride: tokens of a long context that one window shares with the next.
        packing: whether texts are joined and cut into rows of `max_length` tokens.
        longest_answer: tokens of the longest answer.
        no_answer_threshold: by how much the logits of giving none may exceed an answer's.
        labels: the names of its labels, as far as the config, the source or a loaded model names them.
        unlabelled: whether its training split has no labels.
        rows: size of a fixed sample of the training split, or of each split named.
        augmentation: how copies of its training examples are made; None without copies.
        held_out_of: the dataset whose held-out splits it shares, read alike; "" where they are its own.
    """

    name: str
    template: str
    settings: DatasetSettings
    variables: Mapping[str, Any]
    task: str = ""
    metrics: tuple[str, ...] = ()
    sources: tuple[SourceSettings, ...] = ()
    origins: tuple[str, ...] = ()
    proportions: tuple[float, ...] = ()
    max_length: int = 128
    stride: int = 128
    packing: bool = False
    longest_answer: int = 30
    no_answer_threshold: float = 0.0
    labels: tuple[str, ...] = ()
    unlabelled: bool = False
    rows: RowCounts | None = None
    augmentation: AugmentationSettings | None = None
    held_out_of: str = ""

    @property
    def kept(self) -> frozenset[str]:
        """The columns that the training split of every source keeps."""
        kept = [frozenset(source.options.get("keep") or ()) for source in self.sources]
        return frozenset.intersection(*kept) if kept else frozenset()

    @property
    def copied_by_model(self) -> bool:
        """Whether a model makes copies of its training examples."""
        return self.augmentation is not None and self.augmentation.needs_model

    @property
    def labelled(self) -> dict[int, str]:
        """The places of sources whose labels a model gives, each with the dataset of the source."""
        pairs = enumerate(zip(self.sources, self.origins, strict=True))
        return {place: origin for place, (source, origin) in pairs if source.labeller}

    @property
    def most_rows(self) -> int | None:
        """The rows of the training split if a setting says their number, else None; copies count."""
        rows = self.rows.get(TRAIN) if isinstance(self.rows, dict) else self.rows
        return rows and self.with_copies(rows)

    def with_copies(self, rows: int) -> int:
        """Return the number of rows that so many examples become with their copies."""
        return rows * (1 + (self.augmentation.copies if self.augmentation else 0))


@dataclass(frozen=True)
class Node:
    """A model of the config.

    Args:
        name: its name.
        template: its name before the matrix was expanded.
        stage: the stage that makes it.
        settings: the settings of that stage.
        variables: the matrix values in its name.
    """

    name: str
    template: str
    stage: str
    settings: StageSettings
    variables: Mapping[str, Any]
