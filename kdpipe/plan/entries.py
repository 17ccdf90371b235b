"""What a config's graph consists of: models, datasets, and what is known of them before they exist."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kdpipe.anatomy.shapes import Shape
from kdpipe.anatomy.units import UNIT_KINDS, Units
from kdpipe.config.settings.base import StageSettings
from kdpipe.config.settings.dataset import DatasetSettings, SourceSettings


@dataclass(frozen=True)
class Facts:
    """What follows from the config about a model.

    Args:
        tokenizer: the node that its tokenizer comes from.
        shape: its shape.
        head: the task of its head; "" for none, None where only its files will tell.
        heads: the tasks of several heads, by the dataset that each is for; `head` is "" then.
        units: what of its unpruned ancestor's heads and neurons is gone.
        ranked: whether it carries the ranking of its units by which it was pruned; None where only its files
            will tell, as of a model chosen among some that do and some that do not.
        embedding_rank: rank of its word embeddings, of a chosen model the largest; None where they are whole.
        deep_as: the model not fetched yet that it has the depth of; "" where the depth is known.
        labels: names of the outputs of a head that was loaded; None where the dataset
            that it was trained on names them, or where they are not known.
        pair_segments: segments that its tokenizer gives to a pair of texts.
        dropped: tensors of a loaded model that nobody reads, as they are of another head than it has.
    """

    tokenizer: str
    shape: Shape = field(default_factory=Shape)
    head: str | None = None
    heads: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, Units] = field(default_factory=lambda: dict.fromkeys(UNIT_KINDS, Units()))
    ranked: bool | None = False
    embedding_rank: int | None = None
    deep_as: str = ""
    labels: tuple[str, ...] | None = None
    pair_segments: int = 2
    dropped: tuple[str, ...] = ()

    def on(self, dataset: str) -> "Facts":
        """Return what is known of the model as it runs on a dataset: of several heads it has one then."""
        return replace(self, head=self.heads.get(dataset, ""), heads={}) if self.heads else self

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
        proportions: the share of each source's training rows that is taken.
        max_length: tokens of an encoded example.
        stride: tokens of a long context that one window shares with the next.
        longest_answer: tokens of the longest answer.
        no_answer_threshold: by how much the logits of giving none may exceed an answer's.
    """

    name: str
    template: str
    settings: DatasetSettings
    variables: Mapping[str, Any]
    task: str = ""
    metrics: tuple[str, ...] = ()
    sources: tuple[SourceSettings, ...] = ()
    proportions: tuple[float, ...] = ()
    max_length: int = 128
    stride: int = 128
    longest_answer: int = 30
    no_answer_threshold: float = 0.0


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
