"""Questions on long contexts as windows: the question before a piece of its context; the pieces overlap.

Tokens are arrays [4, N] of ids, of segment ids, and of the characters of the context at which each token
starts and ends, without blanks around it; -1 for tokens outside the context.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from kdpipe.data.encoding import Encoded, lists, load_fast_tokenizer, row_names, to_batch, without_empty
from kdpipe.data.source import Answer, Example
from kdpipe.errors import DataError

TokenIds = NDArray[np.int32]
START, END = 2, 3
# All characters that Python takes for blanks.
BLANKS = np.array([code for code in range(0x3001) if chr(code).isspace()], dtype=np.uint32)


class Frame(NamedTuple):
    """How a tokenizer joins a question and a context.

    Args:
        before: the special tokens before the question.
        between: the special tokens between question and context.
        after: the special tokens after the context.
        segments: segment ids of the question's and of the context's tokens.
    """

    before: TokenIds
    between: TokenIds
    after: TokenIds
    segments: tuple[int, int]

    @property
    def size(self) -> int:
        """Number of special tokens."""
        return sum(part.shape[1] for part in (self.before, self.between, self.after))


class QuestionEncoder:
    """Questions on contexts, in windows, with the place of the first answer.

    A context has as few windows as hold all of it, the last one shorter. A question longer than half of the
    room that special tokens and overlap leave is cut.

    Args:
        tokenizer_file: a `tokenizer.json`.
        max_length: tokens of a window, special ones included.
        stride: tokens of the context that a window shares with the next.

    Reference:
        Devlin et al. 2018, BERT (arXiv 1810.04805), `run_squad.py` of its code; that the stride is the
        overlap and not the step is from `run_qa.py` of transformers.
    """

    def __init__(self, tokenizer_file: Path, max_length: int, stride: int) -> None:
        self._tokenizer = load_fast_tokenizer(tokenizer_file)
        self._frame = read_frame(self._tokenizer)
        self._end, self._stride = max_length - self._frame.after.shape[1], stride
        self._longest_question = (max_length - self._frame.size - stride) // 2
        if self._longest_question < 1:
            raise DataError(
                "expected `max_length` to leave room for question and context, found"
                f" {max_length} with `stride` {stride} and {self._frame.size} special tokens; give a larger"
                " `max_length` or a smaller `stride`"
            )

    def __call__(self, examples: Sequence[Example]) -> Encoded:
        """Encode questions, all or none with known answers; a later window is named `id#window`.

        The column `example` has the position of the question among the examples.
        """
        texts = [example.text for example in examples]
        encodings: Sequence[Encoding] = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        without: dict[str, int] = {}
        if not self._frame.size:
            encodings, without = without_empty(self._tokenizer, examples, encodings)
        questions = [_outside(e.ids, [self._frame.segments[0]] * len(e)) for e in encodings]
        cuts: Counter[str] = Counter(cut_questions=0, cut_answers=0)
        tokens, rows = self._cut(examples, questions, cuts)
        lengths, spans, origins, pieces = rows[:, 0], rows[:, 1:3], rows[:, 3], rows[:, 4]
        ids, *others = tokens
        segments, starts, ends = (lists(values, lengths) for values in others)
        names = row_names(examples, origins, pieces)
        counts = Counter(examples=len(examples), rows=len(names), tokens=len(ids), **cuts, **without)
        extra = {"token_type_ids": segments.cast(pa.list_(pa.int8()))}
        if examples[0].label is not None:
            extra["labels"] = pa.FixedSizeListArray.from_arrays(pa.array(spans.ravel()), 2)
            counts["windows_without_answer"] = int(np.count_nonzero(spans[:, 1] == 0))
        extra |= {"example": pa.array(origins), "starts": starts, "ends": ends}
        return Encoded(to_batch(names, ids, lengths, extra), counts)

    def _cut(
        self, examples: Sequence[Example], questions: Sequence[TokenIds], cuts: Counter[str]
    ) -> tuple[TokenIds, NDArray[np.int32]]:
        """Return the tokens of all windows, and of each window what follows.

        Its length; the places of the answer's first and last token, both 0 if it does not hold the whole
        answer; the position of its question; and its number among the windows of the question, from 0.
        """
        parts: list[TokenIds] = []
        rows: list[tuple[int, ...]] = []
        before, between, after, _ = self._frame
        for origin, (question, context) in enumerate(zip(questions, self._contexts(examples), strict=True)):
            head = np.concatenate((before, question[:, : self._longest_question], between), axis=1)
            answer = _first_answer(examples[origin])
            bodies = _bodies(context, answer, head.shape[1], self._end, self._stride)
            for piece, (body, span) in enumerate(bodies):
                parts += (head, body, after)
                rows.append((head.shape[1] + body.shape[1] + after.shape[1], *span, origin, piece))
            cuts["cut_questions"] += question.shape[1] > self._longest_question
            cuts["cut_answers"] += answer is not None and not any(any(span) for _, span in bodies)
        return np.concatenate(parts, axis=1), np.array(rows, dtype=np.int32)

    def _contexts(self, examples: Sequence[Example]) -> list[TokenIds]:
        """Return the tokens of each example's context; a context of several questions is encoded once."""
        texts = dict.fromkeys(example.text_pair or "" for example in examples)
        encodings = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        pairs = zip(texts, encodings, strict=True)
        tokens = {text: self._context(text, encoding) for text, encoding in pairs}
        return [tokens[example.text_pair or ""] for example in examples]

    def _context(self, text: str, encoding: Encoding) -> TokenIds:
        tokens = _outside(encoding.ids, [self._frame.segments[1]] * len(encoding))
        tokens[START:] = _without_blanks(text, np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2).T)
        return tokens


def read_frame(tokenizer: Tokenizer) -> Frame:
    """Return how a tokenizer joins a question and a context, in this order."""
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


def _without_blanks(text: str, offsets: TokenIds) -> TokenIds:
    """Return where tokens start and end [2, N] without the blanks that some tokenizers give to the next word.

    A token of blanks alone starts where it ends.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    signs = np.flatnonzero(~np.isin(codes, BLANKS))
    first, after = (np.searchsorted(signs, each) for each in offsets)
    starts = np.append(signs, len(text))[first]
    ends = np.append(signs, -1)[after - 1] + 1
    return np.where(first < after, np.stack([starts, ends]), offsets[1])


def _outside(ids: list[int], segments: list[int]) -> TokenIds:
    tokens = np.full((4, len(ids)), -1, dtype=np.int32)
    tokens[:START] = ids, segments
    return tokens


def _bodies(
    context: TokenIds, answer: Answer | None, head: int, end: int, stride: int
) -> list[tuple[TokenIds, tuple[int, int]]]:
    """Return the pieces that stand between `head` and `end`, each with the answer's places in its window."""
    room, answer_span = end - head, _answer_span(context, answer)
    step = room - stride
    last = max(0, -(-(context.shape[1] - room) // step)) * step
    pieces = [(start, context[:, start : start + room]) for start in range(0, last + 1, step)]
    return [(body, _shifted(answer_span, start, body.shape[1], head)) for start, body in pieces]


def _answer_span(context: TokenIds, answer: Answer | None) -> tuple[int, int]:
    """Return the first and the last token with a character of the answer; without any, last < first."""
    if answer is None:
        return 0, -1
    first = np.searchsorted(context[END], answer.start, side="right")
    last = np.searchsorted(context[START], answer.start + len(answer.text), side="left") - 1
    return int(first), int(last)


def _shifted(span: tuple[int, int], start: int, size: int, head: int) -> tuple[int, int]:
    """Return the places of a span of the context's tokens in the window whose piece starts at `start`."""
    first, last = span
    holds = start <= first <= last < start + size
    return (head + first - start, head + last - start) if holds else (0, 0)


def _first_answer(example: Example) -> Answer | None:
    first = example.label[0] if isinstance(example.label, tuple) and example.label else None
    return first if isinstance(first, Answer) else None
