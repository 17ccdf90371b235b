"""Losses on the largest logits of the teacher, all others counting as one."""

import pytest
import torch

from kdpipe.errors import ModelError
from kdpipe.losses.kl import KLLoss
from kdpipe.losses.logit_mse import LogitMSELoss
from kdpipe.losses.softened import relative_entropy
from kdpipe.losses.top_k import TopKLoss
from kdpipe.signals.outputs import largest
from kdpipe.signals.rows import Rows


def top(logits, number):
    """Return the two signals that a teacher gives of logits [N, C]."""
    rows = Rows(logits, torch.arange(len(logits)), (len(logits), 1), "examples")
    return tuple(side.values for side in largest(rows, number))


def test_the_largest_come_with_their_places_and_the_mass_of_the_others():
    logits = torch.tensor([[1.0, 4.0, 2.0, 3.0]])

    values, entries = top(logits, 2)

    assert entries.tolist() == [[1, 3]]
    torch.testing.assert_close(values, torch.tensor([[4.0, 3.0, torch.tensor([1.0, 2.0]).logsumexp(0)]]))


def test_it_is_the_divergence_of_distributions_with_one_class_for_the_others(wave):
    student, teacher = wave(3, 6), wave(3, 6, k=1.3, o=0.5)
    order = teacher.argsort(-1, descending=True)
    ours, theirs = (side.softmax(-1).gather(-1, order) for side in (student, teacher))
    merged = [torch.cat((p[:, :2], p[:, 2:].sum(-1, keepdim=True)), -1) for p in (ours, theirs)]

    rows = TopKLoss(KLLoss())(student, top(teacher, 2), "categorical")

    expected = (merged[1] * (merged[1] / merged[0]).log()).sum(-1)
    torch.testing.assert_close(rows, expected.float(), check_dtype=False, rtol=1e-5, atol=1e-6)
    assert (rows <= relative_entropy(student, teacher)).all()


def test_all_but_one_are_all(wave):
    student, teacher = wave(3, 6), wave(3, 6, k=1.3, o=0.5)

    rows = TopKLoss(KLLoss(3.0))(student, top(teacher, 5), "categorical")

    torch.testing.assert_close(rows, KLLoss(3.0)(student, teacher, "categorical"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", [KLLoss(2.0), LogitMSELoss()])
def test_a_student_like_its_teacher_costs_nothing(wave, loss):
    rows = TopKLoss(loss)(wave(3, 6).float(), top(wave(3, 6).float(), 2), "categorical")

    torch.testing.assert_close(rows, torch.zeros(3), rtol=0, atol=1e-6)


def test_the_gradient_agrees_with_finite_differences(wave):
    target = [side.double() for side in top(wave(3, 6, k=1.3, o=0.5), 2)]

    assert torch.autograd.gradcheck(
        lambda logits: TopKLoss(KLLoss(2.0))(logits, target, "categorical"), wave(3, 6).requires_grad_()
    )


def test_outputs_that_the_student_lacks_count_for_nothing(wave):
    student = wave(2, 4).requires_grad_()
    teacher = torch.cat((wave(2, 4, k=1.3), torch.full((2, 2), 9.0)), dim=-1)

    rows = TopKLoss(KLLoss())(student, top(teacher, 4), "categorical")
    rows.sum().backward()

    assert rows.isfinite().all()
    assert student.grad.isfinite().all()


def test_as_many_as_there_are_outputs_are_refused(wave):
    with pytest.raises(ModelError, match="top_k: expected fewer than the 3 outputs of the model, found 3"):
        top(wave(2, 3), 3)
