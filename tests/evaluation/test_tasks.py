"""Scores equal their definitions."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers.processors import TemplateProcessing

from kdpipe.anatomy.signals import LOGITS
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import EncodedSplit
from kdpipe.errors import ModelError
from kdpipe.evaluation.scoring import score
from kdpipe.evaluation.tasks.language_modeling import LanguageModeling
from kdpipe.models.creation import create_body
from kdpipe.models.loading import (
    Head,
    load_frozen,
    load_model,
    load_tokenizer,
    load_with_head,
    save_model,
)
from kdpipe.signals.building import write_knowledge
from kdpipe.signals.cache import SIGNALS, CachedKnowledge
from kdpipe.signals.capture import Request, Teacher
from tests.conftest import CLASSIFICATION, write_table
from tests.encoded import read_split
from tests.tolerance import rounding

CPU = torch.device("cpu")


def test_accuracy_and_predictions_follow_the_logits(classifier: Path, task_data: Path) -> None:
    model, tokenizer = load_model(classifier), load_tokenizer(classifier)
    run: list[int] = []
    evaluation = score(model, tokenizer, EncodedSplit(task_data, "validation"), seed=1, advance=run.append)
    rows = evaluation.predictions.to_pylist()
    assert evaluation.n == len(rows) == sum(run) == 40
    assert tuple(evaluation.metrics) == ("accuracy", "f1")
    right = sum(row["prediction"] == row["label"] for row in rows)
    assert evaluation.metrics["accuracy"] == right / 40
    for row in rows:
        assert row["prediction"] == ("1" if row["scores"][1] > row["scores"][0] else "0")


def test_logits_do_not_depend_on_batch_mates(classifier: Path, task_data: Path) -> None:
    model, tokenizer = load_model(classifier), load_tokenizer(classifier)
    rows = score(model, tokenizer, EncodedSplit(task_data, "validation"), seed=1).predictions
    encoded = read_split(task_data, "validation").to_pylist()
    for row, example in list(zip(rows.to_pylist(), encoded, strict=True))[:5]:
        assert row["id"] == example["id"]
        with torch.no_grad():
            logits = model(torch.tensor([example["input_ids"]])).logits[0]
        assert row["scores"] == pytest.approx(logits.tolist(), rel=rounding(), abs=rounding())


def test_perplexity_is_that_of_the_masked_tokens(language_model: Path, text_data: Path) -> None:
    model, tokenizer = load_model(language_model), load_tokenizer(language_model)
    evaluation = score(model, tokenizer, EncodedSplit(text_data, "validation"), seed=1)
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
    evaluation = score(model, tokenizer, EncodedSplit(text_data, "validation"), seed=1)
    assert evaluation.metrics["perplexity"] == pytest.approx(len(tokenizer), rel=rounding())


def test_masks_follow_the_seed(language_model: Path, text_data: Path) -> None:
    model, tokenizer = load_model(language_model), load_tokenizer(language_model)
    values = [
        score(model, tokenizer, EncodedSplit(text_data, "validation"), seed=seed).metrics["cross_entropy"]
        for seed in (1, 1, 2)
    ]
    assert values[0] == values[1] != values[2]


def test_a_causal_model_predicts_each_token_from_those_before(
    language_model: Path, text_data: Path, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(language_model)
    shape = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "bos_token_id": 2, "eos_token_id": 3}
    save_model(create_body("gpt2", {**shape, "pad_token_id": 0}, len(tokenizer), 1), tokenizer, tmp_path)
    model = load_with_head(tmp_path, Head("language_modeling"), seed=1).eval()
    evaluation = score(model, tokenizer, EncodedSplit(text_data, "validation"), seed=1)
    total, count = 0.0, 0
    for ids in read_split(text_data, "validation")["input_ids"].to_pylist():
        with torch.no_grad():
            own = model(torch.tensor([ids]), labels=torch.tensor([ids])).loss
        total, count = total + float(own) * (len(ids) - 1), count + len(ids) - 1
    assert evaluation.n == count
    assert evaluation.metrics["cross_entropy"] == pytest.approx(total / count, rel=rounding())


@pytest.fixture
def without_special_tokens(language_model: Path, tmp_path: Path) -> Path:
    """The folder of a GPT-2 whose tokenizer adds no special tokens."""
    tokenizer = load_tokenizer(language_model)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="$A")
    shape = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64, "pad_token_id": 0}
    body = create_body("gpt2", {**shape, "bos_token_id": 2, "eos_token_id": 3}, len(tokenizer), 1)
    save_model(body, tokenizer, tmp_path)
    save_model(load_with_head(tmp_path, CLASSIFICATION, seed=1), tokenizer, tmp_path)
    return tmp_path


def test_the_logits_of_no_text_do_not_depend_on_batch_mates(
    without_special_tokens: Path, tmp_path: Path
) -> None:
    model, tokenizer = load_model(without_special_tokens), load_tokenizer(without_special_tokens)
    found = []
    for mate in ("the", "the a " * 15):
        data = tmp_path / str(len(mate))
        data.mkdir()
        rows = ["\t0", f"{mate}\t1"]
        write_table(data, "classification", tmp_path, {"train": rows, "validation": rows})
        predictions = score(model, tokenizer, EncodedSplit(data, "validation"), seed=1).predictions
        found.append(predictions["scores"].to_pylist()[0])
        collator = Collator(EncodedSplit(data, "train"), pad_id=0)
        teacher = Teacher(load_frozen(tmp_path, CLASSIFICATION, CPU), Request())
        write_knowledge(data / SIGNALS, teacher, collator, "float32", CPU)
        knowledge = CachedKnowledge(data / SIGNALS, collator.split)
        cached = knowledge.batch(np.array([0]), collator([0]))[LOGITS].values
        online = teacher(collator([1, 0]))[LOGITS].values
        found += [cached[0].tolist(), online[1].tolist()]
    for logits in found:
        assert logits == pytest.approx(found[0], abs=rounding())


def test_a_tokenizer_must_have_a_token_to_mask_with(language_model: Path, text_data: Path) -> None:
    model, tokenizer = load_model(language_model), load_tokenizer(language_model)
    tokenizer.mask_token = None
    with pytest.raises(ModelError, match="has no mask token, but a BertForMaskedLM"):
        score(model, tokenizer, EncodedSplit(text_data, "validation"), seed=1)


def test_a_model_that_diverged_has_an_infinite_perplexity(language_model: Path, text_data: Path) -> None:
    model, tokenizer = load_model(language_model), load_tokenizer(language_model)
    torch.nn.init.constant_(dict(model.named_parameters())["cls.predictions.bias"][:5], 1e5)
    metrics = score(model, tokenizer, EncodedSplit(text_data, "validation"), seed=1).metrics
    assert metrics["perplexity"] == math.inf
    assert metrics["cross_entropy"] == pytest.approx(1e5, rel=0.01)


@pytest.mark.parametrize(
    ("model", "data"),
    [("classifier", "task_data"), ("reader", "question_data"), ("language_model", "text_data")],
)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_no_scores(
    model: str, data: str, value: float, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    broken, tokenizer = load_model(folder), load_tokenizer(folder)
    torch.nn.init.constant_(list(broken.parameters())[-1], value)
    with pytest.raises(ModelError, match=rf"made from {folder} on .* are not finite"):
        score(
            broken,
            tokenizer,
            EncodedSplit(request.getfixturevalue(data), "validation"),
            seed=1,
            probability=0.15,
        )


def test_masks_do_not_depend_on_batch_mates(language_model: Path, text_data: Path) -> None:
    model, tokenizer = load_model(language_model), load_tokenizer(language_model)
    found = []
    for size in (64, 7):
        how = {"seed": 1, "batch_size": size}
        found.append(
            score(model, tokenizer, EncodedSplit(text_data, "validation"), **how).predictions.to_pydict()
        )
    assert found[0]["targets"] == found[1]["targets"]
    assert found[0]["cross_entropy"] == pytest.approx(found[1]["cross_entropy"], rel=rounding())


@pytest.mark.parametrize(("model", "data", "column"), [
    ("classifier", "task_data", "scores"), ("reader", "question_data", "scores"),
    ("language_model", "text_data", "cross_entropy"),
])  # fmt: skip
def test_the_size_of_batches_changes_no_more_than_roundings(
    model: str, data: str, column: str, request: pytest.FixtureRequest
) -> None:
    folder, encoded = request.getfixturevalue(model), request.getfixturevalue(data)
    scored, tokenizer, found = load_model(folder), load_tokenizer(folder), []
    for size in (None, 1, 7):
        counts: list[int] = []
        how = {"seed": 1, "batch_size": size, "advance": counts.append}
        rows = score(scored, tokenizer, EncodedSplit(encoded, "validation"), **how).predictions
        assert max(counts) == min(size or 64, sum(counts))
        found.append(np.array(rows[column].to_pylist()))
    for others in found[1:]:
        np.testing.assert_allclose(others, found[0], rtol=rounding(), atol=rounding())
