"""Questions on long contexts as windows: the question before a piece of its context, the pieces overlapping.

Tokens are arrays [4, N] of ids, of segment ids, and of where each token starts and ends in the context, in
characters; -1 for tokens that are not of the context.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from kdpipe.data.encoding import Encoded, Filler, lists, load_tokenizer, row_names, to_batch
from kdpipe.data.source import Answer, Example
from kdpipe.errors import DataError

Tokens = NDArray[np.int32]
START, END = 2, 3


class Frame(NamedTuple):
    """How a tokenizer joins a question and a context.

    Args:
        before: the special tokens before the question.
        between: those between question and context.
        after: those after the context.
        segments: segment ids of the question's and of the context's tokens.
    """

    before: Tokens
    between: Tokens
    after: Tokens
    segments: tuple[int, int]

    @property
    def size(self) -> int:
        """Number of special tokens."""
        return sum(part.shape[1] for part in (self.before, self.between, self.after))


class Windows(NamedTuple):
    """The windows of some questions.

    Args:
        tokens: tokens of all windows, one after the other.
        lengths: tokens of each window.
        spans: places of the first and the last token of the answer in each window [W, 2], both 0 in one that
            does not hold the whole answer.
        origins: for each, the position of its question.
        pieces: for each, which window of its question it is, from 0.
        counts: questions that were cut, `cut_questions`, and answers that no window holds, `cut_answers`.
    """

    tokens: Tokens
    lengths: Tokens
    spans: Tokens
    origins: Tokens
    pieces: Tokens
    counts: Counter[str]


class QuestionEncoder:
    """Questions on contexts, in windows, with the place of the first answer.

    Args:
        tokenizer_file: a `tokenizer.json`.
        max_length: tokens of a window, special ones included.
        stride: tokens of the context that a window shares with the next.
    """

    def __init__(self, tokenizer_file: Path, max_length: int, stride: int) -> None:
        self._tokenizer = load_tokenizer(tokenizer_file)
        self._frame = read_frame(self._tokenizer)
        self._filler = Filler(self._tokenizer)
        self._sizes = {"max_length": max_length, "stride": stride}
        longest_question(self._frame, **self._sizes)

    def __call__(self, examples: Sequence[Example]) -> Encoded:
        """Encode questions that all have answers that are known or none; a later window is `id#window`.

        The column `example` has the position of the question among the examples.
        """
        encodings = self._tokenizer.encode_batch_fast([e.text for e in examples], add_special_tokens=False)
        without: dict[str, int] = {}
        if not self._frame.size:
            encodings, without = self._filler.fill(examples, encodings)
        questions = [question_tokens(encoding, self._frame) for encoding in encodings]
        answers = [_first_answer(example) for example in examples]
        found = cut_windows(self._frame, questions, self._contexts(examples), answers, **self._sizes)
        ids, *others = found.tokens
        segments, starts, ends = (lists(values, found.lengths) for values in others)
        names = row_names(examples, found.origins, found.pieces)
        counts = Counter(examples=len(examples), rows=len(names), tokens=len(ids))
        counts.update(found.counts, **without)
        extra = {"token_type_ids": segments.cast(pa.list_(pa.int8()))}
        if examples[0].label is not None:
            extra["labels"] = pa.FixedSizeListArray.from_arrays(pa.array(found.spans.ravel()), 2)
            counts["windows_without_answer"] = int(np.count_nonzero(found.spans[:, 1] == 0))
        extra |= {"example": pa.array(found.origins), "starts": starts, "ends": ends}
        return Encoded(to_batch(names, ids, found.lengths, extra), counts)

    def _contexts(self, examples: Sequence[Example]) -> list[Tokens]:
        """Return the tokens of each context; one that several questions are asked of is encoded once."""
        texts = dict.fromkeys(example.text_pair or "" for example in examples)
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        tokens = {text: context_tokens(e, self._frame) for text, e in zip(texts, encodings, strict=True)}
        return [tokens[example.text_pair or ""] for example in examples]


def read_frame(tokenizer: Tokenizer) -> Frame:
    """Return how a tokenizer joins a question and a context."""
    pair = tokenizer.encode("question", "context")
    question, context = (np.flatnonzero([part == wanted for part in pair.sequence_ids]) for wanted in (0, 1))
    if not len(question) or not len(context) or question[0] > context[0]:
        raise DataError(
            "expected a tokenizer that puts a question before its context, found one that makes"
            f" {' '.join(pair.tokens)!r} of 'question' and 'context'"
        )
    tokens = _outside(pair.ids, pair.type_ids)
    return Frame(
        before=tokens[:, : question[0]],
        between=tokens[:, question[-1] + 1 : context[0]],
        after=tokens[:, context[-1] + 1 :],
        segments=(pair.type_ids[question[0]], pair.type_ids[context[0]]),
    )


def question_tokens(encoding: Encoding, frame: Frame) -> Tokens:
    """Return the tokens of a question that was encoded without special ones."""
    return _outside(encoding.ids, [frame.segments[0]] * len(encoding))


def context_tokens(encoding: Encoding, frame: Frame) -> Tokens:
    """Return the tokens of a context that was encoded without special ones."""
    tokens = _outside(encoding.ids, [frame.segments[1]] * len(encoding))
    tokens[START:] = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2).T
    return tokens


def longest_question(frame: Frame, max_length: int, stride: int) -> int:
    """Return how many tokens of a question are kept: half of what special tokens and overlap leave."""
    longest = (max_length - frame.size - stride) // 2
    if longest < 1:
        raise DataError(
            f"expected `max_length` to leave room for question and context, found {max_length} with `stride`"
            f" {stride} and {frame.size} special tokens; give a larger `max_length` or a smaller `stride`"
        )
    return longest


def cut_windows(
    frame: Frame,
    questions: Sequence[Tokens],
    contexts: Sequence[Tokens],
    answers: Sequence[Answer | None],
    *,
    max_length: int,
    stride: int,
) -> Windows:
    """Cut contexts into windows, for each as few as hold all of it, the last one shorter.

    Args:
        frame: how questions and contexts are joined.
        questions: tokens of each question; what exceeds `longest_question` is dropped.
        contexts: tokens of each one's context.
        answers: where each one's answer is, if there is one and it is known.
        max_length: tokens of a window, special ones included.
        stride: tokens of the context that a window shares with the next.

    Reference:
        Devlin et al. 2018, BERT (arXiv 1810.04805), `run_squad.py` of its code; that the stride is the
        overlap and not the step is from `run_qa.py` of transformers.
    """
    longest = longest_question(frame, max_length, stride)
    parts: list[Tokens] = []
    rows: list[tuple[int, ...]] = []
    counts = Counter(cut_questions=0, cut_answers=0)
    for origin, (question, context, answer) in enumerate(zip(questions, contexts, answers, strict=True)):
        head = np.concatenate((frame.before, question[:, :longest], frame.between), axis=1)
        end = max_length - frame.after.shape[1]
        bodies = _bodies(context, answer, head.shape[1], end, stride)
        for piece, (body, span) in enumerate(bodies):
            parts += (head, body, frame.after)
            rows.append((head.shape[1] + body.shape[1] + frame.after.shape[1], *span, origin, piece))
        counts["cut_questions"] += question.shape[1] > longest
        counts["cut_answers"] += answer is not None and not any(any(span) for _, span in bodies)
    facts = np.array(rows, dtype=np.int32)
    lengths, origins, pieces = facts[:, 0], facts[:, 3], facts[:, 4]
    return Windows(np.concatenate(parts, axis=1), lengths, facts[:, 1:3], origins, pieces, counts)


def _outside(ids: list[int], segments: list[int]) -> Tokens:
    tokens = np.full((4, len(ids)), -1, dtype=np.int32)
    tokens[:START] = ids, segments
    return tokens


def _bodies(
    context: Tokens, answer: Answer | None, head: int, end: int, stride: int
) -> list[tuple[Tokens, tuple[int, int]]]:
    """Return the pieces that stand between `head` and `end`, each with the answer's places in its window."""
    room, answer_span = end - head, _answer_span(context, answer)
    pieces = [(start, context[:, start : start + room]) for start in _starts(context.shape[1], room, stride)]
    return [(body, _shifted(answer_span, start, body.shape[1], head)) for start, body in pieces]


def _starts(length: int, room: int, stride: int) -> range:
    step = room - stride
    more = max(0, -(-(length - room) // step))
    return range(0, (1 + more) * step, step)


def _answer_span(context: Tokens, answer: Answer | None) -> tuple[int, int]:
    """Return the first and the last token that hold a character of the answer, last < first if none does."""
    if answer is None:
        return 0, -1
    first = np.searchsorted(context[END], answer.start, side="right")
    last = np.searchsorted(context[START], answer.start + len(answer.text), side="left") - 1
    return int(first), int(last)


def _shifted(span: tuple[int, int], start: int, size: int, head: int) -> tuple[int, int]:
    """Return a span of the context's tokens by its places in the window whose piece starts at `start`."""
    first, last = span
    holds = start <= first <= last < start + size
    return (head + first - start, head + last - start) if holds else (0, 0)


def _first_answer(example: Example) -> Answer | None:
    first = example.label[0] if isinstance(example.label, tuple) and example.label else None
    return first if isinstance(first, Answer) else None
