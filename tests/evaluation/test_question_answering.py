"""Answers are the best spans over the windows of a question, as a plain search finds them."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from kdpipe.data.encoded import EncodedSplit
from kdpipe.data.preprocess import write_dataset
from kdpipe.data.sources.squad import SquadSource
from kdpipe.evaluation.scoring import score
from kdpipe.evaluation.task import AnswerLimits, Evaluation
from kdpipe.evaluation.tasks.question_answering import (
    N_BEST,
    AnswerSearch,
    QuestionAnswering,
    best_spans,
)
from kdpipe.models.creation import create_language_model, train_wordpiece
from kdpipe.models.loading import Head, load_model, load_tokenizer, load_with_head, save_model
from tests.encoded import read_split
from tests.tolerance import rounding

LIMITS = AnswerLimits(longest=6)
Rows = list[dict[str, Any]]


def evaluate(model: Any, reader: Path, data: Path, limits: AnswerLimits = LIMITS) -> Any:
    tokenizer = load_tokenizer(reader)
    return score(model, tokenizer, EncodedSplit(data, "validation"), seed=1, answers=limits)


def rows_of(data: Path, split: str = "validation") -> tuple[Rows, Rows]:
    return read_split(data, split).to_pylist(), pq.read_table(data / f"{split}.examples.parquet").to_pylist()


def search(model: Any, windows: Rows, context: str) -> tuple[dict[tuple[int, int], float], float]:
    """Return the score of each span of a context, and the score of no answer, from pairs of tokens."""
    spans: dict[tuple[int, int], float] = {}
    none = np.inf
    for window in windows:
        with torch.no_grad():
            output = model(
                torch.tensor([window["input_ids"]]), token_type_ids=torch.tensor([window["token_type_ids"]])
            )
        start, end = output.start_logits[0].tolist(), output.end_logits[0].tolist()
        none = min(none, start[0] + end[0])
        allowed = [place for place, char in enumerate(window["starts"]) if char >= 0]
        first, last = (sorted(allowed, key=lambda place: -logits[place])[:N_BEST] for logits in (start, end))
        for i in first:
            for j in last:
                if i <= j < i + LIMITS.longest:
                    span = window["starts"][i], window["ends"][j]
                    spans[span] = max(spans.get(span, -np.inf), start[i] + end[j])
    return spans, none


def test_answers_are_those_of_a_search(reader: Path, question_data: Path) -> None:
    model = load_model(reader).eval()
    windows, examples = rows_of(question_data)
    # The scores of half of the answers exceed this threshold.
    median = np.median(evaluate(model, reader, question_data).predictions["scores"].to_numpy())
    limits = AnswerLimits(LIMITS.longest, threshold=-median)
    found = evaluate(model, reader, question_data, limits).predictions.to_pylist()
    assert [row["id"] for row in found] == [example["id"] for example in examples]
    assert len(windows) > len(examples)
    assert sum(bool(row["prediction"]) for row in found) == len(found) // 2
    for number, (row, example) in enumerate(zip(found[:12], examples[:12], strict=True)):
        context = example["context"]
        spans, none = search(model, [w for w in windows if w["example"] == number], context)
        best = sorted(spans.items(), key=lambda item: -item[1])[:N_BEST]
        assert [answer["text"] for answer in row["nbest"]] == [context[s:t] for (s, t), _ in best]
        assert [answer["score"] for answer in row["nbest"]] == pytest.approx(
            [v for _, v in best], abs=rounding()
        )
        assert row["scores"] == pytest.approx(best[0][1] - none, abs=rounding())
        assert row["prediction"] == (row["nbest"][0]["text"] if row["scores"] > median else "")
        assert row["label"] == (example["answers"][0]["text"] if example["answers"] else None)


def test_metrics_are_of_questions(reader: Path, question_data: Path) -> None:
    run: list[int] = []
    evaluation = score(
        load_model(reader),
        load_tokenizer(reader),
        EncodedSplit(question_data, "validation"),
        seed=1,
        advance=run.append,
    )
    rows = evaluation.predictions.to_pylist()
    assert evaluation.n == len(rows) == 32
    assert sum(run) == len(EncodedSplit(question_data, "validation"))
    assert tuple(evaluation.metrics)[:2] == QuestionAnswering.metrics
    right = [row["prediction"] == (row["label"] or "") for row in rows]
    assert evaluation.metrics["exact_match"] == pytest.approx(np.mean(right))
    none = [not row["prediction"] for row in rows if row["label"] is None]
    assert evaluation.metrics["no_answer_accuracy"] == np.mean(none)
    assert {"has_answer_f1", "has_answer_exact_match"} < set(evaluation.metrics)


def test_a_threshold_asks_for_surer_answers(reader: Path, question_data: Path) -> None:
    model = load_model(reader)
    for threshold, given in ((-1e3, 0), (1e3, 32)):
        limits = AnswerLimits(threshold=threshold)
        rows = evaluate(model, reader, question_data, limits).predictions.to_pylist()
        assert sum(bool(row["prediction"]) for row in rows) == given


def test_every_question_is_answered_where_all_can_be(
    reader: Path, question_data: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(question_data, tmp_path / "data")
    file = data / "validation.examples.parquet"
    table = pq.read_table(file)
    rows = [
        {**row, "answers": row["answers"] or [{"start": 0, "text": row["context"].split()[0]}]}
        for row in table.to_pylist()
    ]
    pq.write_table(table.from_pylist(rows, table.schema), file)
    evaluation = evaluate(load_model(reader), reader, data)
    assert tuple(evaluation.metrics) == QuestionAnswering.metrics
    assert all(row["prediction"] for row in evaluation.predictions.to_pylist())
    asked = score(
        load_model(reader),
        load_tokenizer(reader),
        EncodedSplit(data, "validation"),
        seed=1,
        metrics=QuestionAnswering.all_metrics,
        answers=LIMITS,
    ).metrics
    assert tuple(asked) == ("f1", "exact_match", "has_answer_f1", "has_answer_exact_match")
    assert asked["has_answer_f1"] == asked["f1"] == evaluation.metrics["f1"]


def test_questions_without_known_answers_are_answered(
    reader: Path, squad: Path, language_model: Path, tmp_path: Path
) -> None:
    content = json.loads((squad / "dev-v2.0.json").read_text())
    for paragraph in content["data"][0]["paragraphs"]:
        for question in paragraph["qas"]:
            del question["answers"], question["is_impossible"]
    (tmp_path / "test.json").write_text(json.dumps(content), encoding="utf-8")
    files = {"train": squad / "train-v2.0.json", "test": tmp_path / "test.json"}
    source = SquadSource(task="question_answering", files=files)
    tokenizer = language_model / "tokenizer.json"
    write_dataset(tmp_path, source, tokenizer, task="question_answering", max_length=40, stride=8)
    model = load_model(reader)
    evaluation = score(model, load_tokenizer(reader), EncodedSplit(tmp_path, "test"), seed=1)
    assert evaluation.metrics == {}
    rows = evaluation.predictions.to_pylist()
    assert list(rows[0]) == ["id", "prediction", "scores", "nbest"]
    assert [row["prediction"] for row in rows] == [row["nbest"][0]["text"] for row in rows]


def knowing(data: Path, longest: int = 30) -> Evaluation:
    """Return the scores of a model whose logits are high only at the labels."""
    search = AnswerSearch(split := EncodedSplit(data, "validation"), AnswerLimits(longest))
    assert split.labels is not None
    width = int(split.lengths.max())
    logits = np.full((len(split), 2, width), -9.0, dtype=np.float32)
    np.put_along_axis(logits, split.labels[:, :, None], 9.0, axis=2)
    for windows in np.array_split(np.arange(len(split)), 5):
        search.add(windows, logits[windows].reshape(-1, width))
    return search.evaluation(QuestionAnswering.metrics)


def test_a_model_that_knows_finds_all_answers(question_data: Path) -> None:
    metrics = knowing(question_data).metrics
    assert metrics == dict.fromkeys(metrics, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "questions", "found", "all_found"),
    [("squad/xquad.en.json", 1190, 1185, 1185), ("zh/CMRC2018/trial.json", 997, 660, 960)],
)
def test_real_answers_are_found_unless_they_are_long(
    name: str, questions: int, found: int, all_found: int, tmp_path: Path
) -> None:
    file = Path(os.environ.get("KDPIPE_DATA", "none"), name)
    if not file.is_file():
        pytest.skip(f"KDPIPE_DATA has no {name}")
    source = SquadSource(task="question_answering", files={"validation": file})
    contexts = [example.text_pair or "" for example in source.read("validation")]
    train_wordpiece(lambda: contexts, vocab_size=6000, max_length=384).save_pretrained(tmp_path)
    tokenizer = tmp_path / "tokenizer.json"
    write_dataset(tmp_path, source, tokenizer, task="question_answering", max_length=384, stride=128)
    # A third of the answers in Chinese are longer than 30 characters.
    for longest, least in ((30, found), (300, all_found)):
        rows = knowing(tmp_path, longest).predictions.to_pylist()
        assert len(rows) == questions
        right = sum(row["prediction"] == row["label"] for row in rows)
        assert right >= least, (longest, right)


def test_spans_are_in_order_and_not_too_long() -> None:
    rng = np.random.default_rng(0)
    start, end = rng.normal(size=(2, 6, 90)).astype(np.float32)
    allowed = np.zeros((6, 90), dtype=bool)
    allowed[:4, 10:80] = True
    allowed[4, 20] = True
    window, first, last, scores = best_spans(start, end, allowed, longest=6)
    assert (first <= last).all()
    assert (last - first).max() == 5
    assert allowed[window, first].all()
    assert allowed[window, last].all()
    np.testing.assert_allclose(scores, start[window, first] + end[window, last])
    assert np.bincount(window, minlength=6).tolist() == [N_BEST] * 4 + [1, 0]
    assert (np.diff(scores)[np.diff(window) == 0] <= 0).all()


def test_answers_in_chinese(tmp_path: Path) -> None:
    context = "北京是中国的首都，上海是最大的城市。"  # noqa: RUF001
    text = "首都在哪里"
    question = {"id": "a", "question": text, "answers": [{"text": "北京", "answer_start": 0}]}
    content = {"version": "v1.0", "data": [{"paragraphs": [{"context": context, "qas": [question]}]}]}
    (tmp_path / "dev.json").write_text(json.dumps(content), encoding="utf-8")
    tokenizer = train_wordpiece(lambda: [context, text], vocab_size=60, max_length=64)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    save_model(create_language_model("bert", sizes, len(tokenizer), seed=1), tokenizer, tmp_path / "base")
    model = load_with_head(tmp_path / "base", Head("question_answering"), seed=1)
    source = SquadSource(task="question_answering", files={"validation": tmp_path / "dev.json"})
    (tmp_path / "data").mkdir()
    write_dataset(
        tmp_path / "data",
        source,
        tmp_path / "base" / "tokenizer.json",
        task="question_answering",
        max_length=64,
        stride=8,
    )
    (row,) = score(
        model, tokenizer, EncodedSplit(tmp_path / "data", "validation"), seed=1, probability=0
    ).predictions.to_pylist()
    assert row["prediction"] in context
    assert row["label"] == "北京"
