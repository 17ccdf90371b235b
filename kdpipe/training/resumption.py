"""A training that was stopped goes on from its last checkpoint and ends with the same bits as any other.

The Trainer restores weights, optimizer, scheduler, random numbers and its own state, and skips the batches
that were seen; here is when checkpoints are written, and what the Trainer leaves out.
"""

import json
import logging
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
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

LOG = logging.getLogger(__name__)
PROGRESS = "progress.json"
STATE = "trainer_state.json"
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
# A deadline leaves time for so many steps and checkpoints, and for what comes after a training.
STEPS_LEFT, CHECKPOINTS_LEFT, SECONDS_LEFT = 3, 3, 30.0


class Resumption(TrainerCallback):
    """Writes checkpoints of a training, and stops it when it is asked to or out of time.

    Args:
        checkpoints: where they are kept, and when they are due.

    Attributes:
        resumed: the checkpoint that the training goes on from, if it does.
        precision: what matrices were multiplied in until then.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.resumed = processes.shared(checkpoints.latest)
        self.precision = _precision(self.resumed) if self.resumed else None
        self._trainer: Any = None
        self._before: dict[signal.Signals, Any] = {}
        self._asked = ""
        self._between_epochs = False
        self._best: str | None = None
        self._written = self._stepped = time.monotonic()
        self._longest_step = self._longest_writing = 0.0

    def attach(self, trainer: Any) -> None:
        """Watch over a trainer, which calls `after_step`."""
        self._trainer = trainer
        trainer.add_callback(self)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let the first signal stop the training after its current step; a second one works as ever."""
        self._before = {number: signal.signal(number, self._ask) for number in STOPPING}
        try:
            yield
        finally:
            self._listen_no_more()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take up what the Trainer does not restore."""
        if self.resumed is not None:
            LOG.info("going on from %s", self.resumed)
            _restore(self._trainer, json.loads((self.resumed / PROGRESS).read_text(encoding="utf-8")))
        self._best = state.best_model_checkpoint

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note that the epoch before has been logged and evaluated."""
        self._between_epochs = False

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note that what follows comes after an epoch's last step."""
        self._between_epochs = True

    def after_step(self) -> None:
        """Write a checkpoint if one is due; called when a step, or an epoch, has been logged and evaluated.

        Raises:
            StoppedError: a signal asked for it, or the deadline is near.
        """
        now = time.monotonic()
        self._longest_step = max(self._longest_step, now - self._stepped)
        self._stepped = now
        state = self._trainer.state
        # Of a training that is over, early or not, a checkpoint does not know that it is.
        if state.global_step >= state.max_steps or self._trainer.control.should_training_stop:
            return
        # After an epoch's last step the Trainer still has to log and evaluate, which it would not do again.
        if float(state.epoch).is_integer() and not self._between_epochs:
            return
        # Of what was the best until now the Trainer has removed the weights.
        due = now - self._written >= self.checkpoints.interval or state.best_model_checkpoint != self._best
        reason, due = _agreed(self._asked or self._out_of_time(now), due)
        if reason or due:
            self._write()
        if reason:
            raise StoppedError(
                f"stopped by {reason} after step {state.global_step} of {state.max_steps}; "
                "it goes on from there when it is run again"
            )

    def _write(self) -> None:
        started = time.monotonic()
        with self._opened() as opened:
            _write_checkpoint(self._trainer, processes.shared(lambda: opened))
        self._best = self._trainer.state.best_model_checkpoint
        self._written = self._stepped = time.monotonic()
        self._longest_writing = max(self._longest_writing, self._written - started)

    def _opened(self) -> AbstractContextManager[Any]:
        return nullcontext() if processes.rank() else self.checkpoints.write(self._trainer.state.global_step)

    def _out_of_time(self, now: float) -> str:
        if self.checkpoints.deadline is None:
            return ""
        steps, writing = STEPS_LEFT * self._longest_step, CHECKPOINTS_LEFT * self._longest_writing
        left = self.checkpoints.deadline - now
        return "the time limit" if left < steps + writing + SECONDS_LEFT else ""

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._asked = signal.Signals(number).name
        self._listen_no_more()

    def _listen_no_more(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def _agreed(reason: str, due: bool) -> tuple[str, bool]:
    """Return why any of the processes is to stop, and whether a checkpoint is due for any."""
    stopping, writing = processes.summed([bool(reason), due])
    return next(filter(None, processes.gathered(reason))) if stopping else "", bool(writing)


def _write_checkpoint(trainer: Any, folder: Path) -> None:
    """Write a checkpoint: of each process its random numbers, and its share of what is not logged yet."""
    trainer.save_checkpoint(folder)
    progress = processes.gathered(_progress(trainer))
    if not processes.rank():
        trainer.state.save_to_json(str(folder / STATE))
        (folder / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")


def _precision(folder: Path) -> Precision:
    name = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))[0]["precision"]
    return Precision(name, "the training was in it before it was stopped")


def _progress(trainer: Any) -> dict[str, Any]:
    arguments = trainer.args
    return {
        "precision": "bfloat16" if arguments.bf16 else "float16" if arguments.fp16 else "float32",
        **trainer.losses(),
        "seen": dict(trainer.seen),
        "sums": {name: float(value) for name, value in trainer.sums.items()},
        "logged_step": trainer.logged_step,
        "callbacks": [callback.state()["attributes"] for callback in _stateful(trainer)],
    }


def _restore(trainer: Any, everyones: Sequence[Mapping[str, Any]]) -> None:
    same = len(everyones) == processes.count()
    progress = everyones[processes.rank()] if same else _spread(everyones)
    trainer.restore_losses(progress)
    trainer.seen = Counter(progress["seen"])
    trainer.sums = {name: torch.tensor(value) for name, value in progress["sums"].items()}
    trainer.logged_step = progress["logged_step"]
    for callback, attributes in zip(_stateful(trainer), progress["callbacks"], strict=True):
        vars(callback).update(attributes)


def _spread(everyones: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what each process goes on from where there were more or fewer of them."""
    totals = {name: sum(one["sums"][name] for one in everyones) for name in everyones[0]["sums"]}
    return {
        **everyones[0],
        "loss": sum(one["loss"] for one in everyones) / len(everyones),
        "sums": {name: total / processes.count() for name, total in totals.items()},
    }


def _stateful(trainer: Any) -> list[Any]:
    """Return the callbacks that count, such as early stopping."""
    return [
        callback for callback in trainer.callback_handler.callbacks if isinstance(callback, ExportableState)
    ]
