"""Scores of importance equal their definitions, repeated here."""

import copy

import pytest
import torch
from torch.nn import functional

from kdpipe import catalog
from kdpipe.catalog import CRITERIA
from kdpipe.models.family import family_of
from kdpipe.models.loading import Head
from kdpipe.models.units import UNITS, masked
from kdpipe.pruning.cut import prune_to_sparsity, ranks_from
from kdpipe.pruning.importance import label_losses, score_units
from kdpipe.pruning.scores import read_scores, write_scores
from tests.models.conftest import (  # noqa: F401 (fixtures)
    PRUNABLE,
    batch_of,
    bodies,
    scattered,
    with_head,
)
from tests.tolerance import assert_close, rounding

CLASSIFIER = Head("classification", ("b", "c", "a"))
BATCHES = [
    {**batch_of(9, 5), "labels": torch.tensor([0, 2])},
    {**batch_of(4, 7, 3), "labels": torch.tensor([1, 1, 0])},
]


@pytest.fixture(params=PRUNABLE)
def model(request, with_head):  # noqa: F811
    return scattered(with_head(request.param, CLASSIFIER))


def scorer_named(name):
    return catalog.resolve("criteria", name)


def scores_of(model, criterion, batches=BATCHES, **options):
    own = copy.deepcopy(model)
    return score_units(
        own, scorer_named(criterion), batches, label_losses(own, "categorical", None), **options
    )


def mean_loss(model, batch):
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    return functional.cross_entropy(model(**inputs).logits, batch["labels"])


def flat(scores):
    return torch.cat([own for kind in UNITS for own in scores[kind]])


def test_mask_gradients_are_finite_differences(model):
    """Heads and neurons, by batch; each place has length 1."""
    body = model.double().base_model
    groups = family_of(model).groups(body)
    found = scores_of(model, "mask_gradient")
    for kind in UNITS:
        for place, group in enumerate(groups[kind]):
            expected = torch.zeros(group.count(body), dtype=torch.double)
            for batch in BATCHES:
                for unit in range(min(len(expected), 4)):
                    losses = []
                    for step in (-1e-3, 1e-3):
                        masks = {
                            k: [torch.ones(g.count(body), dtype=torch.double) for g in groups[k]]
                            for k in UNITS
                        }
                        masks[kind][place][unit] += step
                        with masked(body, groups, masks), torch.no_grad():
                            losses.append(mean_loss(model, batch))
                    expected[unit] += ((losses[1] - losses[0]) / 2e-3).abs()
            own = found[kind][place].double()
            assert float(own.norm()) == pytest.approx(1, rel=rounding())
            checked = expected > 0
            ratio = own[checked] / expected[checked]
            # Finite differences have an error of their own.
            torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio), rtol=1e-2, atol=0)


def test_a_pass_more_doubles_scores_before_they_are_normalised(model):
    for criterion, times in (("mask_gradient", 1), ("weight_gradient", 2)):
        once, twice = (flat(scores_of(model, criterion, BATCHES * passes)) for passes in (1, 2))
        assert_close(twice, times * once)


def test_each_place_has_length_one_or_nothing(model):
    body = model.base_model
    groups = family_of(model).groups(body)
    with torch.no_grad():
        for kind in UNITS:
            body.get_submodule(groups[kind][1].output).weight.zero_()
    for own in scores_of(model, "mask_gradient").values():
        lengths = [float(scores.norm()) for scores in own]
        assert lengths.pop(1) == 0
        assert lengths == pytest.approx([1] * len(lengths), rel=rounding())


def test_the_scores_of_a_place_add_up_to_those_of_its_weights(model):
    """A unit has the columns of the map that reads it; a neuron also has the rows that compute it."""
    body = model.base_model
    found = {criterion: scores_of(model, criterion) for criterion in ("magnitude", "weight_gradient")}
    for kind, groups in family_of(model).groups(body).items():
        for place, group in enumerate(groups):
            names = (*(group.inputs if kind == "neuron" else ()), group.output)
            weights = [body.get_submodule(name).weight for name in names]
            by_batch = [torch.autograd.grad(mean_loss(model, batch), weights) for batch in BATCHES]
            sums = [sum(gradient.abs() for gradient in own) for own in zip(*by_batch, strict=True)]
            expected = {
                "magnitude": sum(weight.abs().sum() for weight in weights),
                "weight_gradient": sum(
                    (weight.abs() * total).sum() for weight, total in zip(weights, sums, strict=True)
                ),
            }
            for criterion, total in expected.items():
                assert_close(found[criterion][kind][place].sum(), total.detach())


def test_batches_go_where_the_model_is(with_head):  # noqa: F811
    model = with_head("bert", CLASSIFIER).to("meta")
    seen: set[str] = set()

    def losses(batch, reduction):
        seen.update(tensor.device.type for tensor in batch.values())
        return torch.zeros(len(batch["labels"]), device="meta", requires_grad=True)

    score_units(model, scorer_named("mask_gradient"), BATCHES, losses)
    assert seen == {"meta"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("criterion", CRITERIA)
def test_scores_on_a_gpu_are_those_on_a_processor(model, criterion):
    expected = flat(scores_of(model, criterion))
    found = flat(scores_of(model.to("cuda"), criterion)).cpu()
    assert_close(found, expected)


def test_by_example_is_batches_of_one(model):
    single = [
        {name: tensor[i : i + 1] for name, tensor in batch.items()}
        for batch in BATCHES
        for i in range(len(batch["labels"]))
    ]
    for criterion in ("mask_gradient", "weight_gradient"):
        by_example = scores_of(model, criterion, reduction="example")
        assert_close(flat(by_example), flat(scores_of(model, criterion, single)))
        assert not torch.allclose(flat(by_example), flat(scores_of(model, criterion)), rtol=1e-2)


@pytest.mark.parametrize("criterion", ["mask_gradient", "weight_gradient"])
def test_by_example_takes_one_pass_backward(with_head, criterion):  # noqa: F811
    model = with_head("bert", CLASSIFIER)
    losses, passes = label_losses(model, "categorical", None), []

    def counted(batch, reduction):
        found = losses(batch, reduction)
        found.register_hook(lambda gradient: passes.append(len(gradient)))
        return found

    score_units(model, scorer_named(criterion), BATCHES, counted, reduction="example")
    assert passes == [2, 3]


def test_weight_gradients_of_two_batches(with_head):  # noqa: F811
    """|w| (|g1| + |g2|) of the batches' mean losses, over a unit's weights; the model stays as it is."""
    model = with_head("bert", CLASSIFIER)
    before = copy.deepcopy(model.state_dict())
    found = score_units(
        model, scorer_named("weight_gradient"), BATCHES, label_losses(model, "categorical", None)
    )
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    names = ("attention.output.dense", "intermediate.dense", "output.dense")
    for place, block in enumerate(model.bert.encoder.layer):
        weights = [block.get_submodule(name).weight for name in names]
        gradients = [torch.autograd.grad(mean_loss(model, batch), weights) for batch in BATCHES]
        attention, inner, outer = (
            (weight.abs() * (one.abs() + other.abs())).detach()
            for weight, one, other in zip(weights, *gradients, strict=True)
        )
        assert_close(found["head"][place], attention.sum(0).view(2, 8).sum(1))
        assert_close(found["neuron"][place], inner.sum(1) + outer.sum(0))


def test_what_nothing_reads_has_no_importance(with_head):  # noqa: F811
    model = with_head("bert", CLASSIFIER)
    layer = model.bert.encoder.layer[1]
    with torch.no_grad():
        layer.attention.output.dense.weight[:, 8:] = 0
        layer.output.dense.weight[:, 5] = 0
    for criterion in ("mask_gradient", "weight_gradient"):
        scores = scores_of(model, criterion)
        assert scores["head"][1].argmin() == 1
        assert scores["neuron"][1].argmin() == 5
        assert scores["head"][1][1] == scores["neuron"][1][5] == 0


def test_baselines_look_at_no_data(model):
    def none():
        raise AssertionError
        yield

    for criterion in ("magnitude", "random"):
        assert flat(scores_of(model, criterion, none())).min() >= 0
    assert torch.equal(flat(scores_of(model, "random", seed=1)), flat(scores_of(model, "random", seed=1)))
    assert not torch.equal(flat(scores_of(model, "random", seed=1)), flat(scores_of(model, "random", seed=2)))


def test_permuted_heads_have_permuted_scores(with_head):  # noqa: F811
    model = with_head("bert", CLASSIFIER)
    permuted = copy.deepcopy(model)
    swapped = torch.cat([torch.arange(8, 16), torch.arange(8)])
    own = permuted.bert.encoder.layer[0].attention
    with torch.no_grad():
        for name in ("query", "key", "value"):
            linear = getattr(own.self, name)
            linear.weight.copy_(linear.weight[swapped])
            linear.bias.copy_(linear.bias[swapped])
        own.output.dense.weight.copy_(own.output.dense.weight[:, swapped])
    for criterion in ("mask_gradient", "weight_gradient", "magnitude"):
        expected = scores_of(model, criterion)["head"][0].flip(0)
        assert_close(scores_of(permuted, criterion)["head"][0], expected)


def test_tags_count_alike_in_a_batch_and_by_their_example_in_an_example(with_head):  # noqa: F811
    model = with_head("bert", Head("token_classification", ("b", "c", "a")))
    batch = batch_of(6, 6)
    rows, labels = torch.tensor([1, 2, 3, 8]), torch.tensor([0, 1, 2, 1])
    batch |= {"label_rows": rows, "labels": labels}
    losses = label_losses(model, "categorical", "labelled")
    logits = model(batch["input_ids"], batch["attention_mask"]).logits.flatten(0, 1)[rows]
    each = functional.cross_entropy(logits, labels, reduction="none")
    assert_close(losses(batch, "batch"), each)
    assert_close(losses(batch, "example"), torch.stack([each[:3].mean(), each[3]]))


def test_scores_are_kept_as_a_table(model, tmp_path):
    scores = scores_of(model, "magnitude")
    write_scores(tmp_path / "scores.parquet", scores)
    found = read_scores(tmp_path / "scores.parquet")
    assert [len(found[kind]) for kind in UNITS] == [len(scores[kind]) for kind in UNITS]
    assert_close(flat(found), flat(scores))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_model_with_empty_places_is_scored_and_pruned_again(model, criterion, tmp_path):
    cut = prune_to_sparsity(model, 0.7, ranks_from(model, scores_of(model, "random", seed=4)))
    assert 0 in cut.config.unit_counts["head"]
    write_scores(tmp_path / "scores.parquet", scores_of(cut, criterion))
    found = read_scores(tmp_path / "scores.parquet")
    assert {kind: [len(own) for own in found[kind]] for kind in UNITS} == cut.config.unit_counts
    less = prune_to_sparsity(cut, 0.9, ranks_from(cut, found))
    assert sum(less.config.unit_counts["neuron"]) < sum(cut.config.unit_counts["neuron"])
