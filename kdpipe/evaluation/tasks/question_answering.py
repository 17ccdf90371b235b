"""Question answering: the piece of a context that answers a question, or that there is none."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from kdpipe.data.encoded import EncodedSplit, examples_file, ragged
from kdpipe.evaluation.answers import answer_metrics, answer_scores
from kdpipe.evaluation.metrics import mean
from kdpipe.evaluation.task import USUAL_ANSWERS, AnswerLimits, Evaluation, Subject, Task, run_batches

# So many starts and ends of each window are combined, and so many answers stay.
N_BEST = 20
CANDIDATE = pa.struct([("text", pa.string()), ("score", pa.float32())])


class QuestionAnswering(Task):
    """F1 and exact match of SQuAD, or of CMRC 2018 where the text is Chinese (`kdpipe.evaluation.answers`).

    The best answers of a window combine its 20 most likely starts and ends, and have at most the length of
    `AnswerLimits`. The answer to a question is the best answer over its windows. The score of an answer is
    the sum of its two logits. If some questions of the split have no answer, the best answer must reach the
    lowest score of the first token over the windows, less the threshold; else there is no answer.

    Reference:
        Devlin et al. 2018, BERT (arXiv 1810.04805), sections 4.2 and 4.3; `run_qa.py` of transformers.
    """

    encoder = "kdpipe.data.windows:QuestionEncoder"
    kind = "categorical"
    positions = "spans"
    metrics = ("f1", "exact_match")
    all_metrics = ("f1", "exact_match", "has_answer_f1", "has_answer_exact_match", "no_answer_accuracy")

    @staticmethod
    def evaluate(subject: Subject) -> Evaluation:
        """Score a model by its best answers.

        In the predictions, `scores` is the score of the best answer minus the score of no answer, `nbest`
        has the best answers with their scores, and `exact_match` and `f1` are those of each question.
        """
        search = AnswerSearch(subject.split, subject.answers)
        for indices, _, logits in run_batches(subject, "spans"):
            search.add(indices, logits.cpu().numpy())
        return search.evaluation(subject.metrics)

    @staticmethod
    def parts(predictions: pa.Table, classes: Sequence[str]) -> NDArray[np.float64]:
        """Return F1, exact match and 1 of each question: where it has an answer, and where not [N, 6]."""
        names = ("f1", "exact_match")
        scores = np.stack([*(predictions[name].to_numpy() for name in names), np.ones(len(predictions))], 1)
        answerable = predictions["label"].is_valid().to_numpy()[:, None]
        return np.concatenate([scores * answerable, scores * ~answerable], 1)

    @staticmethod
    def from_sums(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return F1 and exact match of all questions, and of those with an answer and without."""
        has, lacks = np.split(sums, 2, 1)
        whole = has + lacks
        return {
            "f1": mean(whole[:, 0], whole[:, 2]),
            "exact_match": mean(whole[:, 1], whole[:, 2]),
            "has_answer_f1": mean(has[:, 0], has[:, 2]),
            "has_answer_exact_match": mean(has[:, 1], has[:, 2]),
            "no_answer_accuracy": mean(lacks[:, 1], lacks[:, 2]),
        }


class AnswerSearch:
    """The windows of a split, and their best answers within some limits so far."""

    def __init__(self, split: EncodedSplit, limits: AnswerLimits = USUAL_ANSWERS) -> None:
        self._example, self._starts, self._ends = (
            split.column(name).values() for name in ("example", "starts", "ends")
        )
        self._split, self._limits = split, limits
        self._none = np.empty(len(split), dtype=np.float32)
        self._found: list[pd.DataFrame] = []

    def add(self, indices: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
        """Find the best answers in some windows [B], from logits of starts and ends in turns [2B, L]."""
        start, end = logits[0::2], logits[1::2]
        self._none[indices] = start[:, 0] + end[:, 0]
        lengths, offsets = self._split.lengths[indices], self._split.offsets[indices]
        in_context = np.zeros(start.shape, dtype=bool)
        in_context[np.arange(start.shape[1]) < lengths[:, None]] = self._starts[ragged(offsets, lengths)] >= 0
        rows, first, last, scores = best_spans(start, end, in_context, self._limits.longest)
        places = offsets[rows]
        spans = {
            "example": self._example[indices[rows]],
            "score": scores,
            "start": self._starts[places + first],
            "end": self._ends[places + last],
        }
        self._found.append(pd.DataFrame(spans))

    def evaluation(self, metrics: Sequence[str]) -> Evaluation:
        """Return the metrics after all windows; all metrics if some questions have no answer."""
        examples = pq.read_table(examples_file(self._split.path.parent, self._split.split))
        contexts = examples["context"].to_pylist()
        known = self._split.labels is not None
        answers = [[answer["text"] for answer in golds or ()] for golds in examples["answers"].to_pylist()]
        candidates = self._n_best(contexts)
        best = candidates.drop_duplicates("example").set_index("example").reindex(range(len(contexts)))
        margins = best["score"].fillna(-np.inf) - self._none_scores(len(contexts))
        predictions = best["text"].fillna("")
        if known and not all(answers):
            predictions = predictions.where(-margins <= self._limits.threshold, "")
        columns = {"id": examples["id"], "prediction": pa.array(predictions, pa.string())}
        if known:
            columns["label"] = pa.array([golds[0] if golds else None for golds in answers], pa.string())
        columns |= {"scores": pa.array(margins, pa.float32()), "nbest": _lists(candidates, len(contexts))}
        measured = {}
        if known:
            scores = answer_scores(predictions.tolist(), answers, contexts)
            measured = answer_metrics(scores, np.array([bool(golds) for golds in answers]))
            columns |= {"exact_match": scores[:, 0], "f1": scores[:, 1]}
        others = () if all(answers) else measured
        reported = [name for name in dict.fromkeys((*metrics, *others)) if name in measured]
        return Evaluation({name: measured[name] for name in reported}, len(contexts), pa.table(columns))

    def _n_best(self, contexts: Sequence[str]) -> pd.DataFrame:
        """Return the best answers of each question; windows that overlap may both have found one."""
        spans = pd.concat(self._found).sort_values(["example", "score"], ascending=[True, False])
        spans = spans.drop_duplicates(["example", "start", "end"]).groupby("example").head(N_BEST)
        places = zip(spans["example"], spans["start"], spans["end"], strict=True)
        return spans.assign(text=[contexts[example][start:end].strip() for example, start, end in places])

    def _none_scores(self, size: int) -> NDArray[np.float32]:
        """Return the score of giving no answer to each question, the lowest of its windows."""
        none = np.full(size, np.inf, dtype=np.float32)
        np.minimum.at(none, self._example, self._none)
        return none


def best_spans(
    start: NDArray[np.float32], end: NDArray[np.float32], allowed: NDArray[np.bool_], longest: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return window, first token, last token and score of the best answers of each window, best first.

    Logits are [B, L], and so is whether a token is allowed in an answer, of the longest length in tokens.
    """
    windows = np.arange(len(start))[:, None]
    first, last = (_best(np.where(allowed, logits, -np.inf)) for logits in (start, end))
    scores = start[windows, first][:, :, None] + end[windows, last][:, None, :]
    length = last[:, None, :] - first[:, :, None] + 1
    possible = allowed[windows, first][:, :, None] & allowed[windows, last][:, None, :]
    scores[~(possible & (length >= 1) & (length <= longest))] = -np.inf
    scores = scores.reshape(len(start), -1)
    pairs = _best(scores)
    window, rank = np.nonzero(scores[windows, pairs] > -np.inf)
    pair = pairs[window, rank]
    one, other = np.divmod(pair, last.shape[1])
    return window, first[window, one], last[window, other], scores[window, pair]


def _best(values: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the places of the largest values of each row; among equal values the first comes first."""
    return np.argsort(-values, axis=1, kind="stable")[:, :N_BEST]


def _lists(answers: pd.DataFrame, size: int) -> pa.ListArray:
    ends = np.cumsum(np.bincount(answers["example"], minlength=size))
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    columns = [
        pa.array(answers[name], field.type) for name, field in zip(("text", "score"), CANDIDATE, strict=True)
    ]
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(columns, fields=list(CANDIDATE)))
