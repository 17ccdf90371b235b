"""Trackers that show a training while it runs; a training that goes on after a stop goes on in the same run.

A tracker keeps its files in the folder of the run. A file beside them says what the tracker was told last, so
that steps which a stopped training repeats are told once. wandb and Trackio write a moment later: of a
training that was killed, they may lack the last steps.
"""

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.integrations.integration_utils import rewrite_logs

from kdpipe.anatomy.trackers import NONE, not_installed
from kdpipe.artifacts.state import whole
from kdpipe.errors import TrainingError

PROJECT = "kdpipe"


class Tracker:
    """A tracker's run of a training.

    Args:
        folder: the folder of its files, called after the run, in a folder called after the model.

    Attributes:
        name: the name of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"{folder.parent.name}-{folder.name}"

    def begin(self, known: str) -> str:
        """Begin the run, or go on with it.

        Args:
            known: how the tracker knows the run; "" if it has not begun.

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

    def begin(self, known: str) -> str:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self.folder))
        return self.name

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def end(self) -> None:
        self._writer.close()


class WeightsAndBiases(Tracker):
    """Runs of wandb: files that `wandb sync` sends, unless `WANDB_MODE` says `online`."""

    def begin(self, known: str) -> str:
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

    def begin(self, known: str) -> str:
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
            self._client.log_metric(self._id, name.replace("(", "").replace(")", ""), value, step=step)

    def end(self) -> None:
        self._client.set_terminated(self._id)


class Trackio(Tracker):
    """Runs of Trackio, which `TRACKIO_DIR=FOLDER trackio show` shows."""

    def begin(self, known: str) -> str:
        os.environ.setdefault("TRACKIO_DIR", str(self.folder.resolve()))
        import trackio

        self._run = trackio.init(project=PROJECT, name=self.name, resume="allow")
        return self.name

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def end(self) -> None:
        self._run.finish()


TRACKERS: Mapping[str, type[Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
    "trackio": Trackio,
}


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

    Args:
        name: the name of the tracker.
        folder: the folder of its files.

    Raises:
        TrainingError: the tracker is not installed.
    """

    def __init__(self, name: str, folder: Path) -> None:
        if find_spec(name) is None:
            raise TrainingError(f"training.report_to: {not_installed(name)}")
        self.tracker = TRACKERS[name](folder)
        self._file = folder / f"{name}.json"
        self._told: dict[str, Any] = {"run": "", "step": -1, "names": []}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin the run."""
        if not state.is_world_process_zero:
            return
        self.tracker.folder.mkdir(parents=True, exist_ok=True)
        if self._file.is_file():
            self._told = json.loads(self._file.read_text(encoding="utf-8"))
        self._told["run"] = self.tracker.begin(self._told["run"])
        self._note()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Tell what is new."""
        step = state.global_step
        if not state.is_world_process_zero or step < self._told["step"]:
            return
        known = self._told["names"] if step == self._told["step"] else []
        values = {name: value for name, value in rewrite_logs(logs or {}).items() if name not in known}
        self.tracker.log(values, step)
        self._told |= {"step": step, "names": [*known, *values]}
        self._note()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the run."""
        if state.is_world_process_zero:
            self.tracker.end()

    def _note(self) -> None:
        with whole(self._file) as part:
            part.write_text(json.dumps(self._told), encoding="utf-8")
