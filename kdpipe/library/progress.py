"""How far a function of the library has come: a bar, and callbacks of the user."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm
from transformers import EarlyStoppingCallback
from transformers.utils.import_utils import is_in_notebook

from kdpipe import processes
from kdpipe.errors import KdpipeError, quoted
from kdpipe.evaluation.task import Advance
from kdpipe.training.callbacks import check_callbacks

# Called with the number of batches or examples that are done, and the number of all.
Callback = Callable[[int, int], object]


def progress_bar(shown: bool | None, what: str, unit: str, total: int | None = None) -> "tqdm[Any]":
    """Return a bar.

    Args:
        shown: whether the bar is shown; None shows it on a terminal and in a notebook.
        what: what is being done.
        unit: what is counted.
        total: the number of all; None if it is not known yet.
    """
    if shown is None:
        shown = sys.stderr.isatty() or is_in_notebook()
    return tqdm(desc=what, unit=unit, total=total, disable=not shown or total == 0 or bool(processes.rank()))


@contextmanager
def followed(
    shown: bool | None, callbacks: Sequence[Callback], what: str, unit: str, total: int
) -> Iterator[Advance]:
    """Yield a function that takes the number of further items, moves a bar, and calls callbacks.

    Args:
        shown: as of `progress_bar`.
        callbacks: the callbacks.
        what: as of `progress_bar`.
        unit: as of `progress_bar`.
        total: as of `progress_bar`.
    """
    with progress_bar(shown, what, unit, total) as bar:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            bar.update(count)
            for callback in callbacks:
                callback(done, total)

        yield advance


def check_functions(callbacks: Any) -> None:
    """Refuse what cannot be called with two numbers."""
    if not isinstance(callbacks, list | tuple) or not all(map(callable, callbacks)):
        expected = "expected a list of functions of two numbers, done and total, such as [print]"
        raise KdpipeError(f"callbacks: {expected}, found {quoted(callbacks)}")


def check_trainer_callbacks(callbacks: Any, training: Mapping[str, Any]) -> None:
    """Refuse what cannot follow a training, before any teacher runs."""
    if "disable_tqdm" in training:
        raise KdpipeError("disable_tqdm: is not supported; give `progress=False`, which shows no bar")
    if not isinstance(callbacks, list | tuple):
        expected = "expected a list of objects of transformers.TrainerCallback"
        raise KdpipeError(f"callbacks: {expected}, found {quoted(callbacks)}")
    check_callbacks(callbacks)
    stops = any(isinstance(callback, EarlyStoppingCallback) for callback in callbacks)
    needed = ("eval_strategy", "metric_for_best_model")
    if (stops or training.get("early_stopping_patience")) and any(
        training.get(name) in (None, "no") for name in needed
    ):
        found = ", ".join(f"{name}={quoted(training.get(name))}" for name in needed)
        expected = "expected times at which the student is scored, and the metric that counts"
        raise KdpipeError(f"early stopping: {expected}, found {found}; give both")
