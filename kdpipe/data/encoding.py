"""From examples to rows of token ids, a batch at a time."""

import json
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer
from tokenizers.models import WordLevel

from kdpipe import catalog
from kdpipe.data.encoded import kept_column
from kdpipe.data.source import Example
from kdpipe.declarations import constants
from kdpipe.errors import DataError, quoted, suggest

Ids = NDArray[np.int32]


class Encoded(NamedTuple):
    """The rows of some examples, and the numbers of what was encoded.

    Args:
        batch: `id`, `input_ids`, `token_type_ids` of pairs, `labels` if there are any, `length`; of
            windows also `example`, `starts` and `ends`.
        counts: numbers of `examples`, `rows`, `tokens`, and of what the encoder cut or dropped.
    """

    batch: pa.RecordBatch
    counts: Counter[str]


Encoder = Callable[[Sequence[Example]], Encoded]


class TextEncoder(ABC):
    """Texts or pairs, cut to a length, with their labels.

    Args:
        tokenizer_file: a `tokenizer.json`.
        max_length: longest row, special tokens included; of a pair the longer text is cut first.
    """

    def __init__(self, tokenizer_file: Path, max_length: int) -> None:
        self._tokenizer = load_fast_tokenizer(tokenizer_file)
        self._tokenizer.enable_truncation(max_length, strategy="longest_first")

    def __call__(self, examples: Sequence[Example]) -> Encoded:
        """Encode examples that all are pairs or none, and all have a label or none."""
        pairs = examples[0].text_pair is not None
        texts = [(e.text, e.text_pair) if pairs else e.text for e in examples]
        encodings, without = without_empty(
            self._tokenizer, examples, self._tokenizer.encode_batch_fast(texts)
        )
        extra: dict[str, pa.Array] = {}
        if pairs:
            extra["token_type_ids"] = pa.array([e.type_ids for e in encodings], pa.list_(pa.int8()))
        if examples[0].label is not None:
            extra["labels"] = self.label_column(examples)
        return one_row_each(examples, encodings, extra, without)

    @abstractmethod
    def label_column(self, examples: Sequence[Example]) -> pa.Array:
        """Return the labels of examples that have one."""


class RegressionEncoder(TextEncoder):
    """Texts or pairs with numbers."""

    def label_column(self, examples: Sequence[Example]) -> pa.Array:
        """Return the numbers, float32 [N]."""
        return pa.array([example.label for example in examples], pa.float32())


class ClassificationEncoder(TextEncoder):
    """Texts or pairs with the positions of their labels.

    Args:
        tokenizer_file, max_length: as in `TextEncoder`.
        labels: the names of the classes in their order.
    """

    def __init__(self, tokenizer_file: Path, max_length: int, labels: Sequence[str] | None) -> None:
        super().__init__(tokenizer_file, max_length)
        if labels is None:
            raise DataError("expected a source with labels for classification, found one without")
        self.positions = {label: position for position, label in enumerate(labels)}

    def label_column(self, examples: Sequence[Example]) -> pa.Array:
        """Return the positions, int64 [N]."""
        return pa.array([label_position(str(e.label), e.id, self.positions) for e in examples], pa.int64())


class MultiLabelEncoder(ClassificationEncoder):
    """Texts or pairs, with 1 for each label that applies and 0 for the others."""

    def label_column(self, examples: Sequence[Example]) -> pa.Array:
        """Return which labels apply, int8 [N, C]."""
        on = np.zeros((len(examples), len(self.positions)), dtype=np.int8)
        for row, example in enumerate(examples):
            assert isinstance(example.label, tuple)
            for label in example.label:
                on[row, label_position(str(label), example.id, self.positions)] = 1
        return pa.FixedSizeListArray.from_arrays(pa.array(on.reshape(-1)), len(self.positions))


def one_row_each(
    examples: Sequence[Example],
    encodings: Sequence[Encoding],
    extra: dict[str, pa.Array],
    counts: Mapping[str, int],
) -> Encoded:
    """Return examples of one row each, with further columns and counts."""
    ids, lengths = flat_ids(encodings)
    rows, truncated = len(examples), sum(1 for encoding in encodings if encoding.overflowing)
    for place, (name, _) in enumerate(examples[0].kept):
        extra[kept_column(name)] = pa.array([example.kept[place][1] for example in examples], pa.string())
    total = Counter(examples=rows, rows=rows, tokens=len(ids), truncated=truncated, **counts)
    return Encoded(to_batch([example.id for example in examples], ids, lengths, extra), total)


def without_empty(
    tokenizer: Tokenizer, examples: Sequence[Example], encodings: Sequence[Encoding]
) -> tuple[Sequence[Encoding], dict[str, int]]:
    """Return encodings that all have tokens, and the number of texts without tokens, if there are any.

    A tokenizer without special tokens may make no token of a text. The output of a model for a row without
    tokens depends on the other rows of its batch, so the row gets the unknown token, else the first special
    token.
    """
    empty = [example for example, encoding in zip(examples, encodings, strict=True) if not len(encoding)]
    if not empty:
        return encodings, {}
    added = sorted(tokenizer.get_added_tokens_decoder().items())
    ids = [unknown_id(tokenizer), *(position for position, token in added if token.special)]
    token_id = next((position for position in ids if position is not None), None)
    if token_id is None:
        raise DataError(
            f"example {empty[0].id}: expected a text that has tokens, found {quoted(empty[0].text)}, of"
            " which the tokenizer makes none; mend or remove it, or take a model whose tokenizer adds"
            " special tokens"
        )
    # The tokenizer may encode the name of its token otherwise.
    token = Tokenizer(WordLevel({"token": token_id}, "token")).encode("token")
    return [encoding if len(encoding) else token for encoding in encodings], {"without_tokens": len(empty)}


def encoder_for(
    task: str, tokenizer_file: Path, max_length: int, labels: Sequence[str] | None, stride: int = 128
) -> Callable[[], Encoder]:
    """Return a function that makes a task's encoder; another process can receive the function alone."""
    encoder = catalog.load(constants(catalog.TASKS[task])["encoder"])
    options = {"labels": labels, "stride": stride}
    accepted = {name: value for name, value in options.items() if name in signature(encoder).parameters}
    return partial(encoder, tokenizer_file, max_length, **accepted)


def load_fast_tokenizer(file: Path) -> Tokenizer:
    """Load a tokenizer that neither cuts nor pads, and that uses one thread.

    Several processes of `kdpipe.data.pipeline` tokenize instead of threads. An environment that sets
    TOKENIZERS_PARALLELISM overrules this.
    """
    if not file.is_file():
        raise DataError(f"{file}: expected a tokenizer.json, found none; make the tokenizer first")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id of the token for texts outside the vocabulary; None if there is no such token."""
    model = json.loads(tokenizer.to_str())["model"]
    if "unk_id" in model:
        return None if model["unk_id"] is None else int(model["unk_id"])
    token = model.get("unk_token")
    return None if token is None else tokenizer.token_to_id(token)


def label_position(label: str, example: str, positions: Mapping[str, int]) -> int:
    """Return the position of an example's label among the labels."""
    if label not in positions:
        raise DataError(
            f"example {example}: expected one of the dataset's labels, found {quoted(label)};"
            f" {suggest(label, positions)}"
        )
    return positions[label]


def row_names(
    examples: Sequence[Example], origins: NDArray[np.integer], pieces: NDArray[np.integer]
) -> list[str]:
    """Return the id of each row: the id of its example, and for later pieces of the example `id#piece`."""
    return [
        f"{examples[origin].id}#{piece}" if piece else examples[origin].id
        for origin, piece in zip(origins.tolist(), pieces.tolist(), strict=True)
    ]


def flat_ids(encodings: Sequence[Encoding]) -> tuple[Ids, Ids]:
    """Return the token ids of all rows one after the other, and the length of each."""
    lengths = np.fromiter(map(len, encodings), np.int32, len(encodings))
    ids = chain.from_iterable(encoding.ids for encoding in encodings)
    return np.fromiter(ids, np.int32, int(lengths.sum())), lengths


def lists(values: NDArray[np.integer], lengths: Ids) -> pa.ListArray:
    """Return flat values as one list per row."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def to_batch(
    names: list[str], ids: Ids, lengths: Ids, extra: dict[str, pa.Array] | None = None
) -> pa.RecordBatch:
    """Return rows with their ids, token ids, lengths, and the further columns of a task."""
    columns = {"id": pa.array(names, pa.string()), "input_ids": lists(ids, lengths)}
    columns |= extra or {}
    columns["length"] = pa.array(lengths)
    return pa.RecordBatch.from_pydict(columns)
