import pytest
import torch
from torch.nn import functional

from kdpipe.errors import ModelError
from kdpipe.losses.relation import RelationLoss
from kdpipe.signals.rows import Rows

LENGTHS = (3, 2)
PLACES = torch.tensor([0, 1, 2, 4, 5])


def rows_of(values, size=(2, 4), places=PLACES):
    return Rows(values, places, size, "tokens")


def sides(wave, student=(2, 3), teacher=(3, 4)):
    """Queries, keys and values of two examples of 3 and 2 tokens, of a student and a wider teacher."""
    ours = tuple(rows_of(wave(5, *student, o=offset)) for offset in (0.1, 0.2, 0.3))
    theirs = tuple(rows_of(wave(5, *teacher, k=1.3, o=offset)) for offset in (0.4, 0.5, 0.6))
    return ours, theirs


def by_hand(ours, theirs, heads):
    """Equations 3 to 6 of the paper, example by example, without a padding anywhere."""
    found = []
    for part in torch.split(torch.arange(5), LENGTHS):
        total = 0.0
        for student, teacher in zip(ours, theirs, strict=True):
            relations = []
            for side in (teacher, student):
                divided = side.values[part].flatten(1).chunk(heads, dim=-1)
                relations.append([own @ own.T / own.shape[-1] ** 0.5 for own in divided])
            for teachers, students in zip(*relations, strict=True):
                logs = (students.log_softmax(-1), teachers.log_softmax(-1))
                total += functional.kl_div(*logs, reduction="sum", log_target=True) / heads
        found.append(total)
    return torch.stack(found)


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_it_is_the_divergence_of_relations_whatever_the_heads(wave, heads):
    ours, theirs = sides(wave, student=(2, 3), teacher=(3, 4))

    examples = RelationLoss(relation_heads=heads)(ours, theirs, "categorical")

    torch.testing.assert_close(examples, by_hand(ours, theirs, heads))


def test_there_are_as_many_heads_as_the_teacher_has(wave):
    ours, theirs = sides(wave)

    examples = RelationLoss()(ours, theirs, "categorical")

    assert examples.equal(RelationLoss(3)(ours, theirs, "categorical"))


def test_equal_relations_cost_nothing(wave):
    _, theirs = sides(wave)

    assert RelationLoss()(theirs, theirs, "categorical").abs().max() < 1e-15


def test_padding_changes_nothing(wave):
    ours, theirs = sides(wave)
    expected = RelationLoss()(ours, theirs, "categorical")

    wider = torch.tensor([0, 1, 2, 9, 10])
    moved = [tuple(rows_of(own.values, (2, 9), wider) for own in side) for side in (ours, theirs)]
    found = RelationLoss()(moved[0], moved[1], "categorical")

    torch.testing.assert_close(found, expected)


def test_gradients_are_finite_and_autocast_does_not_coarsen_it(wave):
    ours, theirs = (
        tuple(rows_of(own.values.float().requires_grad_()) for own in side) for side in sides(wave)
    )
    expected = RelationLoss()(ours, theirs, "categorical")

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = RelationLoss()(ours, theirs, "categorical")
    found.sum().backward()

    assert found.equal(expected)
    assert all(own.values.grad.isfinite().all() for own in ours)


def test_features_that_heads_cannot_share_are_refused(wave):
    ours, theirs = sides(wave)
    with pytest.raises(ModelError, match="4 relation heads cannot share the 6 features"):
        RelationLoss(4)(ours, theirs, "categorical")
