"""Numbers of states are chosen as they are defined, and compared as a mean over the numbers that are kept."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from kdpipe.anatomy.knowledge import Amount, Selection, Share
from kdpipe.knowledge.choosing import compared
from kdpipe.knowledge.rows import ChosenRows
from kdpipe.knowledge.width import kept_numbers, largest_of_batch
from kdpipe.signals.rows import Rows
from tests.tolerance import assert_close

LENGTHS = [3, 1, 2]
PLACES = torch.tensor([2, 0, 1, 4, 9, 8])


def states(seed: int = 1, width: int = 20) -> Tensor:
    return torch.randn(sum(LENGTHS), width, generator=torch.Generator().manual_seed(seed))


def rows(values: Tensor) -> ChosenRows:
    return ChosenRows(values, PLACES, (3, 4), "tokens")


def mean_squares(selection: Selection, ours: Tensor, theirs: Tensor) -> Tensor:
    """Return what `hidden_mse` sums over the rows."""
    chosen = compared(rows(theirs), selection, "float32")
    sides = chosen.weighed(Rows(ours, PLACES, (3, 4), "tokens")).values, chosen.weighed(chosen).values
    return functional.mse_loss(*sides, reduction="none").mean(-1).sum()


@pytest.mark.parametrize("share", [0.01, 0.1, 0.33, 0.9])
def test_each_example_keeps_its_largest_numbers_and_exactly_its_share(share: float) -> None:
    values = states()
    kept = kept_numbers(values, LENGTHS, "magnitude", Share(hidden=share), "float32")
    assert kept is not None
    for part, own in zip(values.split(LENGTHS), kept.split(LENGTHS), strict=True):
        count = max(1, int(share * part.numel()))
        assert int(own.sum()) == count
        assert part[own].abs().min() >= part[~own].abs().max()


def test_of_equal_numbers_the_first_are_kept() -> None:
    values = torch.ones(1, 10)
    kept = kept_numbers(values, [1], "magnitude", Share(hidden=0.3), "float32")
    assert kept is not None
    assert kept.tolist() == [[True] * 3 + [False] * 7]


def test_numbers_are_compared_as_they_are_stored() -> None:
    # Both are 1 in half precision, so that the first counts.
    values = torch.tensor([[1.0, 1.0001]])
    for precision, expected in (("float32", [False, True]), ("float16", [True, False])):
        kept = kept_numbers(values, [1], "magnitude", Share(hidden=0.5), precision)
        assert kept is not None
        assert kept[0].tolist() == expected


@pytest.mark.parametrize("scheme", ["uniform", "random"])
def test_all_states_keep_the_same_numbers(scheme: Any) -> None:
    kept = kept_numbers(states(), LENGTHS, scheme, Share(hidden=0.3, seed=5), "float32")
    assert kept is not None
    assert (kept == kept[0]).all()
    assert int(kept[0].sum()) == 6


def test_a_whole_width_is_left_as_it_is() -> None:
    chosen = compared(rows(states()), Selection(Amount(tokens=3)), "float32")
    assert chosen.factors is None
    assert torch.equal(chosen.values, states())


@pytest.mark.parametrize("scheme", ["magnitude", "uniform", "random"])
def test_the_loss_is_the_mean_over_the_numbers_that_an_example_keeps(scheme: Any) -> None:
    # Of 20 numbers 6.6 are kept: rounded by row, or by example.
    selection = Selection(Amount(hidden=0.33), hidden_scheme=scheme, seed=5)
    ours, theirs = states(2).requires_grad_(), states(1)
    kept = kept_numbers(theirs, LENGTHS, scheme, selection.share, "float32")
    assert kept is not None
    # Rows count for as many as there are, so that an example counts by its tokens.
    expected = sum(
        len(own) * float((own - other)[mask].square().mean())
        for own, other, mask in zip(
            ours.detach().split(LENGTHS), theirs.split(LENGTHS), kept.split(LENGTHS), strict=True
        )
    )
    found = mean_squares(selection, ours, theirs)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert not ours.grad[~kept].any()  # type: ignore[index]
    assert ours.grad[kept].all()  # type: ignore[index]


def test_the_published_code_moves_the_students_other_numbers_to_zero() -> None:
    selection = Selection(Amount(hidden=0.3), compat="code")
    ours, theirs = states(2).requires_grad_(), states(1)
    # `importance_mask_dynamic`: the threshold is the n-th largest of the whole batch.
    count = int(0.3 * theirs.numel())
    threshold = np.sort(theirs.abs().numpy().ravel())[::-1][count - 1]
    mask = theirs.abs() >= threshold
    found = mean_squares(selection, ours, theirs)
    assert_close(found, functional.mse_loss(ours, theirs * mask) * len(ours))
    found.backward()
    assert ours.grad[~mask].any()  # type: ignore[index]
    assert torch.equal(largest_of_batch(theirs, 0.3, "float32"), mask)
