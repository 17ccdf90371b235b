"""Scores of answers equal the definitions of SQuAD v1.1, SQuAD v2.0 and CMRC 2018, repeated here."""

import random
import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from kdpipe.evaluation.answers import answer_metrics, answer_scores, cmrc_score, is_chinese, squad_score

ENGLISH = [
    "the",
    "a",
    "An",
    "theatre",
    "U.S.",
    "u s",
    "café",
    "1,000",
    "-",
    "'s",
    "?",
    "river",
    "River,",
    "of  ",
]
CHINESE = ["北", "京", "，", "2018", "年", "Nexon", "3.5", "《", "》", "-", " ", "a b", "。", "…", "("]  # noqa: RUF001
EDGES = ["", " ", "the", "a an the", "...", "The river", "river", "of the river", "Rivers"]


def words(text: str) -> list[str]:
    """Normalise as both evaluations of SQuAD do."""
    text = "".join(char for char in text.lower() if char not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def overlap(found: list[str], gold: list[str]) -> float:
    same = sum((Counter(found) & Counter(gold)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(found), same / len(gold)
    return 2 * precision * recall / (precision + recall)


def version_1(prediction: str, answers: list[str]) -> tuple[float, float]:
    exact = max(float(words(prediction) == words(gold)) for gold in answers)
    return exact, max(overlap(words(prediction), words(gold)) for gold in answers)


def version_2(prediction: str, answers: list[str]) -> tuple[float, float]:
    golds = [gold for gold in answers if words(gold)] or [""]
    exact, f1 = [], []
    for gold in golds:
        same = float(words(prediction) == words(gold))
        exact.append(same)
        f1.append(overlap(words(prediction), words(gold)) if words(prediction) and words(gold) else same)
    return max(exact), max(f1)


def cmrc(prediction: str, answers: list[str]) -> tuple[float, float]:
    """Find the longest common run as the original does, with a table."""
    exact = max(float(plain(prediction) == plain(gold)) for gold in answers)
    f1 = []
    for gold in answers:
        one, other = characters(gold), characters(prediction)
        table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
        for i, left in enumerate(one):
            for j, right in enumerate(other):
                table[i + 1][j + 1] = table[i][j] + 1 if left == right else 0
        run = max(map(max, table))
        precision, recall = (run / len(other), run / len(one)) if run else (0.0, 0.0)
        f1.append(2 * precision * recall / (precision + recall) if run else 0.0)
    return exact, max(f1)


def plain(text: str) -> str:
    left_out = [*"-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』"]  # noqa: RUF001
    return "".join(char for char in text.lower().strip() if char not in left_out)


def characters(text: str) -> list[str]:
    """Split Chinese into characters, and other text at blanks and signs; numbers keep their points."""
    found, run = [], ""
    for char in f"{plain(text)}北":
        if "\u4e00" <= char <= "\u9fa5":
            found += [part for part in re.split(r"\s+|([()…])", run) if part]
            found.append(char)
            run = ""
        else:
            run += char
    return found[:-1]


def texts(pieces: list[str], count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(pieces, k=rng.randint(0, 5))) for _ in range(count)]


def test_squad_on_random_answers_and_on_all_pairs_of_edge_cases() -> None:
    pairs = list(zip(texts(ENGLISH, 2000, 1), texts(ENGLISH, 2000, 2), texts(ENGLISH, 2000, 3), strict=True))
    pairs += [(one, other, third) for one in EDGES for other in EDGES for third in EDGES]
    for prediction, *answers in pairs:
        assert squad_score(prediction, answers, version2=False) == version_1(prediction, answers)
        assert squad_score(prediction, answers, version2=True) == version_2(prediction, answers)
    for prediction in EDGES:
        assert squad_score(prediction, [], version2=True) == version_2(prediction, [])


def test_versions_differ_where_an_answer_is_but_an_article() -> None:
    assert squad_score("a", ["the"], version2=False) == (1.0, 0.0)
    assert squad_score("a", ["the"], version2=True) == (1.0, 1.0)
    assert squad_score("river", ["the", "river"], version2=True) == (1.0, 1.0)


def test_cmrc_on_random_answers() -> None:
    rng = random.Random(0)
    for _ in range(2000):
        prediction, *answers = ("".join(rng.choices(CHINESE, k=rng.randint(1, 8))) for _ in range(3))
        assert cmrc_score(prediction, answers) == cmrc(prediction, answers)


@pytest.mark.parametrize(
    ("prediction", "answer", "exact", "f1"),
    [
        ("《北京》", "北京", 1.0, 1.0),
        ("北京大学", "北京", 0.0, 2 / 3),
        ("北大京", "北京", 0.0, 0.4),
        ("在2018年", "2018年", 0.0, 0.8),
        ("", "北京", 0.0, 0.0),
    ],
)
def test_chinese_is_compared_by_character(prediction: str, answer: str, exact: float, f1: float) -> None:
    assert cmrc_score(prediction, [answer]) == pytest.approx((exact, f1))


def measured(
    predictions: Sequence[str], answers: Sequence[Sequence[str]], contexts: Sequence[str]
) -> dict[str, float]:
    """Return the metrics of answers."""
    scores = answer_scores(predictions, answers, contexts)
    return answer_metrics(scores, np.array([bool(golds) for golds in answers]))


def test_the_language_is_told_from_the_text() -> None:
    assert is_chinese(["北京在哪里", "Nexon 开发的游戏"])
    assert not is_chinese(["Beijing (北京) is the capital of China.", ""])
    assert measured(["北"], [["北京"]], ["北京在哪里"])["f1"] == pytest.approx(2 / 3)
    assert measured(["北"], [["北京"]], ["Where is Beijing (北京) on the map?"])["f1"] == 0.0


def test_questions_without_an_answer_are_told_apart() -> None:
    predictions, answers = ["the river", "", "sea", ""], [["river"], ["sea"], [], []]
    assert measured(predictions, answers, ["x"] * 4) == {
        "f1": 0.5,
        "exact_match": 0.5,
        "has_answer_f1": 0.5,
        "has_answer_exact_match": 0.5,
        "no_answer_accuracy": 0.5,
    }
    assert list(measured([""], [[]], ["x"])) == ["f1", "exact_match", "no_answer_accuracy"]
    told = list(measured(["a"], [["b"]], ["x"]))
    assert told == ["f1", "exact_match", "has_answer_f1", "has_answer_exact_match"]
