"""Batches of an encoded split: padded to a few lengths, with the positions of real and of labelled tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.targets import IGNORE_INDEX, Targets
from kdpipe.models.precision import Precision

# Batches are padded to multiples of this many tokens, so that few shapes occur and kernels are reused. They
# are not padded beyond the longest example of the split, where the model may have no positions.
PAD_MULTIPLE = 8
# The tensors of a batch, signals of teachers (`signals`), and the numbers of examples, tokens… (`counts`).
Batch = dict[str, Any]
# The entry of a batch with what is put into its examples for counterfactual runs.
EXCHANGE = "exchange"


class Knowledge(Protocol):
    """A teacher's cached signals.

    Attributes:
        precision: what matrices were multiplied in.
        usable: whether the teacher's signals on each example can be compared with the student's.
    """

    precision: Precision
    usable: NDArray[np.bool_]

    def batch(self, rows: NDArray[np.int64], batch: Mapping[str, Any]) -> Any:
        """Return the teacher's signals on some rows; `batch` is what the student reads of their examples.

        The rows of all examples as they are masked in one way come before the rows of the next way.
        """
        ...


class OtherBatches(Protocol):
    """Makes batches of the same examples as another tokenizer encodes them.

    Attributes:
        usable: whether the outputs on each example can be compared with the student's.
    """

    usable: NDArray[np.bool_]

    def part_of(self, whole: NDArray[np.int64], places: NDArray[np.int64]) -> Batch:
        """Return the part of a batch whose examples stand in some places of it."""
        ...


@dataclass(frozen=True)
class Tokens:
    """The tokens of the examples of a batch, padded on the right.

    Args:
        original: the tokens of the examples [B, L].
        read: the tokens that models read [B, L].
        predicted: the token that each position is to predict, `IGNORE_INDEX` for none [B, L].
        lengths: tokens of each example [B].
        examples: the places of the examples in the split [B].
    """

    original: NDArray[np.int64]
    read: NDArray[np.int64]
    predicted: NDArray[np.int64]
    lengths: NDArray[np.int64]
    examples: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        original: NDArray[np.int64],
        lengths: NDArray[np.int64],
        examples: NDArray[np.int64],
        epoch: int,
        targets: Targets | None,
    ) -> "Tokens":
        """Return the tokens of examples in an epoch; without targets, nothing is to be predicted."""
        if targets is None:
            return cls(original, original, np.full_like(original, IGNORE_INDEX), lengths, examples)
        return cls(original, *targets(original, lengths, epoch, examples), lengths, examples)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Whether each position is to predict a token [B, L]."""
        labelled: NDArray[np.bool_] = self.predicted != IGNORE_INDEX
        return labelled


class ExchangeMaker(Protocol):
    """Chooses what of other texts is put into the examples of a batch."""

    def batch(self, whole: NDArray[np.int64], places: NDArray[np.int64], epoch: int, tokens: Tokens) -> Batch:
        """Return what is exchanged in the part of a batch whose examples stand in some places of it."""
        ...


class Collator:
    """Makes a batch of the examples of some indices.

    The batch holds `input_ids`, `attention_mask` [B, L], `token_type_ids` for pairs, `token_rows` [N], the
    positions of real tokens in the flattened batch, and `labels`. Examples have one label each [B]. Windows
    have the places of the answers' first and last tokens in turns [2B]. Text has the tokens to be predicted,
    and words have their tags [M]; with these come `label_rows` [M] and `label_places` [M], their positions in
    the flattened batch and among its real tokens, and `other_places` [N-M], those of all other real tokens.

    Args:
        split: the examples.
        pad_id: id of the padding token.
        targets: which tokens are to be predicted, for language modelling.
        knowledge: cached signals by their source; they become the `signals` of a batch.
        others: for sources that run on tokens of other tokenizers, what makes batches of the same examples as
            these encode them; they become the `encodings` of a batch.
        exchanges: chooses what is put into the examples for counterfactual runs, the `exchange` of a batch.
        tokens: how many tokens of an example are compared where some are chosen; None for all.

    Attributes:
        epoch: the epoch, on which draws depend.
        part: the place in a batch where the examples of this process begin, and their distance.
    """

    def __init__(
        self,
        split: EncodedSplit,
        pad_id: int,
        targets: Targets | None = None,
        knowledge: Mapping[Any, Knowledge] | None = None,
        others: Mapping[Any, OtherBatches] | None = None,
        exchanges: ExchangeMaker | None = None,
        tokens: int | None = None,
    ) -> None:
        self.tokens = tokens
        self.split = split
        self.pad_id = pad_id
        self.targets = targets
        self.knowledge = knowledge or {}
        self.others = others or {}
        self.exchanges = exchanges
        self.epoch = 0
        self.part = (0, 1)

    def __call__(self, examples: Sequence[int]) -> Batch:
        """Return the batch of some examples, or this process's part of it."""
        whole = np.asarray(examples, dtype=np.int64)
        first, step = self.part
        places = np.arange(first, len(whole), step)
        if len(places):
            return self.part_of(whole, places)
        # A process without examples takes another process's examples, which count for nothing.
        batch = self.part_of(whole, np.arange(1))
        return {**batch, "counts": dict.fromkeys(batch["counts"], 0)}

    def part_of(self, whole: NDArray[np.int64], places: NDArray[np.int64]) -> Batch:
        """Return the part of a batch whose examples stand in some places of it."""
        indices = whole[places]
        lengths = self.split.lengths[indices]
        width = padded_width(lengths, self.split.longest)
        real = np.arange(width) < lengths[:, None]
        batch = {"attention_mask": real.astype(np.int64), "token_rows": np.flatnonzero(real)}
        if "token_type_ids" in self.split.columns:
            batch["token_type_ids"] = np.zeros(real.shape, dtype=np.int64)
            batch["token_type_ids"][real] = self.split.column("token_type_ids")[indices]
        # Tokens are drawn for the whole batch, whatever part of it is returned.
        tokens = self._tokens(whole)
        input_ids, predicted = tokens.read[places, :width], tokens.predicted[places, :width]
        if self.targets is not None:
            label_rows = np.flatnonzero(predicted != IGNORE_INDEX)
            batch |= _labelled(label_rows, predicted.reshape(-1)[label_rows], batch["token_rows"])
        elif "words" in self.split.columns:
            batch |= self._tagged(width, batch["token_rows"], indices)
        elif "labels" in self.split.columns:
            labels = self.split.column("labels")[indices]
            batch["labels"] = labels.astype(np.int64).reshape(-1) if self.split.windowed else labels
        arrays = {"input_ids": input_ids, **batch}
        tensors: Batch = {name: torch.from_numpy(array) for name, array in arrays.items()}
        if self.knowledge:
            tensors["signals"] = {
                source: knowledge.batch(indices + self.masking * len(self.split), tensors)
                for source, knowledge in self.knowledge.items()
            }
        if self.others:
            encodings = {source: other.part_of(whole, places) for source, other in self.others.items()}
            tensors["encodings"] = encodings
        if self.exchanges:
            tensors[EXCHANGE] = self.exchanges.batch(whole, places, self.epoch, tokens)
        return {**tensors, "counts": _counts(lengths.astype(np.int64), tensors, self.tokens)}

    @cached_property
    def examples(self) -> Sequence[int]:
        """The examples that are trained on: all whose signals can be compared."""
        found = [knowledge.usable for knowledge in self.knowledge.values()]
        found += [other.usable for other in self.others.values()]
        usable = [each for each in found if not each.all()]
        every = range(len(self.split))
        return np.flatnonzero(np.logical_and.reduce(usable)).tolist() if usable else every

    @property
    def lengths(self) -> NDArray[np.int32]:
        """The tokens of each example that is trained on."""
        lengths = self.split.lengths
        return lengths if isinstance(self.examples, range) else lengths[self.examples]

    @property
    def maskings(self) -> int:
        """The number of ways in which examples are masked; 1 without targets, or where epochs mask anew."""
        return (self.targets and self.targets.maskings) or 1

    @property
    def masking(self) -> int:
        """The number of the way in which the epoch masks, from 0."""
        return self.epoch % self.maskings

    def _tokens(self, indices: NDArray[np.int64]) -> Tokens:
        """Return the tokens of some examples, padded."""
        lengths = self.split.lengths[indices].astype(np.int64)
        real = np.arange(padded_width(lengths, self.split.longest)) < lengths[:, None]
        original = np.full(real.shape, self.pad_id, dtype=np.int64)
        original[real] = self.split.column("input_ids")[indices]
        return Tokens.of(original, lengths, indices, self.epoch, self.targets)

    def _tagged(
        self, width: int, token_rows: NDArray[np.int64], indices: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        """Return the labels of the words whose first pieces were not cut off."""
        column, tagged = self.split.column("words"), "labels" in self.split.columns
        words = column[indices]
        rows = np.repeat(np.arange(len(indices)), column.lengths_of(indices))
        labels = self.split.column("labels")[indices].astype(np.int64) if tagged else None
        whole = words >= 0
        places = rows[whole] * width + words[whole]
        return _labelled(places, None if labels is None else labels[whole], token_rows)


def encoded_for(batch: Batch, source: Any) -> Batch:
    """Return a batch as the tokenizer of a source encodes its examples."""
    encoded: Batch = batch.get("encodings", {}).get(source, batch)
    return encoded


def on_device(batch: Mapping[str, Any], device: torch.device) -> Batch:
    """Return a batch whose tensors are on a device."""
    return {name: entry.to(device) if isinstance(entry, Tensor) else entry for name, entry in batch.items()}


def _counts(lengths: NDArray[np.int64], batch: Batch, chosen: int | None) -> dict[str, int]:
    """Return the numbers by which losses are averaged (`Averaged` of `kdpipe.anatomy.signals`).

    Args:
        lengths: tokens of each example.
        batch: the batch.
        chosen: how many tokens of an example are chosen; None where all are compared.
    """
    tokens = int(lengths.sum())
    counts = {"examples": len(lengths), "spans": 2 * len(lengths), "tokens": tokens, "queries": tokens}
    counts["pairs"] = int(np.square(lengths).sum())
    if chosen is not None:
        some = np.minimum(lengths, chosen)
        counts |= {"chosen": int(some.sum()), "chosen pairs": int(np.square(some).sum())}
        counts["chosen keys"] = int((some * lengths).sum())
    return counts | ({"labelled": len(batch["label_rows"])} if "label_rows" in batch else {})


def _labelled(
    rows: NDArray[np.int64], labels: NDArray[Any] | None, token_rows: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    places = np.searchsorted(token_rows, rows)
    others = np.delete(np.arange(len(token_rows)), places)
    entries = {"label_rows": rows, "label_places": places, "other_places": others}
    return entries if labels is None else {**entries, "labels": labels}


def padded_width(lengths: NDArray[np.integer[Any]], longest: int) -> int:
    """Return the number of tokens that a batch is padded to, at most the length of the longest example."""
    return min(-(-int(lengths.max()) // PAD_MULTIPLE) * PAD_MULTIPLE, longest)
