"""Losses on the hidden states of whole examples: first tokens, tokens by tokens, features by features."""

import pytest
import torch

from kdpipe.losses.gram import GramLoss
from kdpipe.losses.mmd import MMDLoss
from kdpipe.losses.pkd import PKDLoss
from kdpipe.signals.rows import Rows

LENGTHS = (3, 2)
EACH = pytest.mark.parametrize(
    "loss", [PKDLoss(), MMDLoss(), GramLoss()], ids=lambda loss: type(loss).__name__
)


def values_of(loss, *sides):
    """Return the loss of each example; a loss on two states compares a state with itself."""
    twice = [(side, side) if loss.states == "two" else side for side in sides]
    return loss(*twice, "categorical")


def rows_of(values, length=4):
    """Return the rows of two examples of 3 and 2 tokens, padded to some length."""
    places = torch.tensor([0, 1, 2, length, length + 1])
    return Rows(values, places, (2, length), "tokens")


def pair_of(wave, real, places=None, **options):
    """Return a state and the same state with its tokens in reverse order, as the golden values take them."""
    state = wave(2, 4, 6, **options)
    places = torch.tensor([0, 1, 2, 4, 5]) if places is None else places
    return [Rows(side.flatten(0, 1)[real], places, (2, 4), "tokens") for side in (state, state.flip(1))]


def states(wave, real_rows):
    """Return the real rows of the golden values' states, of a student and a teacher."""
    sides = wave(2, 4, 6), wave(2, 4, 6, k=1.3, o=0.5)
    return tuple(rows_of(side.flatten(0, 1)[real_rows]) for side in sides)


def test_pkd_matches_textbrewer(wave, real_rows):
    student, teacher = states(wave, real_rows)

    examples = PKDLoss()(student, teacher, "categorical")

    assert examples.mean().item() == pytest.approx(0.5797040950, abs=1e-9)


def test_pkd_of_one_state_an_example_matches_textbrewer(wave):
    student, teacher = (
        Rows(side, torch.arange(2), (2, 1), "tokens") for side in (wave(2, 6), wave(2, 6, k=1.3, o=0.5))
    )

    examples = PKDLoss()(student, teacher, "categorical")

    assert examples.mean().item() == pytest.approx(2.1379868605164765, abs=1e-9)


def test_gram_matches_textbrewer_with_a_mask(wave, real_rows):
    student, teacher = states(wave, real_rows)

    examples = values_of(GramLoss(), student, teacher)

    assert examples.mean().item() == pytest.approx(0.10706278773230338, abs=1e-9)


@pytest.mark.parametrize(("loss", "value"), [(GramLoss(), 0.3142174093), (MMDLoss(), 0.2716888645)])
def test_two_states_of_one_model_match_textbrewer_with_a_mask(wave, real_rows, loss, value):
    sides = [pair_of(wave, real_rows, **options) for options in ({}, {"k": 1.3, "o": 0.5})]

    examples = loss(*sides, "categorical")

    rows = 2 if loss.averaged_over == "examples" else sum(length**2 for length in LENGTHS)
    assert examples.sum().item() / rows == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(("loss", "value"), [(GramLoss(), 0.3035938224), (MMDLoss(), 0.2499620974)])
def test_two_states_of_one_model_match_textbrewer_without_padding(wave, loss, value):
    every = torch.arange(8)
    sides = [pair_of(wave, every, every, **options) for options in ({}, {"k": 1.3, "o": 0.5})]

    examples = loss(*sides, "categorical")

    assert examples.sum().item() / (2 if loss.averaged_over == "examples" else 32) == pytest.approx(
        value, abs=1e-9
    )


def test_mmd_compares_the_products_of_real_tokens(wave):
    student, teacher = rows_of(wave(5, 6)), rows_of(wave(5, 8, k=1.3, o=0.5))

    examples = values_of(MMDLoss(), student, teacher)

    for example, part in zip(examples, torch.split(torch.arange(5), LENGTHS), strict=True):
        ours, theirs = (side.values[part] for side in (student, teacher))
        expected = (ours @ ours.T / 6 - theirs @ theirs.T / 8).square().sum()
        torch.testing.assert_close(example, expected, rtol=0, atol=1e-12)


@EACH
def test_more_padding_changes_nothing(wave, loss):
    sides = wave(5, 6), wave(5, 6, k=1.3, o=0.5)

    short, long = (values_of(loss, *(rows_of(side, length) for side in sides)) for length in (4, 7))

    torch.testing.assert_close(short, long, rtol=0, atol=1e-12)


@EACH
def test_a_student_like_its_teacher_costs_nothing(wave, loss):
    assert values_of(loss, rows_of(wave(5, 6)), rows_of(wave(5, 6))).tolist() == [0.0, 0.0]


@EACH
def test_the_gradient_agrees_with_finite_differences(wave, loss):
    teacher = rows_of(wave(5, 6, k=1.3, o=0.5))

    assert torch.autograd.gradcheck(
        lambda values: values_of(loss, rows_of(values), teacher), wave(5, 6).requires_grad_()
    )


@EACH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_do_not_coarsen_it(wave, loss, dtype):
    sides = wave(5, 6).to(dtype), wave(5, 6, k=1.3, o=0.5).to(dtype)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        examples = values_of(loss, *map(rows_of, sides))

    assert examples.dtype == torch.float32
    exact = values_of(loss, *(rows_of(side.double()) for side in sides))
    torch.testing.assert_close(examples.double(), exact, rtol=1e-5, atol=1e-6)
