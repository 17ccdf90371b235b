"""The global ranking, and the units that each sparsity leaves."""

import pytest
import torch

from kdpipe.anatomy.units import count_removed
from kdpipe.models.units import UNITS
from kdpipe.pruning.cut import keep_best, keep_ranked, rank_units
from kdpipe.pruning.scores import SCORES, scores_of, write_scores

SPARSITIES = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


def scores(places=12, units=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(units, generator=generator) for _ in range(places)]


def test_ranks_are_global_and_ties_go_by_place():
    ranks = rank_units([torch.tensor([0.5, 0.1]), torch.tensor([0.1, 0.9])])
    assert [own.tolist() for own in ranks] == [[2, 0], [1, 3]]
    assert [own.tolist() for own in rank_units([torch.tensor([0.5, 0.1])], above=7)] == [[8, 7]]


def test_scores_of_nothing_but_zeros_count_as_zeros_in_the_mean(tmp_path):
    """A dataset whose gradient is 0 everywhere has no sum to divide by."""
    for name, values in (("sst2", [1.0, 3.0]), ("mrpc", [0.0, 0.0])):
        (tmp_path / name).mkdir()
        write_scores(tmp_path / name / SCORES, {kind: [torch.tensor(values)] for kind in UNITS})
    mean = scores_of([tmp_path / "sst2", tmp_path / "mrpc"])
    assert {kind: places[0].tolist() for kind, places in mean.items()} == {
        key: [0.125, 0.375] for key in UNITS
    }


@pytest.mark.parametrize(("sparsity", "heads", "neurons"), [
    (0.5, 72, 18432), (0.6, 58, 14746), (0.7, 43, 11059), (0.8, 29, 7373),
    (0.85, 22, 5530), (0.9, 14, 3686), (0.95, 7, 1843),
])  # fmt: skip
def test_what_bert_base_keeps(sparsity, heads, neurons):
    """Numbers of 144 heads and of 36,864 neurons; halves are rounded to even."""
    assert 144 - count_removed(sparsity, 144) == heads
    assert 36864 - count_removed(sparsity, 36864) == neurons
    assert count_removed(0.5, 5) == 2


def test_sparser_models_keep_the_beginning_of_what_others_keep():
    ranks = rank_units(scores())
    wider = keep_ranked(ranks, 0)
    for sparsity in SPARSITIES:
        kept = keep_ranked(ranks, count_removed(sparsity, 144))
        assert sum(map(len, kept)) == 144 - count_removed(sparsity, 144)
        for own, all_of_it in zip(kept, wider, strict=True):
            assert torch.equal(own, all_of_it[: len(own)])
        wider = kept


def test_nothing_that_goes_is_better_than_what_stays():
    own = scores()
    kept = keep_ranked(rank_units(own), 100)
    lost = torch.cat(
        [
            score[[i for i in range(12) if i not in keep.tolist()]]
            for score, keep in zip(own, kept, strict=True)
        ]
    )
    stays = torch.cat([score[keep] for score, keep in zip(own, kept, strict=True)])
    assert lost.max() <= stays.min()


def test_a_place_may_lose_everything():
    ranks = rank_units([torch.tensor([0.1, 0.2]), torch.tensor([0.8, 0.9])])
    assert [own.tolist() for own in keep_ranked(ranks, 2)] == [[], [1, 0]]


def test_the_best_of_each_place():
    assert [own.tolist() for own in keep_best(rank_units([torch.tensor([0.1, 0.9, 0.5])]), 2)] == [[1, 2]]
