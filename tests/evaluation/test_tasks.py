"""Scores equal their definitions."""

import math
from pathlib import Path

import pytest
import torch

from kdpipe.evaluation.scoring import score
from kdpipe.evaluation.tasks.language_modeling import LanguageModeling
from kdpipe.models.loading import load_model, load_tokenizer


def test_accuracy_and_predictions_follow_the_logits(classifier: Path, task_data: Path) -> None:
    model, tokenizer = load_model(classifier), load_tokenizer(classifier)
    run: list[int] = []
    evaluation = score(
        model, tokenizer, task_data, "validation", seed=1, probability=0.15, advance=run.append
    )
    rows = evaluation.predictions.to_pylist()
    assert evaluation.n == len(rows) == sum(run) == 40
    assert tuple(evaluation.metrics) == ("accuracy", "f1")
    right = sum(row["prediction"] == row["label"] for row in rows)
    assert evaluation.metrics["accuracy"] == right / 40
    for row in rows:
        assert row["prediction"] == ("1" if row["scores"][1] > row["scores"][0] else "0")


def test_logits_do_not_depend_on_batch_mates(classifier: Path, task_data: Path) -> None:
    import pyarrow.parquet as pq

    model, tokenizer = load_model(classifier), load_tokenizer(classifier)
    rows = score(model, tokenizer, task_data, "validation", seed=1, probability=0.15).predictions
    encoded = pq.read_table(task_data / "validation.parquet").to_pylist()
    for row, example in list(zip(rows.to_pylist(), encoded, strict=True))[:5]:
        assert row["id"] == example["id"]
        with torch.no_grad():
            logits = model(torch.tensor([example["input_ids"]])).logits[0]
        assert row["scores"] == pytest.approx(logits.tolist(), abs=1e-5)


def test_perplexity_is_that_of_the_masked_tokens(language_model: Path, text_data: Path) -> None:
    model, tokenizer = load_model(language_model), load_tokenizer(language_model)
    evaluation = score(model, tokenizer, text_data, "validation", seed=1, probability=0.15)
    assert tuple(evaluation.metrics) == LanguageModeling.metrics
    rows = evaluation.predictions.to_pylist()
    total = sum(row["cross_entropy"] for row in rows)
    assert evaluation.n == sum(row["targets"] for row in rows)
    assert evaluation.metrics["perplexity"] == pytest.approx(math.exp(total / evaluation.n))


def test_an_untrained_uniform_model_has_the_perplexity_of_its_vocabulary(
    language_model: Path, text_data: Path
) -> None:
    model, tokenizer = load_model(language_model), load_tokenizer(language_model)
    with torch.no_grad():
        for parameter in model.cls.parameters():
            parameter.zero_()
    evaluation = score(model, tokenizer, text_data, "validation", seed=1, probability=0.15)
    assert evaluation.metrics["perplexity"] == pytest.approx(len(tokenizer), rel=1e-4)


def test_masks_follow_the_seed(language_model: Path, text_data: Path) -> None:
    model, tokenizer = load_model(language_model), load_tokenizer(language_model)
    values = [
        score(model, tokenizer, text_data, "validation", seed=seed, probability=0.15).metrics["cross_entropy"]
        for seed in (1, 1, 2)
    ]
    assert values[0] == values[1] != values[2]
