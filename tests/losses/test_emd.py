"""The earth mover's distance between all blocks of student and teacher."""

import numpy as np
import pytest
import torch

from kdpipe.errors import TrainingError
from kdpipe.losses.emd import EMDLoss, best_flow
from kdpipe.losses.hidden_mse import HiddenMSELoss
from kdpipe.losses.soft_cross_entropy import SoftCrossEntropyLoss


def states(wave, real_rows):
    """Return the real rows of the golden values' states: embeddings and blocks of a student and a teacher."""
    student = [wave(2, 4, 6, k=0.5 + 0.1 * i) for i in range(3)]
    teacher = [wave(2, 4, 6, k=0.5 + 0.13 * i, o=0.1 * i) for i in range(5)]
    return tuple([side.flatten(0, 1)[real_rows] for side in sides[1:]] for sides in (student, teacher))


def begun(student, teacher, **options):
    loss = EMDLoss(**options)
    return loss, loss.begin(len(teacher), len(student))


def test_it_matches_textbrewer(wave, real_rows):
    student, teacher = states(wave, real_rows)
    loss, _ = begun(student, teacher)

    rows = loss(student, teacher, "categorical")

    assert rows.mean().item() == pytest.approx(0.577158144144033, abs=1e-9)


def test_the_sum_with_logits_and_embeddings_matches_textbrewer(wave, real_rows):
    student, teacher = states(wave, real_rows)
    embeddings = wave(2, 4, 6, k=0.5).flatten(0, 1)[real_rows]
    logits = wave(2, 3), wave(2, 3, k=1.3, o=0.5)
    loss, _ = begun(student, teacher)

    parts = [
        SoftCrossEntropyLoss(8.0, t_squared=False)(logits[0], logits[1], "categorical"),
        loss(student, teacher, "categorical"),
        # The embeddings of the golden values are the same on both sides.
        HiddenMSELoss()(embeddings, embeddings.clone(), "categorical"),
    ]

    assert sum(part.mean().item() for part in parts) == pytest.approx(1.6756359575857345, abs=1e-9)


def test_flows_carry_the_weights_of_all_blocks():
    costs = np.random.default_rng(0).random((3, 5))

    flow = best_flow(costs, np.full(3, 1 / 3), np.full(5, 1 / 5))

    assert flow.min() >= 0
    np.testing.assert_allclose(flow.sum(1), 1 / 3)
    np.testing.assert_allclose(flow.sum(0), 1 / 5)


def test_blocks_like_the_teachers_cost_nothing(wave, real_rows):
    _, teacher = states(wave, real_rows)
    loss, _ = begun(teacher, teacher)

    assert loss(teacher, teacher, "categorical").tolist() == [0.0] * 5


def test_the_best_pairing_is_found():
    costs = np.array([[1.0, 0.0], [0.0, 1.0]])

    assert best_flow(costs, np.full(2, 0.5), np.full(2, 0.5)).tolist() == [[0.0, 0.5], [0.5, 0.0]]


def test_blocks_that_cost_much_weigh_less_next_time():
    student, teacher = [torch.zeros(4, 2), torch.zeros(4, 2)], [torch.ones(4, 2), 3 * torch.ones(4, 2)]
    loss, weights = begun(student, teacher)

    loss(student, teacher, "categorical")

    # The teacher's blocks have cost 1 and 9, the student's as much as each other.
    torch.testing.assert_close(weights.get_buffer("teacher"), torch.tensor([0.9, 0.1]))
    torch.testing.assert_close(weights.get_buffer("student").sum(), torch.tensor(1.0))


def test_weights_stay_equal_without_an_update(wave, real_rows):
    student, teacher = states(wave, real_rows)
    loss, weights = begun(student, teacher, update=False)

    first, second = (loss(student, teacher, "categorical") for _ in range(2))

    assert first.equal(second)
    assert weights.get_buffer("student").tolist() == [0.5, 0.5]


def test_the_gradient_is_of_the_flow_as_it_is(wave, real_rows):
    student, teacher = states(wave, real_rows)
    loss, _ = begun(student, teacher, update=False)

    assert torch.autograd.gradcheck(
        lambda state: loss([state, student[1]], teacher, "categorical"), student[0].requires_grad_()
    )


def test_no_rows_cost_nothing():
    student, teacher = [torch.zeros(0, 2, requires_grad=True)], [torch.zeros(0, 2)] * 2
    loss, weights = begun(student, teacher)

    loss(student, teacher, "categorical").sum().backward()

    assert weights.get_buffer("teacher").tolist() == [0.5, 0.5]


def test_a_diverged_student_is_told():
    student, teacher = [torch.full((3, 2), torch.nan)], [torch.zeros(3, 2)]
    loss, _ = begun(student, teacher)

    with pytest.raises(TrainingError, match=r"emd: the states of student and teacher .* not finite"):
        loss(student, teacher, "categorical")
