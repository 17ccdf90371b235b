"""Callbacks of transformers' Trainer: they see the student, and an error in one leaves what was saved."""

import traceback
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import EarlyStoppingCallback, TrainerCallback

import kdpipe
from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.errors import TrainingError
from kdpipe.losses import HiddenMSELoss, KLLoss
from kdpipe.training.run import Outcome, train
from tests.signals.test_modules import hooks
from tests.test_library import rows_of
from tests.training.conftest import FAST, collator, hard, student_of, weights

SAVING = {**FAST, "num_train_epochs": 2, "per_device_train_batch_size": 32, "save_strategy": "epoch"}
EVENTS = ("init_end", "train_begin", "epoch_begin", "step_begin", "pre_optimizer_step", "step_end", "save",
          "log", "evaluate", "epoch_end", "train_end")  # fmt: skip


class Recorder(TrainerCallback):
    """Records the events, with the model, its mode and its hooks, and the saved weights after each save."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.models: list[Any] = []
        self.training: list[bool] = []
        self.hooks = 0
        self.saved: list[dict[str, torch.Tensor]] = []

    def note(self, event: str, model: Any) -> None:
        self.events.append(event)
        self.models.append(model)
        self.hooks += hooks(model)
        if event == "pre_optimizer_step":
            self.training.append(model.training)

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        self.note("save", model)
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self.saved.append(load_file(folder / "model.safetensors"))
        with torch.no_grad():
            model.eval()(torch.tensor([[2, 9, 3]]))


def _noting(event: str) -> Any:
    def on_event(
        self: Recorder, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        self.note(event, model)

    return on_event


for _event in set(EVENTS) - {"save"}:
    setattr(Recorder, f"on_{_event}", _noting(_event))


def test_every_event_has_the_student_without_hooks(classifier: Path, task_data: Path) -> None:
    teacher, student, recorder = student_of(classifier, 3), student_of(classifier), Recorder()
    losses = [KLLoss(), kdpipe.Weighted(HiddenMSELoss(), modules=[("encoder.layer.3", "encoder.layer.1")])]
    rows = rows_of(task_data)
    kdpipe.distill(
        teacher, student, rows, losses, validation=rows, callbacks=[recorder], eval_strategy="epoch", **SAVING
    )
    assert {*recorder.events} == {*EVENTS}
    assert all(model is student for model in recorder.models)
    assert not recorder.hooks


def test_a_checkpoint_is_whole_before_the_callback_and_the_mode_is_back_after(
    classifier: Path, task_data: Path
) -> None:
    student, recorder = student_of(classifier), Recorder()
    kdpipe.distill(
        student_of(classifier, 3), student, rows_of(task_data), KLLoss(), callbacks=[recorder], **SAVING
    )
    assert recorder.events.count("save") == 2
    # The first save is followed by three steps more.
    assert recorder.training == [True] * 6
    last = {name.removeprefix("student."): value for name, value in recorder.saved[-1].items()}
    for name, value in student.state_dict().items():
        assert last[name].equal(value), name


def test_a_stock_callback_stops_the_training(classifier: Path, task_data: Path) -> None:
    recorder, student = Recorder(), student_of(classifier)
    how = {**SAVING, "num_train_epochs": 9, "eval_strategy": "epoch", "load_best_model_at_end": True}
    how |= {"metric_for_best_model": "accuracy", "learning_rate": 1e-9}
    rows = rows_of(task_data)
    kdpipe.distill(
        student_of(classifier, 3), student, rows, KLLoss(), validation=rows,
        callbacks=[EarlyStoppingCallback(2), recorder], **how,
    )  # fmt: skip
    # Nothing is learned, so that the first scores stay the best.
    assert recorder.events.count("evaluate") == 3


class FailsAt(TrainerCallback):
    """Raises an error at the end of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise ValueError("the disk of the callback is full")


def test_an_error_in_a_callback_stops_with_its_own_traceback(classifier: Path, task_data: Path) -> None:
    student = student_of(classifier)
    with pytest.raises(ValueError, match="the disk of the callback is full") as raised:
        kdpipe.distill(
            student_of(classifier, 3), student, rows_of(task_data), KLLoss(), callbacks=[FailsAt(2)], **FAST
        )
    assert traceback.extract_tb(raised.tb)[-1].name == "on_step_end"
    assert raised.value.__cause__ is None
    assert not hooks(student)


def test_after_an_error_in_a_callback_a_training_goes_on(
    classifier: Path, task_data: Path, tmp_path: Path
) -> None:
    def learn(name: str, *callbacks: TrainerCallback) -> tuple[Any, Outcome]:
        student, checkpoints = student_of(classifier), Checkpoints(tmp_path / name, interval=0.0)
        return student, train(
            student, hard(), collator(task_data), SAVING, seed=5, checkpoints=checkpoints, callbacks=callbacks
        )

    expected, outcome = learn("undisturbed")
    with pytest.raises(ValueError, match="the disk of the callback"):
        learn("disturbed", FailsAt(3))
    assert Checkpoints(tmp_path / "disturbed").latest() == tmp_path / "disturbed" / "step-2"
    found, again = learn("disturbed")
    assert weights(found).equal(weights(expected))
    assert again.history == outcome.history


def test_what_is_no_callback_is_refused(classifier: Path, task_data: Path) -> None:
    models, rows = (student_of(classifier, 3), student_of(classifier)), rows_of(task_data)
    for wrong in ("early", EarlyStoppingCallback):
        with pytest.raises(TrainingError, match=r"callbacks: expected objects of transformers.TrainerCall"):
            kdpipe.distill(*models, rows, KLLoss(), callbacks=[wrong], **FAST)
