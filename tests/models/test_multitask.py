"""Models with several heads: what the heads share, and what is written and read of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModel, AutoModelForSequenceClassification

from kdpipe.errors import ModelError
from kdpipe.models.creation import create_body, special_tokens
from kdpipe.models.loading import Head, load_tokenizer, load_with_head, save_model
from kdpipe.models.multitask import MultiTask, folder_for, load_parts, save_parts, start_for
from tests.models.conftest import SHAPES, kind_of
from tests.tolerance import assert_close

HEADS = {
    "pairs": Head("classification", ("no", "yes", "maybe")),
    "scores": Head("regression"),
    "names-1.0": Head("token_classification", ("O", "B-PER")),
}


@pytest.fixture(params=sorted(SHAPES))
def parts(request: pytest.FixtureRequest, language_model: Path, tmp_path: Path) -> dict[str, Any]:
    """Models of one family with a head for each of several tasks, which start from one body."""
    family, tokenizer = request.param, load_tokenizer(language_model)
    options = {**special_tokens(tokenizer), **SHAPES[family]}
    save_model(create_body(family, options, len(tokenizer), seed=1), tokenizer, tmp_path / "body")
    heads = {name: head for name, head in HEADS.items() if kind_of(family, head)}
    return {name: load_with_head(tmp_path / "body", head, seed=2) for name, head in heads.items()}


def run(model: Any) -> torch.Tensor:
    ids = torch.arange(5, 15).reshape(2, 5)
    with torch.no_grad():
        logits: torch.Tensor = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    return logits


def test_the_heads_share_a_body(parts: dict[str, Any]) -> None:
    together = MultiTask(parts)
    first, *others = [dict(model.base_model.named_parameters()) for model in together.parts.values()]
    for other in others:
        assert all(other[name] is first[name] for name in other.keys() & first.keys())
    bodies = sum(parameter.numel() for parameter in first.values())
    whole = sum(parameter.numel() for parameter in together.parameters())
    alone = [sum(parameter.numel() for parameter in model.parameters()) for model in parts.values()]
    assert bodies < whole < sum(alone)


def test_what_is_written_is_read_again(parts: dict[str, Any], language_model: Path, tmp_path: Path) -> None:
    together, folder = MultiTask(parts), tmp_path / "model"
    expected = {name: run(model) for name, model in together.parts.items()}
    folder.mkdir()
    save_parts(together.parts, load_tokenizer(language_model), folder)
    again = load_parts(folder)
    assert {*again} == {*parts}
    for name, model in again.items():
        assert_close(run(model), expected[name])
        assert model.config.id2label == parts[name].config.id2label
    body = AutoModel.from_pretrained(folder)
    assert {*body.config.id2label.values()} == {"LABEL_0", "LABEL_1"}
    found = dict(body.named_parameters())
    # A class may draw a pooler that no head reads.
    assert all(found[name].equal(value) for name, value in parts["pairs"].base_model.named_parameters())


def test_plain_transformers_loads_a_head(tmp_path: Path, language_model: Path) -> None:
    models = {name: load_with_head(language_model, HEADS[name], seed=3) for name in ("pairs", "scores")}
    save_parts(models, load_tokenizer(language_model), tmp_path)
    model, report = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "heads" / "pairs", output_loading_info=True
    )
    assert not any(report.values())
    assert type(model).__module__.startswith(transformers.__name__)
    assert [*model.config.id2label.values()] == ["no", "yes", "maybe"]


def test_a_head_without_a_pooler_leaves_it_to_others(tmp_path: Path, language_model: Path) -> None:
    """As the body is saved, it has the pooler; the model with tags is saved without."""
    models = {name: load_with_head(language_model, HEADS[name], seed=3) for name in ("names-1.0", "pairs")}
    save_parts(MultiTask(models).parts, load_tokenizer(language_model), tmp_path)
    body = AutoModel.from_pretrained(tmp_path)
    assert body.pooler.dense.weight.equal(models["pairs"].bert.pooler.dense.weight)
    assert load_parts(tmp_path)["names-1.0"].bert.pooler is None


def test_a_folder_gives_the_head_for_a_dataset(tmp_path: Path, language_model: Path) -> None:
    models = {name: load_with_head(language_model, HEADS[name], seed=3) for name in ("pairs", "scores")}
    save_parts(models, load_tokenizer(language_model), tmp_path)
    assert folder_for(tmp_path, "scores") == tmp_path / "heads" / "scores"
    assert start_for(tmp_path, "other") == tmp_path
    assert folder_for(language_model, "scores") == start_for(language_model, "scores") == language_model
    with pytest.raises(ModelError, match=r"has heads for pairs, scores, and none for 'pair'; did you mean"):
        folder_for(tmp_path, "pair")
