"""The library shows how far it has come, and tells callbacks."""

import os
import pty
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from transformers import EarlyStoppingCallback, TrainerCallback

import kdpipe
from kdpipe.errors import KdpipeError
from kdpipe.losses import HiddenMSELoss, KLLoss
from kdpipe.models.loading import load_model
from kdpipe.pruning.criteria.magnitude import Magnitude
from tests.test_library import FAST, rows_of


def last_of_bars(printed: str) -> list[str]:
    """Return what each bar showed at last."""
    return [line.strip("\r").split("\r")[-1] for line in printed.split("\n") if "%|" in line]


def test_bars_tell_what_is_done_and_how_much(
    classifier: Path, task_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teachers, student = {name: load_model(classifier) for name in "ab"}, load_model(classifier)
    rows = rows_of(task_data)
    losses = [kdpipe.Weighted(HiddenMSELoss(), layers="spaced", teacher=name) for name in teachers]
    capsys.readouterr()
    kdpipe.distill(teachers, student, rows, losses, cache="float16", progress=True, **FAST)
    kdpipe.prune(student, rows, sparsity=0.5, batches=3, progress=True)
    kdpipe.evaluate(student, rows, progress=True)
    cached, distilled, pruned, evaluated = last_of_bars(capsys.readouterr().err)
    assert cached.startswith("cache: 100%")
    assert f"{2 * len(rows)}/{2 * len(rows)} [" in cached
    steps = -(-len(rows) // FAST["per_device_train_batch_size"])
    assert distilled.startswith("distill: 100%")
    assert f"{steps}/{steps} [" in distilled
    assert "loss=" in distilled
    assert pruned.startswith("prune: 100%")
    assert "3/3 [" in pruned
    assert evaluated.startswith("evaluate: 100%")
    assert f"{len(rows)}/{len(rows)} [" in evaluated


def test_bars_are_shown_on_a_terminal_alone_unless_asked(
    classifier: Path, task_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher, model, rows = load_model(classifier), load_model(classifier), rows_of(task_data)
    capsys.readouterr()
    kdpipe.evaluate(model, rows)
    kdpipe.prune(model, rows, sparsity=0.5)
    kdpipe.distill(teacher, model, rows, [KLLoss()], cache="float32", max_steps=1)
    assert not last_of_bars(capsys.readouterr().err)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        kdpipe.evaluate(model, rows, progress=False)
        kdpipe.evaluate(model, rows)
        terminal.flush()
        shown = ""
        # A terminal hands on what is written in pieces.
        while "100%" not in shown:
            shown += os.read(ours, 4096).decode()
    os.close(ours)
    [bar] = last_of_bars(shown)
    assert bar.startswith("evaluate: 100%")


class Stops(TrainerCallback):
    """Keeps the logs, and stops after a step."""

    def __init__(self) -> None:
        self.logs: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        self.logs.append(dict(logs))
        control.should_training_stop = True


def test_a_callback_learns_of_each_loss_and_stops_the_training(
    classifier: Path, task_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models, stops = (load_model(classifier), load_model(classifier)), Stops()
    losses = [KLLoss(), kdpipe.Weighted(HiddenMSELoss(), layers="last", name="states")]
    kdpipe.distill(*models, rows_of(task_data), losses, callbacks=[stops], progress=True, **FAST)
    first, *others = [log for log in stops.logs if "loss" in log]
    assert {"KLLoss", "states"} < {*first}
    assert not others
    assert "1/6 [" in last_of_bars(capsys.readouterr().err)[-1]


def test_functions_learn_how_much_is_done(classifier: Path, task_data: Path) -> None:
    model, rows = load_model(classifier), rows_of(task_data)
    calls: list[tuple[int, int]] = []

    def note(done: int, total: int) -> None:
        calls.append((done, total))

    kdpipe.evaluate(model, rows, batch_size=40, callbacks=[note])
    assert calls == [(40, 96), (80, 96), (96, 96)]
    calls.clear()
    kdpipe.prune(model, rows, sparsity=0.5, batch_size=40, callbacks=[note])
    assert calls == [(1, 3), (2, 3), (3, 3)]
    calls.clear()
    kdpipe.prune(model, rows, sparsity=0.5, criterion=Magnitude, callbacks=[note], progress=True)
    assert not calls


def test_an_error_in_a_function_leaves_the_model_as_it_was(classifier: Path, task_data: Path) -> None:
    model, rows = load_model(classifier), rows_of(task_data)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def stop(done: int, total: int) -> None:
        raise ValueError(f"stopped after {done} of {total}")

    with pytest.raises(ValueError, match="stopped after 1 of 3"):
        kdpipe.prune(model, rows, sparsity=0.5, callbacks=[stop])
    with pytest.raises(ValueError, match="stopped after 64 of 96"):
        kdpipe.evaluate(model, rows, callbacks=[stop])
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_what_cannot_follow_is_refused_before_a_teacher_runs(classifier: Path, task_data: Path) -> None:
    teacher, student, rows = load_model(classifier), load_model(classifier), rows_of(task_data)
    runs: list[Any] = []
    teacher.register_forward_hook(lambda *_: runs.append(1))

    def distill(**how: Any) -> Any:
        return kdpipe.distill(teacher, student, rows, [KLLoss()], **how)

    stop = EarlyStoppingCallback(1)
    wrong: list[tuple[Any, str]] = [
        (
            lambda: distill(callbacks=stop),
            "a list of objects of transformers.TrainerCallback, found <.*Early",
        ),
        (lambda: distill(callbacks=None), "a list of objects of transformers.TrainerCallback, found None"),
        (lambda: distill(callbacks=[print]), "objects of transformers.TrainerCallback, found <built-in"),
        (lambda: distill(callbacks=[stop]), "early stopping: .* eval_strategy=None, metric_for_best_model=N"),
        (
            lambda: distill(early_stopping_patience=1, metric_for_best_model="f1", eval_strategy="no"),
            "early stopping: .* eval_strategy='no', metric_for_best_model='f1'; give both",
        ),
        (lambda: distill(disable_tqdm=True), "disable_tqdm: .*`progress=False`"),
        (
            lambda: kdpipe.evaluate(teacher, rows, callbacks=print),
            "callbacks: .* such as .print., found <buil",
        ),
        (lambda: kdpipe.prune(teacher, rows, sparsity=0.5, callbacks=[stop]), "of two numbers.*found .<tran"),
    ]
    for call, message in wrong:
        with pytest.raises(KdpipeError, match=message):
            call()
    assert not runs
