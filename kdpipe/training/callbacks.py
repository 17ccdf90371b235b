"""Callbacks of a training: which model they are given, and kdpipe's own."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tqdm import tqdm
from transformers import TrainerCallback

from kdpipe.errors import TrainingError, quoted
from kdpipe.signals.adapted import bare

if TYPE_CHECKING:
    from kdpipe.training.trainer import LearningTrainer

LOG = logging.getLogger(__name__)


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Refuse what is no callback of the Trainer."""
    for callback in callbacks:
        if not isinstance(callback, TrainerCallback):
            raise TrainingError(
                f"callbacks: expected objects of transformers.TrainerCallback, found {quoted(callback)}"
            )


class GivesStudent(TrainerCallback):
    """Lets the callbacks after it have the student as their `model`, without the loss.

    Args:
        trainer: the trainer, which gives callbacks the module that it optimises.
    """

    def __init__(self, trainer: "LearningTrainer") -> None:
        self.trainer = trainer

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Give the student to callbacks."""
        learner: Any = self.trainer.model
        self.trainer.callback_handler.model = bare(learner.student)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Give the student again, as the Trainer has given its module when it began."""
        self.on_init_end(args, state, control)


class ProgressBar(TrainerCallback):
    """Shows the steps of a training in a progress bar."""

    def __init__(self, bar: "tqdm[Any]") -> None:
        self.bar = bar

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the number of steps, and the number of steps of earlier runs."""
        self.bar.reset(total=state.max_steps)
        # Steps of earlier runs say nothing of the rate.
        self.bar.n = self.bar.initial = self.bar.last_print_n = state.global_step
        self.bar.refresh()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Advance by a step."""
        self.bar.update(1)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Show the loss, and write it to the log."""
        values = logs or {}
        LOG.info("step %d: %s", state.global_step, ", ".join(f"{k} {v:.6g}" for k, v in values.items()))
        if "loss" in values:
            self.bar.set_postfix(loss=f"{values['loss']:.4g}")
