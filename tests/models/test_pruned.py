"""Pruned models of every family: their units are masked, cut, sliced, saved and loaded."""

import copy
from typing import Any

import pytest
import torch
import transformers

from kdpipe.anatomy.families import count_places, count_units, shape_of
from kdpipe.errors import ModelError
from kdpipe.models.family import family_of
from kdpipe.models.loading import Head, load_model, load_with_head, save_model
from kdpipe.models.pruned import as_stock, factorize, prune_units, ranks_of
from kdpipe.models.sliced import Slices
from kdpipe.models.units import UNITS, masked
from kdpipe.pruning.cut import prune_to_sparsity, rank_units
from tests.models.conftest import PRUNABLE, batch_of, logits_of, scattered
from tests.tolerance import assert_close, is_close, rounding

CLASSIFIER = Head("classification", ("b", "c", "a"))
TAGGER = Head("token_classification", ("b", "c", "a"))


def ranked(model, seed=0):
    """Return random ranks of a model's units."""
    generator = torch.Generator().manual_seed(seed)
    groups = family_of(model).groups(model.base_model)
    return {
        kind: rank_units([torch.rand(g.count(model.base_model), generator=generator) for g in groups[kind]])
        for kind in UNITS
    }


def kept_above(ranks, removed):
    return {kind: [torch.nonzero(own >= removed[kind]).flatten() for own in ranks[kind]] for kind in UNITS}


@pytest.fixture(params=PRUNABLE)
def model(request, with_head):
    return scattered(with_head(request.param, CLASSIFIER))


def test_a_config_shows_how_many_units_there_are(model):
    groups = family_of(model).groups(model.base_model)
    shape = shape_of(model.config.model_type, model.config.to_dict())
    places, units = count_places(shape), count_units(shape)
    for kind, own in groups.items():
        assert len(own) == places[f"{kind}s"]
        # The number of GPT-2's neurons follows from its width.
        assert units[f"{kind}s"] in (None, sum(group.count(model.base_model) for group in own))


def test_masks_of_ones_change_nothing(model):
    body, batch = model.base_model, batch_of(9, 5)
    groups = family_of(model).groups(body)
    ones = {kind: [torch.ones(group.count(body)) for group in groups[kind]] for kind in UNITS}
    with masked(body, groups, ones):
        found = logits_of(model, batch)
    assert torch.equal(found, logits_of(model, batch))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_masked_is_cut(model, implementation):
    """This holds also for a place without units, whose bias stays, and for padded rows."""
    model.set_attn_implementation(implementation)
    body, batch, ranks = model.base_model, batch_of(9, 5), ranked(model)
    groups = family_of(model).groups(body)
    kept = kept_above(ranks, {"head": 2, "neuron": 30})
    kept["head"][1] = kept["neuron"][2] = torch.tensor([], dtype=torch.long)
    masks = {
        kind: [
            torch.zeros(len(rank)).index_fill(0, own, 1)
            for rank, own in zip(ranks[kind], kept[kind], strict=True)
        ]
        for kind in UNITS
    }
    with masked(body, groups, masks):
        expected = logits_of(model, batch)
    pruned = prune_units(model, kept, ranks).eval()
    pruned.set_attn_implementation(implementation)
    assert_close(logits_of(pruned, batch), expected)
    assert not is_close(expected, logits_of(model, batch))


@pytest.mark.parametrize("family", sorted(set(PRUNABLE) - {"gpt2"}))
def test_as_published_what_has_no_units_has_no_bias(with_head, wordpiece, tmp_path, family):
    """The same holds for a model that is saved, cut again, or run in several sizes; T5 has no biases."""
    model, batch = scattered(with_head(family, CLASSIFIER)), batch_of(9, 5)
    ranks, groups = ranked(model), family_of(model).groups(model.base_model)
    kept = {kind: [torch.arange(len(own)) for own in ranks[kind]] for kind in UNITS}
    kept["head"][1] = kept["neuron"][2] = torch.tensor([], dtype=torch.long)
    dropping = prune_units(model, kept, ranks, drop_empty_bias=True).eval()
    bare: Any = prune_units(model, kept, ranks).eval()
    before = logits_of(bare, batch)
    for group in (groups["head"][1], groups["neuron"][2]):
        linear = bare.base_model.get_submodule(group.output)
        if linear.bias is not None:
            torch.nn.init.zeros_(linear.bias)
    assert_close(logits_of(dropping, batch), logits_of(bare, batch))
    assert is_close(before, logits_of(dropping, batch)) == (family == "enct5")
    save_model(dropping, wordpiece, tmp_path)
    loaded = load_model(tmp_path).eval()
    assert torch.equal(logits_of(loaded, batch), logits_of(dropping, batch))
    for cut in (dropping, loaded, prune_to_sparsity(loaded, 0.9)):
        for kind in UNITS:
            for group, count in zip(groups[kind], cut.config.unit_counts[kind], strict=True):
                bias = cut.base_model.get_submodule(group.output).bias
                assert (bias is None) == (count == 0 or family == "enct5")
    widest, narrow = (
        prune_to_sparsity(model, sparsity, ranks, drop_empty_bias=True).eval() for sparsity in (0.3, 0.9)
    )
    with Slices(widest).at(narrow.config.unit_counts):
        assert_close(logits_of(widest, batch), logits_of(narrow, batch))


def test_a_bias_that_is_always_added_is_not_dropped(with_head):
    model = with_head("gpt2", CLASSIFIER)
    with pytest.raises(ModelError, match="always adds its bias; leave `compat: code` out"):
        prune_to_sparsity(model, 0.9, ranked(model), drop_empty_bias=True)


def test_the_order_of_units_changes_nothing(model):
    ranks = ranked(model)
    everything = {kind: [own.argsort(descending=True) for own in ranks[kind]] for kind in UNITS}
    pruned = prune_units(model, everything, ranks).eval()
    assert_close(logits_of(pruned, batch_of(9, 5)), logits_of(model, batch_of(9, 5)))


def test_an_order_and_its_inverse_restore_the_weights(model):
    ranks = ranked(model)
    order = {kind: [own.argsort() for own in ranks[kind]] for kind in UNITS}
    shuffled = prune_units(model, order, ranks)
    own_ranks = ranks_of(shuffled)
    assert own_ranks is not None
    restored = prune_units(
        shuffled, {kind: [own.argsort() for own in order[kind]] for kind in UNITS}, own_ranks
    )
    ours, theirs = restored.state_dict(), shuffled.state_dict()
    for name, weight in model.state_dict().items():
        assert torch.equal(ours[name], weight), name
    assert not all(torch.equal(theirs[name], weight) for name, weight in model.state_dict().items())
    indices = [weight for name, weight in ours.items() if name.endswith("ranks.index")]
    assert all(torch.equal(own, torch.arange(len(own), dtype=own.dtype)) for own in indices)


@pytest.mark.parametrize("sparsity", [0.5, 0.9])
def test_attention_written_out_is_attention_in_one_go(model, sparsity):
    pruned, found = prune_to_sparsity(model, sparsity, ranked(model)).eval(), []
    for implementation in ("eager", "sdpa"):
        pruned.set_attn_implementation(implementation)
        found.append(logits_of(pruned, batch_of(9, 5)))
    assert_close(*found)


def test_padding_does_not_reach_the_logits(model):
    pruned = prune_to_sparsity(model, 0.5, ranked(model)).eval()
    alone, padded = logits_of(pruned, batch_of(7)), logits_of(pruned, batch_of(7, width=16))
    assert_close(alone, padded)


@pytest.mark.parametrize("head", [CLASSIFIER, TAGGER], ids=["classifier", "tagger"])
@pytest.mark.parametrize("family", PRUNABLE)
def test_saved_and_loaded(with_head, wordpiece, tmp_path, family, head):
    model = scattered(with_head(family, head))
    pruned = prune_to_sparsity(model, 0.6, ranked(model)).eval()
    save_model(pruned, wordpiece, tmp_path)
    for loaded in (
        load_model(tmp_path),
        getattr(
            transformers, f"AutoModelFor{'Sequence' if head is CLASSIFIER else 'Token'}Classification"
        ).from_pretrained(tmp_path),
    ):
        assert type(loaded) is type(pruned)
        assert torch.equal(logits_of(loaded.eval(), batch_of(9, 5)), logits_of(pruned, batch_of(9, 5)))
        assert loaded.config.unit_counts == pruned.config.unit_counts
        found, expected = ranks_of(loaded), ranks_of(pruned)
        assert found is not None
        assert expected is not None
        for kind in UNITS:
            for own, saved in zip(found[kind], expected[kind], strict=True):
                assert torch.equal(own, saved)


def test_sliced_is_cut(with_head):
    for family in sorted(set(PRUNABLE) - {"gpt2"}):
        model = scattered(with_head(family, CLASSIFIER))
        ranks, batch = ranked(model), batch_of(9, 5)
        widest = prune_to_sparsity(model, 0.3, ranks).eval()
        whole, slices = logits_of(widest, batch), Slices(widest)
        for sparsity in (0.3, 0.5, 0.9):
            cut = prune_to_sparsity(model, sparsity, ranks).eval()
            with slices.at(cut.config.unit_counts):
                assert_close(logits_of(widest, batch), logits_of(cut, batch))
        assert torch.equal(logits_of(widest, batch), whole)


def test_factors_are_the_best_of_their_rank(with_head):
    model = scattered(with_head("bert", CLASSIFIER))
    table = model.get_input_embeddings().weight.detach()
    narrow = factorize(model, 5).get_input_embeddings()
    error = table - narrow(torch.arange(len(table))).detach()
    tail = torch.linalg.svdvals(table)[5:]
    assert float(error.norm()) == pytest.approx(float(tail.norm()), rel=rounding())
    again = factorize(factorize(model, 8), 5).get_input_embeddings()(torch.arange(len(table)))
    assert_close(again, narrow(torch.arange(len(table))))


def test_factorised_embeddings_keep_the_row_of_padding(with_head, wordpiece, tmp_path):
    """The table stays as it was and learns nothing, also in the model that is read back."""
    model = scattered(with_head("bert", CLASSIFIER))
    embeddings = model.get_input_embeddings()
    with torch.no_grad():
        embeddings.weight[embeddings.padding_idx] = 0
    narrow: Any = factorize(model, 5).eval()
    save_model(narrow, wordpiece, tmp_path)
    loaded = load_model(tmp_path).eval()
    assert torch.equal(logits_of(loaded, batch_of(9, 5)), logits_of(narrow, batch_of(9, 5)))
    for own in (narrow.get_input_embeddings(), loaded.get_input_embeddings()):
        own.zero_grad()
        own(torch.tensor([embeddings.padding_idx, 7])).square().sum().backward()
        assert not own.table.weight[embeddings.padding_idx].any()
        assert not own.table.weight.grad[embeddings.padding_idx].any()
        assert own.table.weight.grad[7].any()


def test_a_head_for_tokens_needs_whole_embeddings(with_head, wordpiece, tmp_path):
    save_model(factorize(with_head("bert", CLASSIFIER), 5), wordpiece, tmp_path)
    with pytest.raises(ModelError, match="a PrunedBertForMaskedLM needs whole word embeddings, found a rank"):
        load_with_head(tmp_path, Head("language_modeling"), 1)


def test_what_a_stock_class_can_have_is_one(with_head):
    model: Any = scattered(with_head("bert", CLASSIFIER))
    ranks = ranked(model)
    heads = [torch.arange(2)] * 3
    even: Any = {"head": heads, "neuron": [torch.arange(8)] * 3}
    stock = as_stock(prune_units(model, even, ranks)).eval()
    assert type(stock) is type(model)
    assert stock.config.intermediate_size == 8
    uneven = prune_units(
        model, {**even, "neuron": [torch.arange(8), torch.arange(8), torch.arange(9)]}, ranks
    )
    assert as_stock(uneven) is uneven
    assert_close(
        logits_of(stock, batch_of(5)), logits_of(prune_units(model, even, ranks).eval(), batch_of(5))
    )


def test_without_neurons_none_is_of_a_stock_class(model):
    """Without neurons, GPT-2 cannot run and T5 cannot draw weights."""
    ranks = ranked(model)
    heads = [torch.arange(len(own)) for own in ranks["head"]]
    bare = prune_units(model, {"head": heads, "neuron": [own[:0] for own in ranks["neuron"]]}, ranks)
    assert as_stock(bare) is bare
    assert logits_of(bare.eval(), batch_of(9, 5)).isfinite().all()


def test_zeros_that_stay_are_kept(with_head):
    """The published code takes nonzero weights for the weights that stay."""
    model: Any = with_head("bert", CLASSIFIER)
    with torch.no_grad():
        model.bert.encoder.layer[0].intermediate.dense.bias[3] = 0
        model.bert.encoder.layer[0].intermediate.dense.weight[3, 2] = 0
    source = copy.deepcopy(model)
    pruned: Any = prune_units(
        model, {"head": [torch.arange(2)] * 3, "neuron": [torch.tensor([3, 1])] * 3}, ranked(model)
    )
    for name in ("weight", "bias"):
        ours = getattr(pruned.bert.encoder.layer[0].intermediate.dense, name)
        assert torch.equal(ours, getattr(source.bert.encoder.layer[0].intermediate.dense, name)[[3, 1]])
