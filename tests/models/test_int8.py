"""Layers with int8 weights round as they say, and are saved and loaded as other models are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

from kdpipe.models.int8 import (
    Int8Embedding,
    Int8Linear,
    int8_layers,
    is_quantized,
    quantizable,
    rounded,
    rounded_rows,
    scale_of,
    with_floats,
    with_int8,
)
from kdpipe.models.loading import Head, load_frozen, load_model, load_tokenizer, save_model
from kdpipe.plan.saved.analysis import analyze_folder
from kdpipe.reporting.results import saved_parameters
from tests.models.conftest import KINDS, batch_of, bodies, logits_of, scattered, tiny, with_head
from tests.tolerance import assert_close

__all__ = ["bodies", "with_head"]
CLASSES = Head("classification", ("b", "c", "a"))


def test_weights_are_integers_around_zero() -> None:
    values = torch.tensor([[-2.0, 1.0, 0.0], [0.5, 0.25, -0.125]])
    scale = scale_of(values, 7, per_row=True)
    assert_close(scale, torch.tensor([[2 / 63.5], [0.5 / 63.5]]))
    # Half a step beyond the largest integer is cut off.
    assert rounded(values, scale, 7).tolist() == [[-64, 32, 0], [63, 32, -16]]
    assert_close(scale_of(values, 8, per_row=False), torch.tensor([[2 / 127.5]]))


def test_a_row_has_all_of_its_integers_from_its_least_number() -> None:
    integers, step = rounded_rows(torch.tensor([[-1.0, 0.0, 1.55], [0.51, 0.1, 0.0], [0.0, 0.0, 0.0]]))
    assert_close(step[:2], torch.tensor([[2.55 / 255], [0.51 / 255]]))
    assert integers.tolist() == [[-100, 0, 155], [255, 50, 0], [0, 0, 0]]


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_layer_multiplies_integers(per_channel: bool) -> None:
    linear = torch.nn.Linear(6, 4)
    layer = Int8Linear(6, 4, True, per_channel, static=False)
    layer.fill(linear.weight, 7)
    layer.bias.data.copy_(linear.bias)
    states = torch.randn(5, 3, 6, generator=torch.Generator().manual_seed(1))
    integers, step = rounded_rows(states)
    expected = (integers * step) @ (layer.weight.float() * layer.weight_scale).T + linear.bias
    assert_close(layer(states), expected)
    assert len(layer.weight_scale) == (4 if per_channel else 1)
    assert layer.weight.abs().amax(1).min() >= (63 if per_channel else 1)
    assert (layer.floats - linear.weight).abs().max() <= layer.weight_scale.max() / 2 * (1 + 1e-6) + 1e-7


def test_sums_are_exact_whatever_their_order() -> None:
    generator = torch.Generator().manual_seed(2)
    layer = Int8Linear(1536, 8, False, True, static=False)
    layer.fill(torch.randn(8, 1536, generator=generator), 7)
    states = torch.randn(4, 1536, generator=generator)
    order = torch.randperm(1536, generator=generator)
    other = Int8Linear(1536, 8, False, True, static=False)
    other.load_state_dict({**layer.state_dict(), "weight": layer.weight[:, order]})
    assert torch.equal(layer(states), other(states[:, order]))


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_table_of_embeddings(per_channel: bool) -> None:
    table = torch.nn.Embedding(5, 4)
    layer = Int8Embedding(5, 4, per_channel)
    layer.fill(table.weight, 8)
    ids = torch.tensor([[0, 4], [2, 2]])
    assert_close(layer(ids), layer.floats[ids])
    assert (layer(ids) - table(ids)).abs().max() <= layer.weight_scale.max()


@pytest.mark.parametrize(("name", "head"), [pair for pair in KINDS if "language_modeling" not in pair.id])
@pytest.mark.parametrize("static", [False, True])
def test_models_are_saved_and_loaded(
    name: str,
    head: Head,
    static: bool,
    with_head: Any,
    wordpiece: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:
    model = scattered(with_head(name, head))
    batch, layers = batch_of(9, 4, 7), quantizable(model)
    scales = dict.fromkeys(layers, 0.05) if static else None
    quantized = with_int8(model, layers, input_scales=scales)
    expected, found = logits_of(model, batch), logits_of(quantized, batch)
    assert 0 < (found - expected).norm() < 0.2 * expected.norm()
    save_model(quantized, wordpiece, tmp_path)
    loaded = load_model(tmp_path)
    assert torch.equal(logits_of(loaded, batch), found)
    assert int8_layers(loaded) == layers
    assert is_quantized(loaded.config)
    assert not is_quantized(model.config)
    # Positions of RoBERTa that no text has, and the like, count in both.
    assert saved_parameters(tmp_path / "model.safetensors") == model.num_parameters()
    assert analyze_folder(tmp_path).parameters == model.num_parameters()


def test_transformers_loads_such_a_model(
    with_head: Any, wordpiece: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = with_int8(scattered(with_head("bert", CLASSES)), ["classifier"])
    save_model(model, wordpiece, tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    batch = {name: batch_of(5, 3)[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        assert torch.equal(loaded(**batch).logits, model(**batch).logits)
    assert load_tokenizer(tmp_path).get_vocab() == wordpiece.get_vocab()


def test_a_model_is_smaller_by_almost_four(wordpiece: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    model = tiny("bert", hidden_size=64, intermediate_size=256)
    for folder, saved in (("float", model), ("int8", with_int8(model, quantizable(model)))):
        (tmp_path / folder).mkdir()
        save_model(saved, wordpiece, tmp_path / folder)
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("float", "int8")]
    assert sizes[0] / sizes[1] > 3


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_floats_are_the_same_numbers(name: str, with_head: Any) -> None:
    model = scattered(with_head(name, CLASSES))
    quantized = with_int8(model, quantizable(model))
    floats = with_floats(quantized)
    assert int8_layers(floats) == []
    assert not is_quantized(floats.config)
    again = with_int8(floats, quantizable(floats))
    batch = batch_of(6, 2)
    assert_close(logits_of(again, batch), logits_of(quantized, batch), roundings=2e6)
    assert is_quantized(quantized.config)


@pytest.mark.parametrize("per_channel", [True, False])
def test_labels_in_another_order(
    per_channel: bool, with_head: Any, wordpiece: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = scattered(with_head("bert", CLASSES))
    save_model(with_int8(model, quantizable(model), per_channel), wordpiece, tmp_path)
    batch, device = batch_of(6, 2), torch.device("cpu")
    expected = logits_of(load_frozen(tmp_path, CLASSES, device), batch)
    turned = load_frozen(tmp_path, Head("classification", ("a", "b", "c")), device)
    assert torch.equal(logits_of(turned, batch), expected[:, [2, 0, 1]])
