"""Which layers get int8 weights, by which scales, and what a training with simulated int8 learns."""

import copy
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from kdpipe.models.int8 import int8_layers, quantizable, with_int8
from kdpipe.models.loading import Head
from kdpipe.quantization.calibration import input_scales
from kdpipe.quantization.layers import layer_costs, quantize
from kdpipe.quantization.simulated import as_int8, simulate_int8
from tests.models.conftest import batch_of, bodies, logits_of, scattered, with_head
from tests.tolerance import assert_close

__all__ = ["bodies", "with_head"]
BATCHES = [batch_of(9, 4, 7), batch_of(12, 3)]
COSTLY = ("bert.encoder.layer.1.output.dense", "bert.encoder.layer.0.attention.self.value")


@pytest.fixture
def model(with_head: Any) -> PreTrainedModel:
    made: PreTrainedModel = scattered(with_head("bert", Head("classification", ("b", "c", "a"))))
    return made


@pytest.fixture
def outlying(model: PreTrainedModel) -> PreTrainedModel:
    """A model with two layers whose outputs each have a weight that makes all others 0 in 7 bits.

    The inputs of these weights are 0, so that the weights change nothing in float.
    """
    with torch.no_grad():
        for name, column in zip(COSTLY, (3, 5), strict=True):
            layer: Any = model.get_submodule(name)
            layer.weight[:, column] = 1000.0
            layer.register_forward_pre_hook(
                lambda module, inputs, column=column: (without(inputs[0], column),)
            )
    return model


def without(states: torch.Tensor, column: int) -> torch.Tensor:
    states = states.clone()
    states[..., column] = 0
    return states


def score(model: PreTrainedModel, like: PreTrainedModel) -> float:
    """Return how near the logits of a model are to those of another: 1 where they are the same."""
    pairs = [(logits_of(model, batch), logits_of(like, batch)) for batch in BATCHES]
    return 1 - float(torch.cat([functional.mse_loss(*pair).reshape(1) for pair in pairs]).mean())


def test_the_scale_of_inputs_is_of_the_largest_number_of_all_texts(model: PreTrainedModel) -> None:
    seen: list[float] = []
    handle = model.classifier.register_forward_pre_hook(
        lambda _, inputs: seen.append(float(inputs[0].abs().max()))
    )
    scales = input_scales(model, quantizable(model), BATCHES)
    handle.remove()
    assert scales["classifier"] == pytest.approx(max(seen) / 127.5)
    assert {*scales} == {name for name in quantizable(model) if "embeddings" not in name}
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_all_layers_are_quantized_without_a_score(model: PreTrainedModel) -> None:
    found = quantize(model)
    assert int8_layers(found.model) == quantizable(model)
    assert found.kept == ()
    assert int8_layers(model) == []


def test_a_good_score_leaves_no_layer_in_float(model: PreTrainedModel) -> None:
    found = quantize(model, BATCHES, score=lambda each: score(each, model), tolerance=1e3)
    assert (found.kept, found.costs, found.before) == ((), {}, 1)
    assert int8_layers(found.model) == quantizable(model)


def test_the_costly_layers_stay_in_float(outlying: PreTrainedModel) -> None:
    others = [name for name in quantizable(outlying) if name not in COSTLY]
    least = score(with_int8(outlying, others), outlying)
    tolerance = 2 * (1 - least)
    assert score(with_int8(outlying, quantizable(outlying)), outlying) < 1 - 10 * tolerance
    found = quantize(outlying, BATCHES, score=lambda each: score(each, outlying), tolerance=tolerance)
    assert {*found.kept} == {*COSTLY}
    assert list(found.kept) == sorted(COSTLY, key=lambda name: -found.costs[name])
    assert int8_layers(found.model) == others
    assert found.after == pytest.approx(least)


def test_a_tolerance_that_no_layer_keeps_leaves_all_in_float(model: PreTrainedModel) -> None:
    found = quantize(model, BATCHES, score=lambda each: 1.0 - bool(int8_layers(each)), tolerance=0.5)
    assert {*found.kept} == {*quantizable(model)}
    assert found.after == 1
    assert torch.equal(logits_of(found.model, BATCHES[0]), logits_of(model, BATCHES[0]))


def test_costs_are_of_each_layer_alone(model: PreTrainedModel) -> None:
    layers = quantizable(model)
    costs = layer_costs(model, layers, BATCHES, True, None)
    expected = torch.cat([logits_of(model, batch).flatten() for batch in BATCHES])
    one = with_int8(model, [layers[4]])
    found = torch.cat([logits_of(one, batch).flatten() for batch in BATCHES])
    assert costs[layers[4]] == pytest.approx(float((found - expected).norm() / expected.norm()), rel=1e-4)
    assert {*costs} == {*layers}


def test_simulated_layers_compute_as_int8_layers(model: PreTrainedModel) -> None:
    simulated = copy.deepcopy(model)
    simulate_int8(simulated)
    assert list(simulated.state_dict()) == list(model.state_dict())
    maps = [name for name in quantizable(model) if "embeddings" not in name]
    expected = logits_of(with_int8(model, maps), BATCHES[0])
    assert_close(logits_of(simulated, BATCHES[0]), expected)
    assert not torch.equal(expected, logits_of(model, BATCHES[0]))


def test_gradients_pass_through_the_rounding(model: PreTrainedModel) -> None:
    simulate_int8(model)
    output = model(**{name: BATCHES[0][name] for name in ("input_ids", "attention_mask")})
    output.logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_what_was_trained_becomes_int8(model: PreTrainedModel) -> None:
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    simulate_int8(model)
    with torch.no_grad():
        model.classifier.weight.mul_(2)
    made = as_int8(model)
    assert int8_layers(made) == quantizable(model)
    assert_close(made.classifier.floats, 2 * weights["classifier.weight"], roundings=2e5)
