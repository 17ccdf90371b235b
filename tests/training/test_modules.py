"""Terms on outputs of modules: weight, loss, projection and padding, as TextBrewer's custom matches."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import TrainerCallback

from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.errors import ModelError
from kdpipe.evaluation.tasks.classification import Classification
from kdpipe.losses.hidden_mse import HiddenMSELoss
from kdpipe.losses.mmd import MMDLoss
from kdpipe.signals.capture import STUDENT, TEACHER, Teacher, capture
from kdpipe.training.objective import Objective
from kdpipe.training.projection import Projection
from kdpipe.training.run import train
from kdpipe.training.terms import Weighted, build_objective
from kdpipe.training.trial import try_out
from tests.signals.test_modules import hooks
from tests.sums import sums_of
from tests.tolerance import assert_close
from tests.training.conftest import FAST, collator, student_of, weights
from tests.training.test_callbacks import FailsAt

PAIRS = [("encoder.layer.3.intermediate", "encoder.layer.1.output"), ("encoder.layer.0", "embeddings")]


def objective_of(*losses: Weighted) -> Objective:
    return build_objective(losses, Classification, {"teacher": (4, 16)}, (4, 16), seed=1)


def teachers_of(objective: Objective, folder: Path) -> dict[Any, Teacher]:
    model = student_of(folder, seed=3).eval()
    return {origin: Teacher(model, request) for origin, request in objective.teachers.items()}


def test_a_term_is_the_weighted_mean_over_real_tokens_of_its_pairs(
    language_model: Path, task_data: Path
) -> None:
    losses = Weighted(HiddenMSELoss(), 3.0, modules=PAIRS, projection=Projection("tanh"))
    objective, student = objective_of(losses), student_of(language_model).eval()
    teachers, batches = teachers_of(objective, language_model), collator(task_data)
    try_out(objective, student, batches, teachers)
    maps: Any = objective.projections["HiddenMSELoss"]
    assert [tuple(each[0].weight.shape) for each in maps] == [(32, 16), (16, 16)]
    batch = batches([0, 1, 2])
    teacher = teachers[TEACHER].model
    read: dict[int, Any] = {}
    names = [(teacher, PAIRS[0][0]), (student, PAIRS[0][1]), (teacher, PAIRS[1][0]), (student, PAIRS[1][1])]
    for number, (model, name) in enumerate(names):
        model.bert.get_submodule(name).register_forward_hook(
            lambda _, args, output, number=number: read.update({number: output})
        )
    signals = {
        TEACHER: teachers[TEACHER](batch),
        STUDENT: capture(student, batch, objective.requests[STUDENT]),
    }
    found = sums_of(objective, signals, batch)["HiddenMSELoss"]
    real = batch["attention_mask"].bool()
    expected: Any = sum(
        functional.mse_loss(
            torch.tanh(each[0](read[2 * number + 1][real])), read[2 * number][real], reduction="none"
        ).mean(-1).sum()
        for number, each in enumerate(maps)
    )  # fmt: skip
    assert_close(found, expected / 2)
    assert objective.weights(0) == {"HiddenMSELoss": 3.0}


def test_widths_that_differ_need_a_projection(language_model: Path, task_data: Path) -> None:
    def tried(loss: Any, **choices: Any) -> None:
        objective = objective_of(Weighted(loss, modules=PAIRS, **choices))
        teachers = teachers_of(objective, language_model)
        try_out(objective, student_of(language_model), collator(task_data), teachers)

    with pytest.raises(ModelError, match=r"rows are 32 wide, the student's 16; give a `projection`"):
        tried(HiddenMSELoss())
    with pytest.raises(ModelError, match=r"a shared `projection` maps one width .* 16 to 32, 16 to 16"):
        tried(HiddenMSELoss(), projection=Projection(shared=True))
    # Similarities of tokens are compared whatever the widths.
    tried(MMDLoss())


def test_a_name_that_is_none_is_told_before_the_training(language_model: Path, task_data: Path) -> None:
    objective = objective_of(Weighted(HiddenMSELoss(), modules=[("encoder.layer.3", "encoder.layr.1")]))
    student, steps = student_of(language_model), Steps()
    with pytest.raises(ModelError, match=r"'encoder\.layr\.1' is no module of the BertModel; did you mean"):
        train(
            student, objective, collator(task_data), FAST, seed=1,
            teachers=teachers_of(objective, language_model), callbacks=[steps],
        )  # fmt: skip
    assert not steps.hooks
    assert not hooks(student)


class Steps(TrainerCallback):
    """Counts the hooks of the student at each step, and runs the student as an evaluation would."""

    def __init__(self) -> None:
        self.hooks: list[int] = []

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.hooks.append(hooks(model))
        with torch.no_grad():
            model.eval()(torch.tensor([[2, 9, 3]]))


def test_modules_are_matched_in_a_training_without_hooks_that_stay(
    language_model: Path, task_data: Path
) -> None:
    projection = Projection("linear", learning_rate=1e-2)
    objective = objective_of(Weighted(HiddenMSELoss(), modules=PAIRS, projection=projection))
    student, steps = student_of(language_model), Steps()
    teachers = teachers_of(objective, language_model)
    fields = {**FAST, "num_train_epochs": 4, "logging_steps": 1}
    outcome = train(
        student, objective, collator(task_data), fields, seed=1, teachers=teachers, callbacks=[steps]
    )
    losses = [row["value"] for row in outcome.history if row["name"] == "loss"]
    assert losses[-1] < 0.7 * losses[0]
    assert steps.hooks == [0] * len(losses)
    assert not hooks(student)
    assert not hooks(teachers[TEACHER].model)


def test_projections_of_modules_are_restored(language_model: Path, task_data: Path, tmp_path: Path) -> None:
    def learn(name: str, *callbacks: TrainerCallback) -> tuple[torch.Tensor, Objective]:
        losses = Weighted(HiddenMSELoss(), modules=PAIRS, projection=Projection(learning_rate=1e-2))
        objective, student = objective_of(losses), student_of(language_model)
        train(
            student, objective, collator(task_data), FAST, seed=1, callbacks=callbacks,
            teachers=teachers_of(objective, language_model), checkpoints=Checkpoints(tmp_path / name, 0.0),
        )  # fmt: skip
        return weights(student), objective

    expected, objective = learn("undisturbed")
    with pytest.raises(ValueError, match="the disk of the callback"):
        learn("disturbed", FailsAt(7))
    found, again = learn("disturbed")
    assert found.equal(expected)
    for one, other in zip(objective.parameters(), again.parameters(), strict=True):
        assert one.equal(other)
