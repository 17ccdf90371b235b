"""Models cut by a sparsity, and to one shape."""

import copy
from typing import Any

import pytest
import torch

from kdpipe.anatomy.signals import Signal
from kdpipe.models.family import family_of
from kdpipe.models.loading import Head
from kdpipe.models.pruned import as_stock, ranks_of
from kdpipe.models.units import UNITS, masked
from kdpipe.pruning.cut import (
    UniformShape,
    ancestor_counts,
    prune_to_shape,
    prune_to_sparsity,
    ranks_from,
    units_at,
)
from kdpipe.signals.capture import Request, capture
from tests.models.conftest import (  # noqa: F401 (fixtures)
    PRUNABLE,
    batch_of,
    bodies,
    logits_of,
    scattered,
    with_head,
)
from tests.tolerance import assert_close

CLASSIFIER = Head("classification", ("b", "c", "a"))


@pytest.fixture(params=PRUNABLE)
def model(request, with_head):  # noqa: F811
    return scattered(with_head(request.param, CLASSIFIER))


def scores_of(model: Any) -> dict[Any, list[torch.Tensor]]:
    """Return random scores of a model's units."""
    generator = torch.Generator().manual_seed(0)
    body = model.base_model
    groups = family_of(model).groups(body)
    return {
        kind: [torch.rand(own.count(body), generator=generator) for own in groups[kind]] for kind in UNITS
    }


def same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    return all(torch.equal(own, other) for own, other in zip(ours, theirs, strict=True))


def _order(ranks: torch.Tensor) -> torch.Tensor:
    """Return for each unit how many units of its place have a lower rank."""
    return ranks.argsort().argsort()


def test_scores_of_neurons_say_nothing_of_heads(model):
    scores = scores_of(model)
    scaled = {**scores, "neuron": [100 * (place + 1) * own for place, own in enumerate(scores["neuron"])]}
    ours, theirs = (units_at(model, 0.5, ranks_from(model, own)) for own in (scores, scaled))
    assert same(ours["head"], theirs["head"])
    assert not same(ours["neuron"], theirs["neuron"])


def test_a_shape_as_large_as_the_model_changes_nothing(model):
    groups = family_of(model).groups(model.base_model)
    heads, neurons = (groups[kind][0].count(model.base_model) for kind in UNITS)
    # Encoder and decoder of EncT5 share their embeddings, which stay whole.
    table = model.get_input_embeddings()
    rank = None if model.all_tied_weights_keys else table.embedding_dim
    shape = UniformShape(heads, neurons, 3, rank)
    cut = as_stock(prune_to_shape(model, shape, ranks_from(model, scores_of(model)))).eval()
    assert rank or type(cut) is type(model)
    batch = batch_of(9, 5)
    assert_close(logits_of(cut, batch), logits_of(model, batch))


def test_each_block_keeps_its_own_heads_though_all_neurons_stay(with_head):  # noqa: F811
    """The published code reads the next block's ranking only after it has removed neurons."""
    model: Any = scattered(with_head("bert", CLASSIFIER))
    scores = {**scores_of(model), "head": [torch.tensor(own) for own in ([1.0, 0], [0, 1.0], [1.0, 0])]}
    cut: Any = prune_to_shape(model, UniformShape(heads=1), ranks_from(model, scores))
    for block, head in enumerate((0, 1, 0)):
        ours, theirs = (own.bert.encoder.layer[block] for own in (cut, model))
        kept = slice(8 * head, 8 * head + 8)
        for name in ("query", "key", "value"):
            linear = ours.attention.self.get_submodule(name)
            assert torch.equal(linear.weight, theirs.attention.self.get_submodule(name).weight[kept])
        assert torch.equal(ours.attention.output.dense.weight, theirs.attention.output.dense.weight[:, kept])
        assert torch.equal(ours.output.dense.weight, theirs.output.dense.weight)


def test_the_lowest_blocks_and_all_around_them_stay(model):
    """Cut blocks compute what the model computes without the units; some models norm the last output."""
    body, batch, ranks = model.base_model, batch_of(9, 5), ranks_from(model, scores_of(model))
    groups = family_of(model).groups(body)
    cut = prune_to_shape(model, UniformShape(heads=1, neurons=8, layers=2), ranks).eval()
    blocks = family_of(cut).blocks(cut.base_model)
    inside = {id(parameter) for parameter in blocks.parameters()}
    assert len(blocks) == 2
    shrunk = [
        name.rpartition(".")[0]
        for kind in UNITS
        for own in groups[kind]
        for name in (*own.inputs, own.output)
    ]
    for name, parameter in cut.named_parameters():
        if id(parameter) not in inside and not any(name.partition(".")[2].startswith(own) for own in shrunk):
            assert torch.equal(parameter, model.get_parameter(name)), name
    counts = {"head": 1, "neuron": 8}
    masks = {
        kind: [(len(own) - 1 - _order(own) < counts[kind]).float() for own in ranks[kind]] for kind in UNITS
    }
    last = 1 if family_of(model).last(body) is not family_of(model).blocks(body)[-1] else 2
    request = Request(tuple(Signal("hidden_states", place) for place in range(last + 1)))
    with torch.no_grad():
        with masked(body, groups, masks):
            expected = capture(model, batch, request)
        found = capture(cut, batch, request)
    for signal, rows in expected.items():
        assert_close(found[signal].values, rows.values)


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.9])
def test_the_parameters_that_are_left(with_head, sparsity):  # noqa: F811
    """A head of size d has 4 maps of the width H with 3 biases, a neuron 2 weights a feature and a bias."""
    model = scattered(with_head("bert", CLASSIFIER))
    cut = prune_to_sparsity(model, sparsity, ranks_from(model, scores_of(model)))
    heads, neurons = (round(sparsity * count) for count in ancestor_counts(model).values())
    width, size = 16, 8
    lost = heads * (4 * width * size + 3 * size) + neurons * (2 * width + 1)
    assert cut.num_parameters() == model.num_parameters() - lost


def test_cutting_leaves_the_model_as_it_is(model):
    before = copy.deepcopy(model.state_dict())
    cut = prune_to_sparsity(model, 0.5, ranks_from(model, scores_of(model)))
    assert ranks_of(cut) is not None
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
