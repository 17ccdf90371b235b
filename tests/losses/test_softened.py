"""What divergences of softened distributions share: gradients, ruled-out classes and kinds of output."""

import pytest
import torch

from kdpipe.losses.jsd import JSDLoss
from kdpipe.losses.kl import KLLoss
from kdpipe.losses.reverse_kl import ReverseKLLoss
from kdpipe.losses.soft_cross_entropy import SoftCrossEntropyLoss
from kdpipe.losses.tvd import TVDLoss

BOTH = pytest.mark.parametrize("loss_class", [KLLoss, SoftCrossEntropyLoss])
DIVERGENCES = [KLLoss, SoftCrossEntropyLoss, ReverseKLLoss, JSDLoss, TVDLoss]
EACH = pytest.mark.parametrize("loss_class", DIVERGENCES)
INFINITY = float("inf")


@BOTH
@pytest.mark.parametrize("t_squared", [False, True])
def test_the_gradient_is_the_difference_of_the_distributions(wave, loss_class, t_squared):
    temperature = 8.0
    student, teacher = wave(2, 3).requires_grad_(), wave(2, 3, k=1.3, o=0.5)

    loss_class(temperature, t_squared)(student, teacher, "categorical").mean().backward()

    difference = (student / temperature).softmax(-1) - (teacher / temperature).softmax(-1)
    scale = temperature**2 if t_squared else 1.0
    expected = scale * difference / (len(student) * temperature)
    torch.testing.assert_close(student.grad, expected.detach(), rtol=0, atol=1e-12)


@EACH
@pytest.mark.parametrize("kind", ["categorical", "binary", "regression"])
def test_the_gradient_agrees_with_finite_differences(wave, loss_class, kind):
    student, teacher = wave(3, 4).requires_grad_(), wave(3, 4, k=1.3, o=0.5)

    assert torch.autograd.gradcheck(lambda x: loss_class(3.0)(x, teacher, kind), student)


@EACH
def test_a_class_that_both_rule_out_is_as_if_it_were_not_there(wave, loss_class):
    student, teacher = wave(2, 4), wave(2, 4, k=1.3, o=0.5)
    without = loss_class(2.0)(student[:, :3], teacher[:, :3], "categorical")
    student[:, 3] = teacher[:, 3] = -INFINITY
    student.requires_grad_()

    rows = loss_class(2.0)(student, teacher, "categorical")
    rows.sum().backward()

    torch.testing.assert_close(rows.detach(), without)
    assert student.grad.isfinite().all()
    assert (student.grad[:, 3] == 0).all()


@BOTH
def test_a_class_that_the_teacher_rules_out_is_pushed_down(wave, loss_class):
    student, teacher = wave(2, 4).requires_grad_(), wave(2, 4, k=1.3, o=0.5)
    teacher[:, 3] = -INFINITY

    rows = loss_class(2.0)(student, teacher, "categorical")
    rows.sum().backward()

    assert rows.isfinite().all()
    assert (student.grad[:, 3] > 0).all()


@BOTH
def test_labels_that_the_teacher_is_sure_of_give_finite_values(wave, loss_class):
    teacher = torch.full((2, 3), -INFINITY, dtype=torch.float64)

    rows = loss_class()(wave(2, 3), teacher, "binary")

    torch.testing.assert_close(rows, torch.nn.functional.softplus(wave(2, 3)).mean(-1))


@EACH
def test_a_diverged_student_is_not_hidden(wave, loss_class):
    student = wave(2, 3)
    student[1, 2] = float("nan")

    rows = loss_class()(student, wave(2, 3), "categorical")

    assert rows.isnan().tolist() == [False, True]


@EACH
def test_regression_is_the_squared_difference_whatever_the_temperature(loss_class):
    student, teacher = torch.tensor([[1.0], [4.0]]), torch.tensor([[3.0], [4.0]])

    assert loss_class(5.0)(student, teacher, "regression").tolist() == [4.0, 0.0]


@EACH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(wave, loss_class, dtype):
    student, teacher = wave(4, 50).to(dtype).requires_grad_(), wave(4, 50, k=1.3).to(dtype)

    rows = loss_class(3.0)(student, teacher, "categorical")
    rows.sum().backward()

    expected = loss_class(3.0)(student.double(), teacher.double(), "categorical")
    assert rows.dtype == torch.float32
    assert student.grad.dtype == dtype
    torch.testing.assert_close(rows.double(), expected, rtol=1e-5, atol=1e-5)
