"""A learner's loss and gradients are those of three whole runs of both models with all logits at once."""

from typing import Any

import pytest
import torch
from torch import Tensor

from kdpipe.anatomy.alignments import Pair, Site, named_alignment
from kdpipe.evaluation.tasks.language_modeling import LanguageModeling
from kdpipe.interchange.runs import Interchange, TeacherOfBoth
from kdpipe.losses.cosine import CosineLoss
from kdpipe.losses.hard import HardLoss
from kdpipe.losses.kl import KLLoss
from kdpipe.models.loading import Head
from kdpipe.signals.capture import COUNTERFACTUAL, STUDENT, TEACHER, Origin, capture
from kdpipe.training import vocabulary
from kdpipe.training.learner import Learner
from kdpipe.training.objective import Objective
from kdpipe.training.terms import Weighted, build_objective
from tests.interchange.naive import counterfactual
from tests.interchange.test_runs import BATCH
from tests.models.conftest import bodies, scattered, with_head
from tests.sums import sums_of
from tests.tolerance import assert_close

__all__ = ["bodies", "with_head"]
LOSSES = [
    Weighted(KLLoss(2.0), 0.3, positions="all", name="kl"),
    Weighted(HardLoss(), 0.2, name="hard"),
    Weighted(CosineLoss(), 0.4, name="cosine"),
    Weighted(KLLoss(2.0), 0.5, positions="all", name="kl", run="counterfactual"),
    Weighted(CosineLoss(), 0.1, name="cosine", run="counterfactual"),
]
INSIDE = (Pair(Site((1,), (1,)), Site((0,), (0,)), "values"),)
ENTRIES = [*named_alignment("middle", 3, 3), *named_alignment("full", 3, 3), INSIDE]
LABELLED = {
    "labels": torch.tensor([7, 30, 61]),
    "label_places": torch.tensor([1, 4, 9]),
    "other_places": torch.tensor([0, 2, 3, 5, 6, 7, 8, 10, 11]),
}


def weighted(objective: Objective, sums: dict[str, Tensor]) -> Tensor:
    weights = objective.weights(0)
    return torch.stack([weights[name] * value for name, value in sums.items()]).sum()


def gradients(model: Any) -> Tensor:
    return torch.cat([value.grad.flatten() for value in model.parameters() if value.grad is not None])


@pytest.mark.parametrize("name", ["bert", "distilbert", "electra", "gpt2", "roberta"])
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: str(entry[0]))
def test_the_loss_and_its_gradients_are_those_of_whole_runs(
    name: str, entry: tuple[Pair, ...], with_head: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = Head("language_modeling")
    teacher, student = scattered(with_head(name, head), 1), scattered(with_head(name, head), 2)
    monkeypatch.setattr(vocabulary, "PROCESSOR_BYTES", 4 * 4 * student.config.vocab_size)
    objective = build_objective(LOSSES, LanguageModeling, {"teacher": (3, 16)}, (3, 16), 1)
    batch, pair = {**BATCH, **LABELLED}, entry[0]
    interchange = Interchange((entry,))
    asked = objective.teachers[TEACHER], objective.counterfactual[TEACHER]

    taught = TeacherOfBoth(teacher, *asked, interchange).runs(batch)
    signals = {Origin("teacher", run): found for run, found in taught.items()}
    loss, _ = Learner(student, {"": objective}, {"": interchange})(batch, signals, objective.weights(0))
    loss.backward()
    ours = gradients(student)

    student.zero_grad()
    with torch.no_grad():
        whole = {TEACHER: capture(teacher, batch, asked[0])}
        swapped = counterfactual(teacher, batch, asked[1], pair.teacher, pair.at)
    whole[Origin("teacher", COUNTERFACTUAL)] = swapped
    whole[STUDENT] = capture(student, batch, objective.runs["base"])
    own = counterfactual(student, batch, objective.runs[COUNTERFACTUAL], pair.student, pair.at)
    whole[Origin(run=COUNTERFACTUAL)] = own
    expected = weighted(objective, sums_of(objective, whole, batch))
    expected.backward()
    assert_close(loss.detach(), expected.detach())
    assert_close(ours, gradients(student))
