"""A run on one example refuses what no config tells, before anything is trained."""

from pathlib import Path

import pytest
import torch

from kdpipe.errors import ModelError
from kdpipe.evaluation.tasks.classification import Classification
from kdpipe.losses.attention_ce import AttentionCELoss
from kdpipe.losses.attention_mse import AttentionMSELoss
from kdpipe.losses.loss import Loss
from kdpipe.losses.relation import RelationLoss
from kdpipe.models.family import family_of
from kdpipe.models.units import UNITS
from kdpipe.pruning.cut import prune_to_sparsity, rank_units
from kdpipe.signals.capture import Teacher
from kdpipe.training.run import train
from kdpipe.training.terms import Weighted, build_objective
from tests.training.conftest import FAST, collator, student_of, weights

ONE_BY_ONE = r"attentions: .* need equally many heads in a block"


@pytest.mark.parametrize(("loss", "fault"), [
    (AttentionMSELoss(), ONE_BY_ONE),
    (AttentionCELoss(), ONE_BY_ONE),
    (RelationLoss(16), "relation: 16 relation heads cannot share the 8 features"),
])  # fmt: skip
def test_blocks_of_a_pruned_student_have_other_numbers_of_heads(
    classifier: Path, task_data: Path, loss: Loss, fault: str
) -> None:
    source = student_of(classifier)
    groups = family_of(source).groups(source.base_model)
    generator = torch.Generator().manual_seed(0)
    ranks = {
        kind: rank_units([torch.rand(g.count(source.base_model), generator=generator) for g in groups[kind]])
        for kind in UNITS
    }
    # Of eight heads one goes.
    student = prune_to_sparsity(source, 0.125, ranks)
    pairs = [Weighted(loss, layers=[(1, 1), (2, 2), (3, 3), (4, 4)])]
    objective = build_objective(pairs, Classification, {"teacher": (4, 16)}, (4, 16), seed=1)
    teacher = student_of(classifier).eval()
    teachers = {origin: Teacher(teacher, request) for origin, request in objective.teachers.items()}
    before = weights(student)

    with pytest.raises(ModelError, match=rf"\w+Loss, teacher block \d, student block \d: {fault}"):
        train(student, objective, collator(task_data), FAST, seed=1, teachers=teachers)

    assert weights(student).equal(before)
