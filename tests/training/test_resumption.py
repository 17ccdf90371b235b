"""A training that was stopped at any step ends with the bits of an undisturbed training."""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.artifacts.sums import write_sums
from kdpipe.data.batches import Collator
from kdpipe.data.encoded import validation_split
from kdpipe.errors import StoppedError, TrainingError
from kdpipe.evaluation.scoring import scorer
from kdpipe.evaluation.tasks.classification import Classification
from kdpipe.models.loading import load_tokenizer, load_with_head
from kdpipe.training.objective import Objective
from kdpipe.training.run import Outcome, train
from kdpipe.training.terms import hard_term
from tests.training.conftest import FAST, HEAD, collator

BASE = {**FAST, "num_train_epochs": 3, "per_device_train_batch_size": 32, "logging_steps": 3}
BEST = {
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "load_best_model_at_end": True,
    "metric_for_best_model": "accuracy",
    "early_stopping_patience": 2,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": BASE,
    "accumulated": {**BASE, "per_device_train_batch_size": 8, "gradient_accumulation_steps": 4},
    "best": {**BASE, **BEST},
}


class KilledError(Exception):
    """What stands for the end of a process."""


class Interrupted(Collator):
    """A collator that does something before it makes its n-th batch."""

    def __init__(self, made: Collator, after: int, act: Callable[[], None]) -> None:
        vars(self).update(vars(made))
        self.left, self.act = after, act

    def __call__(self, indices: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            self.act()
        return super().__call__(indices)


@pytest.fixture
def run(classifier: Path, task_data: Path, tmp_path: Path) -> Callable[..., tuple[Any, Outcome]]:
    """A function that trains a classifier with dropout, from what an earlier run left."""

    def start(name: str, options: dict[str, Any], after: int = 0, act: Any = None, **more: Any) -> Any:
        model = load_with_head(classifier, HEAD, 1)
        batches = collator(task_data)
        score = scorer(validation_split(task_data), load_tokenizer(classifier), seed=1, probability=0.0)
        outcome = train(
            model,
            Objective([hard_term(Classification)], "categorical"),
            Interrupted(batches, after, act) if after else batches,
            options,
            seed=5,
            checkpoints=Checkpoints(tmp_path / name, **more),
            evaluate=score,
        )
        return model, outcome

    return start


def die() -> None:
    raise KilledError


def assert_same(one: tuple[Any, Outcome], other: tuple[Any, Outcome]) -> None:
    for (name, value), found in zip(one[0].state_dict().items(), other[0].state_dict().values(), strict=True):
        assert torch.equal(value, found), name
    for row, found in zip(one[1].history, other[1].history, strict=True):
        assert row == found
    assert one[1].seen == other[1].seen


@pytest.mark.slow
@pytest.mark.parametrize("kind", OPTIONS)
def test_killed_at_every_few_batches_it_ends_the_same(run: Any, kind: str, tmp_path: Path) -> None:
    options = OPTIONS[kind]
    undisturbed = run("undisturbed", options)
    batches = options.get("gradient_accumulation_steps", 1)
    for steps in (1, 3, 2, 4, 1, 2):
        with pytest.raises(KilledError):
            run("killed", options, steps * batches, die, interval=0.0)
    resumed = run("killed", options)
    assert_same(undisturbed, resumed)
    assert not (tmp_path / "killed").exists()


@pytest.mark.parametrize(("first", "second"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_on_another_processor_it_goes_on_in_the_precision_that_it_began_in(
    run: Any, processor: Callable[[str], None], first: str, second: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = {name: value for name, value in BASE.items() if name != "bf16"}
    processor(first)
    undisturbed = run("undisturbed", options)
    with pytest.raises(KilledError):
        run("killed", options, 4, die, interval=0.0)
    processor(second)
    with caplog.at_level("INFO"):
        resumed = run("killed", options)
    assert_same(undisturbed, resumed)
    assert resumed[1].precision.name == first
    assert f"multiplied in {first}, as the stopped training had it" in caplog.text


def test_a_checkpoint_names_best_weights_that_are_there(
    run: Any, task_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Trainer removes checkpoints that were the best before."""
    scores = iter([0.1, 0.2])
    target = "tests.training.test_resumption.scorer"
    monkeypatch.setattr(target, lambda *_, **__: lambda model: {"accuracy": next(scores)})
    two_epochs = 2 * -(-len(collator(task_data).split) // 32)
    with pytest.raises(KilledError):
        run("killed", OPTIONS["best"], two_epochs + 2, die, interval=1e9)
    (checkpoint,) = (tmp_path / "killed").glob("step-*")
    assert checkpoint.name == f"step-{two_epochs}"
    best = json.loads((checkpoint / "trainer_state.json").read_text())["best_model_checkpoint"]
    assert Path(best, "model.safetensors").exists()


@pytest.mark.slow
def test_a_signal_stops_it_after_a_step_and_it_goes_on(run: Any, tmp_path: Path) -> None:
    undisturbed = run("undisturbed", BASE)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        before = signal.getsignal(number)
        with pytest.raises(StoppedError, match=f"stopped by {number.name} after step 1 of"):
            run("stopped", BASE, 2, lambda number=number: os.kill(os.getpid(), number))
        assert signal.getsignal(number) == before
        assert [path.name for path in (tmp_path / "stopped").iterdir()] == ["step-1"]
        resumed = run("stopped", BASE)
        assert_same(undisturbed, resumed)


def test_it_stops_before_the_time_limit(run: Any) -> None:
    with pytest.raises(StoppedError, match="stopped by the time limit after step 1 of"):
        run("late", BASE, deadline=time.monotonic() + 20)


def test_a_checkpoint_that_is_not_whole_does_not_count(run: Any, tmp_path: Path) -> None:
    undisturbed = run("undisturbed", BASE)
    with pytest.raises(KilledError):
        run("broken", BASE, 4, die, interval=0.0)
    (checkpoint,) = (tmp_path / "broken").iterdir()
    (checkpoint / "optimizer.pt").write_bytes(b"")
    assert_same(undisturbed, run("broken", BASE))


def test_what_is_not_kept_yet_is_not_trained_anew(run: Any, tmp_path: Path) -> None:
    undisturbed = run("kept", BASE, interval=0.0, persistent=True)
    (checkpoint,) = (tmp_path / "kept").glob("step-*")
    before = (checkpoint / "model.safetensors").stat().st_mtime_ns
    assert_same(undisturbed, run("kept", BASE, interval=1e9, persistent=True))
    assert (checkpoint / "model.safetensors").stat().st_mtime_ns == before


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "pytorch_model.bin"])
@pytest.mark.parametrize("listed", [False, True])
def test_a_planted_pickle_is_not_executed(run: Any, name: str, listed: bool, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run("planted", BASE, 4, die, interval=0.0)
    (checkpoint,) = (tmp_path / "planted").iterdir()
    torch.save(Planted(tmp_path / "executed"), checkpoint / name)
    if listed:
        write_sums(checkpoint)
    # Unlisted, the checkpoint does not count; listed, PyTorch refuses, and weights are read from safetensors.
    refused = listed and name != "pytorch_model.bin"
    with pytest.raises(UnpicklingError) if refused else nullcontext():
        run("planted", BASE)
    assert not (tmp_path / "executed").exists()


def test_a_checkpoint_that_lacks_weights_is_refused(run: Any, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        run("lacking", BASE, 4, die, interval=0.0)
    (checkpoint,) = (tmp_path / "lacking").iterdir()
    weights = load_file(checkpoint / "model.safetensors")
    del weights["student.classifier.bias"]
    save_file(weights, checkpoint / "model.safetensors")
    write_sums(checkpoint)
    with pytest.raises(TrainingError, match=r"they differ in student\.classifier\.bias"):
        run("lacking", BASE)


def test_what_was_stopped_early_does_not_go_on(run: Any) -> None:
    options = {**BASE, **BEST, "learning_rate": 0.0, "num_train_epochs": 5, "early_stopping_patience": 1}
    undisturbed = run("early", options, interval=0.0, persistent=True)
    assert max(row["epoch"] for row in undisturbed[1].history) == 2
    assert_same(undisturbed, run("early", options, interval=0.0, persistent=True))
