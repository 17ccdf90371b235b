"""From examples to rows of token ids, a batch at a time."""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from kdpipe.data.cleaning import CleaningRules, Ids, clean
from kdpipe.data.source import Answer, Example
from kdpipe.data.windows import (
    Tokens,
    context_tokens,
    cut_windows,
    longest_question,
    question_tokens,
    read_frame,
)
from kdpipe.errors import DataError, suggest


class Encoded(NamedTuple):
    """The rows of some examples, and how many there were of what.

    Args:
        batch: `id`, `input_ids`, `token_type_ids` of pairs, `labels` where there are any, `length`; of
            windows also `example`, `starts` and `ends`.
        counts: `examples`, `rows`, `tokens`, and what the encoder cut or dropped.
    """

    batch: pa.RecordBatch
    counts: Counter[str]


Encoder = Callable[[Sequence[Example]], Encoded]


class LanguageModelEncoder:
    """Text for masked language modelling: whole, unless `kdpipe.data.cleaning` splits or drops it.

    Args:
        tokenizer_file: a `tokenizer.json`.
        max_length: longest row, special tokens included.

    Raises:
        DataError: the tokenizer does not put one special token before a text and one after it.
    """

    def __init__(self, tokenizer_file: Path, max_length: int) -> None:
        self._tokenizer = load_tokenizer(tokenizer_file)
        frame = self._tokenizer.encode("").ids
        if len(frame) != 2:
            raise DataError(
                f"{tokenizer_file}: expected a tokenizer that puts one special token before a text"
                f" and one after it, as masked language modelling needs; found {len(frame)} in all"
            )
        first_id, last_id = frame
        self._rules = CleaningRules(max_length, first_id, last_id, unknown_id(self._tokenizer))

    def __call__(self, examples: Sequence[Example]) -> Encoded:
        """Encode and clean; a later piece of a split example is named `id#piece`."""
        encodings = self._tokenizer.encode_batch_fast([example.text for example in examples])
        ids, lengths, origins, pieces, counts = clean(*_flat(encodings), self._rules)
        names = _names(examples, origins, pieces)
        counts.update(examples=len(examples), rows=len(names), tokens=len(ids))
        return Encoded(_batch(names, ids, lengths), counts)


class ClassificationEncoder:
    """Texts or pairs, cut to a length, with the positions of their labels.

    Args:
        tokenizer_file: a `tokenizer.json`.
        max_length: longest row, special tokens included; of a pair the longer text is cut first.
        labels: the names of the classes in their order.
    """

    def __init__(self, tokenizer_file: Path, max_length: int, labels: Sequence[str]) -> None:
        self._tokenizer = load_tokenizer(tokenizer_file)
        self._tokenizer.enable_truncation(max_length, strategy="longest_first")
        self._positions = {label: position for position, label in enumerate(labels)}

    def __call__(self, examples: Sequence[Example]) -> Encoded:
        """Encode examples that all are pairs or none, and all have a label or none.

        Raises:
            DataError: a label is not one of the labels.
        """
        pairs = examples[0].text_pair is not None
        texts = [(e.text, e.text_pair) if pairs else e.text for e in examples]
        encodings = self._tokenizer.encode_batch_fast(texts)
        ids, lengths = _flat(encodings)
        extra = {}
        if pairs:
            types = chain.from_iterable(encoding.type_ids for encoding in encodings)
            extra["token_type_ids"] = _lists(np.fromiter(types, np.int8, len(ids)), lengths)
        if examples[0].label is not None:
            extra["labels"] = pa.array([self._position(example) for example in examples], pa.int64())
        counts = Counter(
            examples=len(examples),
            rows=len(examples),
            tokens=len(ids),
            truncated=sum(1 for encoding in encodings if encoding.overflowing),
        )
        return Encoded(_batch([example.id for example in examples], ids, lengths, extra), counts)

    def _position(self, example: Example) -> int:
        label = str(example.label)
        if label not in self._positions:
            raise DataError(
                f"example {example.id}: expected one of the dataset's labels, found {label!r};"
                f" {suggest(label, self._positions)}"
            )
        return self._positions[label]


class QuestionEncoder:
    """Questions on contexts, in windows (`kdpipe.data.windows`), with the place of the first answer.

    Args:
        tokenizer_file: a `tokenizer.json`.
        max_length: tokens of a window, special ones included.
        stride: tokens of the context that a window shares with the next.

    Raises:
        DataError: the tokenizer cannot join question and context, or the length leaves no room for them.
    """

    def __init__(self, tokenizer_file: Path, max_length: int, stride: int) -> None:
        self._tokenizer = load_tokenizer(tokenizer_file)
        self._frame = read_frame(self._tokenizer)
        self._sizes = {"max_length": max_length, "stride": stride}
        longest_question(self._frame, **self._sizes)

    def __call__(self, examples: Sequence[Example]) -> Encoded:
        """Encode questions that all have answers that are known or none; a later window is `id#window`.

        The column `example` has the position of the question among the examples.
        """
        encodings = self._tokenizer.encode_batch_fast([e.text for e in examples], add_special_tokens=False)
        questions = [question_tokens(encoding, self._frame) for encoding in encodings]
        answers = [_first_answer(example) for example in examples]
        found = cut_windows(self._frame, questions, self._contexts(examples), answers, **self._sizes)
        ids, *others = found.tokens
        segments, starts, ends = (_lists(values, found.lengths) for values in others)
        names = _names(examples, found.origins, found.pieces)
        counts = Counter(examples=len(examples), rows=len(names), tokens=len(ids))
        counts.update(found.counts)
        extra = {"token_type_ids": segments.cast(pa.list_(pa.int8()))}
        if examples[0].label is not None:
            extra["labels"] = _lists(found.spans.ravel(), np.full(len(names), 2, dtype=np.int32))
            counts["windows_without_answer"] = int(np.count_nonzero(found.spans[:, 1] == 0))
        extra |= {"example": pa.array(found.origins), "starts": starts, "ends": ends}
        return Encoded(_batch(names, ids, found.lengths, extra), counts)

    def _contexts(self, examples: Sequence[Example]) -> list[Tokens]:
        """Return the tokens of each context; one that several questions are asked of is encoded once."""
        texts = dict.fromkeys(example.text_pair or "" for example in examples)
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        tokens = {text: context_tokens(e, self._frame) for text, e in zip(texts, encodings, strict=True)}
        return [tokens[example.text_pair or ""] for example in examples]


def encoder_for(
    task: str, tokenizer_file: Path, max_length: int, labels: Sequence[str] | None, stride: int = 128
) -> Callable[[], Encoder]:
    """Return what makes a task's encoder; it can be sent to another process, the encoder cannot.

    Raises:
        DataError: the task cannot be encoded, or is classification without labels.
    """
    if task == "language_modeling":
        return partial(LanguageModelEncoder, tokenizer_file, max_length)
    if task == "question_answering":
        return partial(QuestionEncoder, tokenizer_file, max_length, stride)
    if task != "classification":
        raise DataError(
            f"the task {task!r} is not available in this version; classification, language_modeling and"
            " question_answering are"
        )
    if labels is None:
        raise DataError("expected a source with labels for classification, found one without")
    return partial(ClassificationEncoder, tokenizer_file, max_length, labels)


def load_tokenizer(file: Path) -> Tokenizer:
    """Load a tokenizer that neither cuts nor pads, and that keeps to one thread.

    The processes of `kdpipe.data.pipeline` are the parallelism, so that the number of threads is
    the number asked for; an environment that sets TOKENIZERS_PARALLELISM itself is heeded.

    Raises:
        DataError: there is no such file.
    """
    if not file.is_file():
        raise DataError(f"{file}: expected a tokenizer.json, found none; make the tokenizer first")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id of the token for what is not in the vocabulary; None if there is no such."""
    model = json.loads(tokenizer.to_str())["model"]
    if "unk_id" in model:
        return None if model["unk_id"] is None else int(model["unk_id"])
    token = model.get("unk_token")
    return None if token is None else tokenizer.token_to_id(token)


def _first_answer(example: Example) -> Answer | None:
    first = example.label[0] if isinstance(example.label, tuple) and example.label else None
    return first if isinstance(first, Answer) else None


def _names(
    examples: Sequence[Example], origins: NDArray[np.integer], pieces: NDArray[np.integer]
) -> list[str]:
    """Return the id of each row: its example's, and for later pieces of the example `id#piece`."""
    return [
        f"{examples[origin].id}#{piece}" if piece else examples[origin].id
        for origin, piece in zip(origins.tolist(), pieces.tolist(), strict=True)
    ]


def _flat(encodings: Sequence[Encoding]) -> tuple[Ids, Ids]:
    lengths = np.fromiter(map(len, encodings), np.int32, len(encodings))
    ids = chain.from_iterable(encoding.ids for encoding in encodings)
    return np.fromiter(ids, np.int32, int(lengths.sum())), lengths


def _lists(values: NDArray[np.integer], lengths: Ids) -> pa.ListArray:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def _batch(
    names: list[str], ids: Ids, lengths: Ids, extra: dict[str, pa.Array] | None = None
) -> pa.RecordBatch:
    columns = {"id": pa.array(names, pa.string()), "input_ids": _lists(ids, lengths)}
    columns |= extra or {}
    columns["length"] = pa.array(lengths)
    return pa.RecordBatch.from_pydict(columns)
