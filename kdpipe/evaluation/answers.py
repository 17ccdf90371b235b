"""Scores of answers: exact match and F1 as SQuAD defines them, and for Chinese as CMRC 2018 does."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

import numpy as np
from numpy.typing import NDArray

ExactAndF1 = tuple[float, float]
PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLE = re.compile(r"\b(a|an|the)\b")
# The characters that the evaluation of CMRC 2018 counts as Chinese, and the signs that it leaves out.
CHINESE = re.compile("[\u4e00-\u9fa5]")
CHINESE_PUNCTUATION = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")  # noqa: RUF001
# In answers of mixed script: a Chinese character, a word or number of another script, or a sign.
SEGMENT = re.compile("[\u4e00-\u9fa5]|[^\\W\u4e00-\u9fa5]+(?:[.,][^\\W\u4e00-\u9fa5]+)*|[^\\w\\s]")
# Number of contexts that decide the language.
LANGUAGE_SAMPLE = 100


def answer_scores(
    predictions: Sequence[str], answers: Sequence[Sequence[str]], contexts: Sequence[str]
) -> NDArray[np.float64]:
    """Return exact match and F1 of each prediction [N, 2]; an empty text means no answer.

    If some questions have no answer, the scores are SQuAD v2.0's. The contexts decide the language.
    """
    version2 = not all(answers)
    chinese = is_chinese(contexts[:LANGUAGE_SAMPLE])
    scores = [
        cmrc_score(prediction, golds) if chinese else squad_score(prediction, golds, version2)
        for prediction, golds in zip(predictions, answers, strict=True)
    ]
    return np.array(scores)


def answer_metrics(scores: NDArray[np.float64], answerable: NDArray[np.bool_]) -> dict[str, float]:
    """Return mean F1 and exact match, from 0 to 1.

    Questions with and without an answer also get scores of their own, if some questions have no answer.

    Args:
        scores: exact match and F1 of each question [N, 2].
        answerable: whether each question has an answer [N].
    """
    exact, f1 = scores.T
    metrics = {"f1": f1.mean(), "exact_match": exact.mean()}
    if answerable.any():
        metrics |= {"has_answer_f1": f1[answerable].mean()}
        metrics |= {"has_answer_exact_match": exact[answerable].mean()}
    if not answerable.all():
        metrics |= {"no_answer_accuracy": exact[~answerable].mean()}
    return {name: float(value) for name, value in metrics.items()}


def squad_score(prediction: str, answers: Sequence[str], version2: bool) -> ExactAndF1:
    """Return exact match and F1 of words, each with the answer that gives the best score.

    Args:
        prediction: the predicted answer.
        answers: the right answers.
        version2: whether answers without words count as empty, and an empty answer is right if none exists.

    Reference:
        `evaluate-v1.1.py` and `evaluate-v2.0.py` of SQuAD (arXiv 1606.05250, 1806.03822).
    """
    words = normalized(prediction)
    golds = [normalized(answer) for answer in answers]
    if version2:
        golds = [gold for gold in golds if gold] or [""]
        if not words:
            return float(words in golds), float(words in golds)
    return float(words in golds), max(_word_f1(words.split(), gold.split()) for gold in golds)


def cmrc_score(prediction: str, answers: Sequence[str]) -> ExactAndF1:
    """Return exact match and F1 of the longest common run of characters, each with the best answer.

    Text in another script is split at blanks and signs. The original uses NLTK, which does nearly the same.
    For a question without an answer, an empty answer is right.

    Reference:
        Cui et al. 2019 (arXiv 1810.07366), `cmrc2018_evaluate.py`.
    """
    golds = answers or ("",)
    exact = any(_without_signs(prediction) == _without_signs(gold) for gold in golds)
    f1 = max(_run_f1(_segments(prediction), _segments(gold)) for gold in golds)
    return float(exact), f1 if answers else float(exact)


def is_chinese(texts: Sequence[str]) -> bool:
    """Tell whether most characters of the texts are Chinese."""
    count = sum(len(CHINESE.findall(text)) for text in texts)
    return 2 * count > sum(map(len, texts))


def normalized(text: str) -> str:
    """Return the words of a text in lower case, without punctuation and articles."""
    return " ".join(ARTICLE.sub(" ", text.lower().translate(PUNCTUATION)).split())


def _word_f1(predicted: Sequence[str], gold: Sequence[str]) -> float:
    common = Counter(predicted) & Counter(gold)
    return _f1(common.total(), len(predicted), len(gold))


def _run_f1(predicted: Sequence[str], gold: Sequence[str]) -> float:
    run = SequenceMatcher(None, gold, predicted, autojunk=False).find_longest_match()
    return _f1(run.size, len(predicted), len(gold))


def _f1(common: int, predicted: int, gold: int) -> float:
    if not common:
        return 0.0
    precision, recall = common / predicted, common / gold
    return 2 * precision * recall / (precision + recall)


def _without_signs(text: str) -> str:
    return text.lower().strip().translate(CHINESE_PUNCTUATION)


def _segments(text: str) -> list[str]:
    return SEGMENT.findall(_without_signs(text))
