"""A stopped training goes on from its last checkpoint, and ends with the same bits as an undisturbed one.

The Trainer restores weights, optimizer, scheduler, random numbers and its own state, and skips the batches
of earlier steps. This module decides when to write checkpoints, and restores what the Trainer leaves out.
"""

import json
import logging
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from kdpipe import processes
from kdpipe.artifacts.checkpoints import Checkpoints
from kdpipe.errors import StoppedError
from kdpipe.models.precision import Precision
from kdpipe.training.embeddings import has_occurring_rows

LOG = logging.getLogger(__name__)
PROGRESS = "progress.json"
STATE = "trainer_state.json"
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# Before a deadline there is time for these steps and checkpoints, and for the end of the stage.
STEPS_LEFT, CHECKPOINTS_LEFT, SECONDS_LEFT = 3, 3, 30.0


class Resumption(TrainerCallback):
    """Writes checkpoints of a training, and stops the training on a signal or near its deadline.

    Args:
        checkpoints: the checkpoints, and the times when they are due.

    Attributes:
        resumed: the checkpoint that the training goes on from; None for a new training.
        precision: precision of matrix products before the checkpoint.
        occurring_rows: whether only some rows of the word embeddings were trained before the checkpoint.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.resumed = processes.shared(checkpoints.latest)
        first = json.loads((self.resumed / PROGRESS).read_text(encoding="utf-8"))[0] if self.resumed else {}
        self.precision = Precision(first["precision"], "the stopped training had it") if first else None
        self.occurring_rows: bool | None = first.get("occurring_rows")
        self._trainer: Any = None
        self._before: dict[signal.Signals, Any] = {}
        self._signal = ""
        self._between_epochs = False
        self._best: str | None = None
        self._written = self._stepped = time.monotonic()
        self._longest_step = self._longest_writing = 0.0

    def attach(self, trainer: Any) -> None:
        """Connect to a trainer, which calls `after_step`."""
        self._trainer = trainer
        trainer.add_callback(self)

    def train(self) -> Any:
        """Train from the newest checkpoint, or from the beginning, and return what the Trainer returns."""
        if self.resumed is None and not processes.rank():
            self.checkpoints.clear()
        with self._listening():
            result = self._trainer.train(str(self.resumed) if self.resumed else None)
        processes.gathered(None)
        if not self.checkpoints.persistent and not processes.rank():
            self.checkpoints.clear()
        return result

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Let the first signal stop the training after its current step; a second signal works as usual."""
        self._before = {number: signal.signal(number, self._note_signal) for number in STOPPING}
        try:
            yield
        finally:
            self._stop_listening()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Restore what the Trainer does not restore."""
        if self.resumed is not None:
            LOG.info("going on from %s", self.resumed)
            _restore(self._trainer, json.loads((self.resumed / PROGRESS).read_text(encoding="utf-8")))
        self._best = state.best_model_checkpoint

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note that the Trainer has logged and evaluated the last epoch."""
        self._between_epochs = False

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note that an epoch's last step is over."""
        self._between_epochs = True

    def after_step(self) -> None:
        """Write a checkpoint if it is due; called after the log and evaluation of a step or an epoch.

        Raises:
            StoppedError: a signal has come, or the deadline is near.
        """
        now = time.monotonic()
        self._longest_step = max(self._longest_step, now - self._stepped)
        self._stepped = now
        state = self._trainer.state
        # A checkpoint does not record that its training is over, so a finished training writes none.
        if state.global_step >= state.max_steps or self._trainer.control.should_training_stop:
            return
        # After an epoch's last step the Trainer still has to log and evaluate; a resumed Trainer would not.
        if float(state.epoch).is_integer() and not self._between_epochs:
            return
        # A new best model is saved at once, as the Trainer has removed the weights of the last best model.
        due = now - self._written >= self.checkpoints.interval or state.best_model_checkpoint != self._best
        reason, due = _agree(self._signal or self._out_of_time(now), due)
        if reason or due:
            self._write()
        if reason:
            raise StoppedError(
                f"stopped by {reason} after step {state.global_step} of {state.max_steps}; "
                "it goes on from there when the stage runs again"
            )

    def _write(self) -> None:
        started, step = time.monotonic(), self._trainer.state.global_step
        writing: Any = nullcontext() if processes.rank() else self.checkpoints.write(step)
        with writing as folder:
            _write_checkpoint(self._trainer, processes.shared(lambda: folder))
        self._best = self._trainer.state.best_model_checkpoint
        self._written = self._stepped = time.monotonic()
        self._longest_writing = max(self._longest_writing, self._written - started)

    def _out_of_time(self, now: float) -> str:
        if self.checkpoints.deadline is None:
            return ""
        steps, writing = STEPS_LEFT * self._longest_step, CHECKPOINTS_LEFT * self._longest_writing
        left = self.checkpoints.deadline - now
        return "the time limit" if left < steps + writing + SECONDS_LEFT else ""

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name
        self._stop_listening()

    def _stop_listening(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _agree(reason: str, due: bool) -> tuple[str, bool]:
    """Return a reason of any process to stop, and whether a checkpoint is due in any process."""
    stopping, writing = processes.summed([bool(reason), due])
    return next(filter(None, processes.gathered(reason))) if stopping else "", bool(writing)


def _write_checkpoint(trainer: Any, folder: Path) -> None:
    """Write a checkpoint, with the random numbers and the unlogged sums of each process."""
    trainer.save_checkpoint(folder)
    progress = processes.gathered(_progress(trainer))
    if not processes.rank():
        trainer.state.save_to_json(str(folder / STATE))
        (folder / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")


def _progress(trainer: Any) -> dict[str, Any]:
    arguments = trainer.args
    return {
        "precision": "bfloat16" if arguments.bf16 else "float16" if arguments.fp16 else "float32",
        "occurring_rows": has_occurring_rows(trainer.learner),
        **trainer.losses(),
        "seen": dict(trainer.seen),
        "sums": {
            dataset: {name: float(value) for name, value in sums.items()}
            for dataset, sums in trainer.sums.items()
        },
        "unlogged": dict(trainer.unlogged),
        "callbacks": [callback.state()["attributes"] for callback in _stateful(trainer)],
    }


def _restore(trainer: Any, records: Sequence[Mapping[str, Any]]) -> None:
    same = len(records) == processes.count()
    progress = records[processes.rank()] if same else _spread(records)
    trainer.restore_losses(progress)
    trainer.seen = Counter(progress["seen"])
    trainer.sums = {
        dataset: {name: torch.tensor(value) for name, value in sums.items()}
        for dataset, sums in progress["sums"].items()
    }
    trainer.unlogged = Counter(progress["unlogged"])
    for callback, attributes in zip(_stateful(trainer), progress["callbacks"], strict=True):
        vars(callback).update(attributes)


def _spread(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the progress of each process if the number of processes has changed."""
    sums = {
        dataset: {
            name: sum(part["sums"][dataset][name] for part in records) / processes.count() for name in names
        }
        for dataset, names in records[0]["sums"].items()
    }
    return {**records[0], "loss": sum(part["loss"] for part in records) / len(records), "sums": sums}


def _stateful(trainer: Any) -> list[Any]:
    """Return the callbacks with a state, such as early stopping."""
    return [
        callback for callback in trainer.callback_handler.callbacks if isinstance(callback, ExportableState)
    ]
