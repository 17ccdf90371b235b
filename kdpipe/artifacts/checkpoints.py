"""The resumable state of a stage, which goes on from its newest whole checkpoint and removes older ones."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from kdpipe.artifacts.state import discard, make_folder
from kdpipe.artifacts.sums import read_listing, verify, write_sums
from kdpipe.errors import KdpipeError

SECONDS = "seconds.json"
STEP = re.compile(r"step-(\d+)")
_SECONDS = TypeAdapter(Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)])


@dataclass
class Clock:
    """The working time of a stage: its start by the monotonic clock, and the seconds of earlier runs."""

    started: float = field(default_factory=time.monotonic)
    earlier: float = 0.0

    def seconds(self) -> float:
        """Return the seconds until now."""
        return self.earlier + time.monotonic() - self.started


@dataclass
class Checkpoints:
    """The checkpoints of a stage.

    Args:
        folder: the folder of the checkpoints.
        interval: seconds between two checkpoints.
        deadline: time at which the stage is stopped, by the monotonic clock; None for a stage without limit.
        clock: the working time of the stage.
        persistent: whether the checkpoints stay after the training, until the stage has written its artifact.
    """

    folder: Path
    interval: float = 600.0
    deadline: float | None = None
    clock: Clock = field(default_factory=Clock)
    persistent: bool = False

    def latest(self) -> Path | None:
        """Return the newest whole checkpoint, and add its working time to the clock."""
        matches = ((STEP.fullmatch(path.name), path) for path in self.folder.glob("step-*"))
        steps = {int(match[1]): path for match, path in matches if match}
        for _, path in sorted(steps.items(), reverse=True):
            try:
                verify(path)
            except (KdpipeError, OSError):
                continue
            self.clock.earlier = read_seconds(path)
            return path
        return None

    @contextmanager
    def write(self, step: int) -> Iterator[Path]:
        """Write a checkpoint: yield its folder, and remove the older checkpoints when it is whole."""
        path = self.folder / f"step-{step}"
        make_folder(self.folder)
        discard(path)
        path.mkdir()
        try:
            yield path
            (path / SECONDS).write_text(json.dumps(self.clock.seconds()), encoding="utf-8")
            write_sums(path)
        except BaseException:
            # On a full disk the stage goes on from the older checkpoint, and this part takes its room.
            discard(path)
            raise
        for other in self.folder.glob("step-*"):
            if other != path:
                discard(other)

    def clear(self) -> None:
        """Remove all checkpoints."""
        discard(self.folder)


def read_seconds(folder: Path) -> float:
    """Return the seconds of earlier runs, as a folder of state says; 0 if the folder does not say them."""
    try:
        return _SECONDS.validate_json(read_listing(folder / SECONDS))
    except (KdpipeError, OSError, ValueError):
        return 0.0
