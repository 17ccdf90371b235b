"""Every loss of the catalog keeps the contract of losses."""

from typing import get_args

import pytest
import torch

from kdpipe.anatomy.signals import SIGNAL_KINDS, Averaged
from kdpipe.catalog import LOSSES, resolve
from kdpipe.declarations import constants
from kdpipe.losses.loss import OutputKind
from kdpipe.signals.rows import pack

EVERY_LOSS = pytest.mark.parametrize("name", sorted(LOSSES))
BY_ROW = [
    name
    for name in sorted(LOSSES)
    if (constants(LOSSES[name])["compares"], constants(LOSSES[name])["states"]) == ("rows", "one")
]
EVERY_LOSS_OF_ROWS = pytest.mark.parametrize("name", BY_ROW)
EVERY_KIND = pytest.mark.parametrize("kind", get_args(OutputKind))


def make_target(name, kind, teacher):
    """Return the labels or the teacher's rows, whichever the loss reads."""
    if resolve("losses", name).teacher_kinds:
        return teacher
    labels = {
        "categorical": torch.arange(len(teacher)) % teacher.shape[-1],
        "binary": (teacher > 0).double(),
        "regression": teacher.flatten(),
    }
    return labels[kind]


def make_rows(wave, name, kind, num_rows=5):
    shape = (num_rows, *heads_of(name), 1 if kind == "regression" else 6)
    student, teacher = wave(*shape, o=0.2), wave(*shape, k=1.3, o=0.5)
    if heads_of(name):
        student, teacher = student.softmax(-1), teacher.softmax(-1)
    return student, make_target(name, kind, teacher)


def heads_of(name):
    """Return what rows have between their number and their width: attention probabilities have heads."""
    return (2,) if resolve("losses", name).student_kinds == ("attentions",) else ()


@EVERY_LOSS
def test_its_source_says_what_it_reads(name):
    loss_class = resolve("losses", name)
    declared = constants(LOSSES[name])

    assert {*declared["student_kinds"], *declared["teacher_kinds"]} <= {*SIGNAL_KINDS}
    assert declared["averaged_over"] in get_args(Averaged)
    assert declared == {key: getattr(loss_class, key) for key in declared}


@EVERY_LOSS
def test_its_docstring_names_a_reference(name):
    docstring = resolve("losses", name).__doc__

    assert "Reference:" in docstring
    assert "arXiv" in docstring


@EVERY_LOSS
def test_its_name_is_that_of_its_module(name):
    module, _, _ = LOSSES[name].partition(":")

    assert module == f"kdpipe.losses.{name}"


@EVERY_LOSS_OF_ROWS
@EVERY_KIND
def test_each_row_has_its_own_value(wave, name, kind):
    loss = resolve("losses", name)()
    student, target = make_rows(wave, name, kind)

    rows = loss(student, target, kind)

    assert rows.shape == (5,)
    torch.testing.assert_close(loss(student[2:3], target[2:3], kind), rows[2:3])


@EVERY_LOSS_OF_ROWS
@EVERY_KIND
def test_no_rows_cost_nothing(wave, name, kind):
    student, target = make_rows(wave, name, kind, num_rows=0)
    student.requires_grad_()

    total = resolve("losses", name)()(student, target, kind).sum()
    total.backward()

    assert total.item() == 0.0


@EVERY_LOSS_OF_ROWS
@EVERY_KIND
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_single_precision(wave, name, kind, dtype):
    student, target = make_rows(wave, name, kind)
    student = student.to(dtype).requires_grad_()
    target = target.to(dtype) if target.is_floating_point() else target

    rows = resolve("losses", name)()(student, target, kind)
    rows.sum().backward()

    assert rows.dtype == torch.float32
    assert student.grad.isfinite().all()


@EVERY_LOSS_OF_ROWS
@EVERY_KIND
def test_autocast_does_not_coarsen_it(wave, name, kind):
    student, target = make_rows(wave, name, kind)
    student = student.float()
    target = target.float() if target.is_floating_point() else target
    loss = resolve("losses", name)()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows = loss(student, target, kind)

    assert rows.equal(loss(student, target, kind))


@EVERY_LOSS_OF_ROWS
@pytest.mark.parametrize("padding", [0.0, 1e4, float("nan")])
def test_padding_changes_nothing(wave, real_rows, name, padding):
    loss = resolve("losses", name)()
    shape = (2, 4, *heads_of(name), 6)
    student, teacher = wave(*shape).softmax(-1), wave(*shape, k=1.3, o=0.5).softmax(-1)
    expected = loss(
        pack(student, real_rows),
        make_target(name, "categorical", pack(teacher, real_rows)),
        "categorical",
    )

    for tensor in (student, teacher):
        tensor[0, 3:] = tensor[1, 2:] = padding
    rows = loss(
        pack(student, real_rows),
        make_target(name, "categorical", pack(teacher, real_rows)),
        "categorical",
    )

    assert rows.equal(expected)
