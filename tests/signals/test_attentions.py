"""Captured attentions equal the attentions that transformers computes eagerly, whatever attention runs."""

from typing import Any

import pytest
import torch

from kdpipe.anatomy.signals import Signal
from kdpipe.errors import ModelError
from kdpipe.models.attention import attention_of, attention_probabilities
from kdpipe.models.dropout import use_fast_dropout
from kdpipe.models.family import family_of
from kdpipe.models.sliced import Slices
from kdpipe.models.units import UNITS
from kdpipe.pruning.cut import prune_to_sparsity, rank_units
from kdpipe.signals.capture import Request, capture
from kdpipe.signals.rows import pack
from tests.models.conftest import PRUNABLE, batch_of, scattered, tiny
from tests.tolerance import assert_close

LAYERS = tuple(Signal("attentions", layer) for layer in (1, 2, 3))


def pruned(model: Any, sparsity: float) -> Any:
    """Return a model whose blocks have lost heads, each another number."""
    groups, generator = family_of(model).groups(model.base_model), torch.Generator().manual_seed(1)
    scores = {
        kind: [torch.rand(own.count(model.base_model), generator=generator) for own in groups[kind]]
        for kind in UNITS
    }
    return prune_to_sparsity(model, sparsity, {kind: rank_units(scores[kind]) for kind in UNITS}).eval()


def eager(model: Any, batch: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Return the attentions that transformers gives, [B, A, L, L] of each block."""
    inputs = {name: batch[name] for name in family_of(model).inputs}
    model.set_attn_implementation("eager")
    found = model.base_model(**inputs, output_attentions=True).attentions
    model.set_attn_implementation("sdpa")
    return list(found)


@pytest.mark.parametrize("sparsity", [0.0, 0.3])
@pytest.mark.parametrize("name", PRUNABLE)
def test_attentions_are_those_of_eager_attention(name: str, sparsity: float) -> None:
    model, batch = scattered(tiny(name)), batch_of(7, 4, 1)
    model = pruned(model, sparsity) if sparsity else model
    expected = eager(model, batch)
    layers = [layer for layer in LAYERS if expected[layer.place - 1].shape[1]]
    found = capture(model, batch, Request(tuple(layers)))
    assert model.config._attn_implementation == "sdpa"
    for layer, rows in found.items():
        own = expected[layer.place - 1].transpose(1, 2).flatten(0, 1)[batch["token_rows"]]
        assert_close(rows.values, own)
        assert_close(rows.values.sum(-1), torch.ones(len(own), own.shape[1]))
        # Padding is not attended to.
        assert not rows.values[rows.examples == 2][..., 1:].any()


@pytest.mark.parametrize("sparsity", [0.0, 0.3])
@pytest.mark.parametrize("name", PRUNABLE)
def test_attentions_of_a_training_are_those_before_dropout(name: str, sparsity: float) -> None:
    model, batch = scattered(tiny(name)), batch_of(7, 4, 1)
    model = pruned(model, sparsity) if sparsity else model
    use_fast_dropout(model)
    queries, keys = (Signal(kind, 2) for kind in ("queries", "keys"))
    found = capture(model.train(), batch, Request((queries, keys, LAYERS[1])))
    left, right = found[queries].padded(), found[keys].padded()
    attention = attention_of(model.base_model, family_of(model).groups(model.base_model)["head"][1])
    computed = attention_probabilities(model, attention, left, right, batch["attention_mask"])
    expected = pack(computed.transpose(1, 2), batch["token_rows"])
    assert_close(found[LAYERS[1]].values, expected)
    weight = model.base_model.get_submodule(
        family_of(model).groups(model.base_model)["head"][0].output
    ).weight
    gradients = (
        torch.autograd.grad(values.square().sum(), weight, retain_graph=True)[0]
        for values in (found[LAYERS[1]].values, expected)
    )
    assert_close(*gradients)


# SDPA runs the attention of T5, which has a bias, and the attention of GPT-2, which is causal.
@pytest.mark.parametrize("name", sorted(set(PRUNABLE) - {"enct5", "gpt2"}))
def test_a_training_does_not_compute_attentions_a_second_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError

    model, batch = tiny(name), batch_of(7, 4, 1)
    monkeypatch.setattr("kdpipe.signals.capture.attention_probabilities", refuse)
    use_fast_dropout(model)
    capture(model.train(), batch, Request(LAYERS[:1]))
    with pytest.raises(AssertionError):
        capture(model.eval(), batch, Request(LAYERS[:1]))


@pytest.mark.parametrize("name", PRUNABLE)
def test_queries_keys_and_values_make_the_attentions_and_what_is_read(name: str) -> None:
    model, batch = scattered(tiny(name)), batch_of(5)
    parts = tuple(Signal(kind, 2) for kind in ("queries", "keys", "values"))
    group = family_of(model).groups(model.base_model)["head"][1]
    read = []
    output = model.base_model.get_submodule(group.output)
    handle = output.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    found = capture(model, batch, Request((*parts, LAYERS[1])))
    handle.remove()
    assert all(found[part].values.shape == (5, 2, group.size) for part in parts)
    context = torch.einsum("qah,had->qad", found[LAYERS[1]].values, found[parts[2]].values)
    assert_close(context.flatten(1), read[0][0])


def test_a_size_without_heads_has_nothing_to_compare() -> None:
    model = pruned(tiny("bert"), 0.3)
    counts = {**model.config.unit_counts, "head": [1, 0, 1]}
    for kind in ("attentions", "queries"):
        with (
            Slices(model).at(counts),
            pytest.raises(ModelError, match=r"block 2 of the .* has no heads left"),
        ):
            capture(model, batch_of(4), Request((Signal(kind, 2),)))


def test_attentions_of_a_training_in_bfloat16_are_those_that_it_uses() -> None:
    model, batch = scattered(tiny("bert")), batch_of(7, 4, 1)
    use_fast_dropout(model)
    parts = [Signal(kind, 1) for kind in ("queries", "keys")]
    with torch.autocast("cpu", torch.bfloat16):
        found = capture(model.train(), batch, Request((*parts, LAYERS[0])))
    attention = attention_of(model.base_model, family_of(model).groups(model.base_model)["head"][0])
    left, right = (found[part].padded() for part in parts)
    exact = attention_probabilities(model, attention, left, right, batch["attention_mask"])
    values = found[LAYERS[0]].values
    assert values.dtype == torch.bfloat16
    # Scores, of at most 8 here, and probabilities are rounded to 8 bits each.
    torch.testing.assert_close(
        values.float(), pack(exact.transpose(1, 2), batch["token_rows"]), rtol=0.04, atol=1e-6
    )


def test_a_block_without_heads_has_nothing_to_compare() -> None:
    model = pruned(tiny("bert"), 0.7)
    empty = model.config.unit_counts["head"].index(0) + 1
    with pytest.raises(ModelError, match=f"block {empty} of the PrunedBertModel has no heads left"):
        capture(model, batch_of(4), Request((Signal("attentions", empty),)))
