"""Trackers that show a training while it runs; a training that goes on after a stop goes on in the same run.

A tracker keeps its files in the folder of the run. A file beside them says what the tracker was told last, so
that steps which a stopped training repeats are told once. wandb and Trackio write a moment later: of a
training that was killed, they may lack the last steps.
"""

import logging
import os
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ValidationError
from transformers import TrainerCallback
from transformers.integrations.integration_utils import rewrite_logs

from kdpipe import catalog
from kdpipe.artifacts.state import discard, whole
from kdpipe.artifacts.sums import read_listing
from kdpipe.errors import KdpipeError, TrainingError, not_installed

LOG = logging.getLogger(__name__)
PROJECT = "kdpipe"
NONE = "none"
# MLflow takes no other characters in names of metrics.
UNNAMED = re.compile(r"[^\w\-. :/]")


class Tracker:
    """A tracker's run of a training.

    Args:
        folder: the folder of its files, called after the run, in a folder called after the model.

    Attributes:
        name: the name of the run.
        packages: the packages that it needs.
    """

    packages: ClassVar[tuple[str, ...]] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"{folder.parent.name}-{folder.name}"

    def begin(self, known: str, step: int) -> str:
        """Begin the run, or go on with it.

        Args:
            known: how the tracker knows the run; "" if it has not begun.
            step: the last step that it was told; -1 if it has not begun.

        Returns:
            how the tracker knows the run.
        """
        raise NotImplementedError

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Store numbers of a step by name."""
        raise NotImplementedError

    def end(self) -> None:
        """End the run."""
        raise NotImplementedError


class TensorBoard(Tracker):
    """Event files, which `tensorboard --logdir` shows."""

    packages = ("tensorboard",)

    def begin(self, known: str, step: int) -> str:
        from torch.utils.tensorboard import SummaryWriter

        # What was written of later steps before a kill does not count.
        self._writer = SummaryWriter(str(self.folder), purge_step=step + 1)
        return self.name

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def end(self) -> None:
        self._writer.close()


class WeightsAndBiases(Tracker):
    """Runs of wandb: files that `wandb sync` sends, unless `WANDB_MODE` says `online`."""

    packages = ("wandb",)

    def begin(self, known: str, step: int) -> str:
        import wandb

        mode: Any = os.environ.get("WANDB_MODE", "offline")
        project = os.environ.get("WANDB_PROJECT", PROJECT)
        self._run = wandb.init(
            project=project, id=self.name, name=self.name, dir=self.folder, resume="allow", mode=mode
        )
        self._run.define_metric("*", step_metric="train/global_step")
        return self.name

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log({**values, "train/global_step": step})

    def end(self) -> None:
        self._run.finish()


class MLflow(Tracker):
    """Runs of MLflow in a file of SQLite, or where `MLFLOW_TRACKING_URI` says."""

    packages = ("mlflow", "sqlalchemy", "alembic")

    def begin(self, known: str, step: int) -> str:
        # Jobs run without a network.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        place = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{self.folder.resolve() / 'mlflow.db'}")
        self._client = MlflowClient(place)
        if not known:
            experiment = self._client.get_experiment_by_name(PROJECT)
            number = experiment.experiment_id if experiment else self._client.create_experiment(PROJECT)
            known = self._client.create_run(number, run_name=self.name).info.run_id
        self._id = known
        self._client.update_run(known, "RUNNING")
        return known

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._id, UNNAMED.sub("_", name), value, step=step)

    def end(self) -> None:
        self._client.set_terminated(self._id)


class Trackio(Tracker):
    """Runs of Trackio, which `TRACKIO_DIR=FOLDER trackio show` shows."""

    packages = ("trackio",)

    def begin(self, known: str, step: int) -> str:
        os.environ.setdefault("TRACKIO_DIR", str(self.folder.resolve()))
        import trackio

        self._run = trackio.init(project=PROJECT, name=self.name, resume="allow")
        return self.name

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def end(self) -> None:
        self._run.finish()


class Told(BaseModel, strict=True):
    """What a tracker was told last.

    Args:
        run: how the tracker knows the run.
        step: the step.
        names: the names of the numbers of this step.
    """

    run: str = ""
    step: int = -1
    names: list[str] = []


def tracked(training: Any, folder: Path) -> "list[TrainerCallback]":
    """Return the tracker that the settings of a training name, as a callback in a list.

    Args:
        training: the settings.
        folder: the folder of the tracker's files.
    """
    name = getattr(training, "report_to", None) or NONE
    return [] if name == NONE else [Tracked(name, folder)]


class Tracked(TrainerCallback):
    """Tells a tracker what the training logs, each name once at a step.

    A tracker that fails while the training runs is told no more; the training goes on.

    Args:
        name: the name of the tracker.
        folder: the folder of its files.

    Raises:
        TrainingError: the tracker is not installed.
    """

    def __init__(self, name: str, folder: Path) -> None:
        kind = catalog.resolve("trackers", name)
        for package in kind.packages:
            if find_spec(package) is None:
                raise TrainingError(f"training.report_to: {not_installed(package, name)}")
        self.tracker: Tracker = kind(folder)
        self.name = name
        self._file = folder / f"{name}.json"
        self._told = Told()
        self._failed = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin the run.

        Raises:
            TrainingError: the tracker does not begin.
        """
        if not state.is_world_process_zero:
            return
        self.tracker.folder.mkdir(parents=True, exist_ok=True)
        self._told = _read(self._file)
        try:
            run = self.tracker.begin(self._told.run, self._told.step)
        except Exception as error:
            remedy = f"remove `report_to`, or delete {self._file} to begin another run"
            raise TrainingError(
                f"training.report_to: {self.name} does not begin: {_of(error)}; {remedy}"
            ) from error
        self._told = self._told.model_copy(update={"run": run})
        self._note()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Tell what is new."""
        step = state.global_step
        if self._failed or not state.is_world_process_zero or step < self._told.step:
            return
        known = self._told.names if step == self._told.step else []
        values = {name: value for name, value in rewrite_logs(logs or {}).items() if name not in known}
        try:
            self.tracker.log(values, step)
        except Exception as error:
            self._failed = True
            LOG.warning("%s is told no more, as it failed at step %d: %s", self.name, step, _of(error))
            return
        self._told = self._told.model_copy(update={"step": step, "names": [*known, *values]})
        self._note()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the run."""
        if self._failed or not state.is_world_process_zero:
            return
        try:
            self.tracker.end()
        except Exception as error:
            LOG.warning("%s does not end: %s", self.name, _of(error))

    def _note(self) -> None:
        if self._file.is_symlink() or not self._file.is_file():
            discard(self._file)
        with whole(self._file) as part:
            part.write_text(self._told.model_dump_json(), encoding="utf-8")


def _read(file: Path) -> Told:
    """Return what a tracker was told last; nothing if the file is missing or damaged."""
    if not os.path.lexists(file):
        return Told()
    try:
        return Told.model_validate_json(read_listing(file))
    except (KdpipeError, OSError, ValidationError):
        LOG.warning("%s is damaged; the tracker begins another run", file)
        return Told()


def _of(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
