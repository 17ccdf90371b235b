"""The resumable state of a stage: the newest checkpoint that is whole counts, and is kept alone."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kdpipe.artifacts.sums import SUMS, verify, write_sums
from kdpipe.errors import KdpipeError

SECONDS = "seconds.json"


@dataclass
class Clock:
    """How long a stage has worked, earlier runs that it goes on from included.

    Args:
        started: when it started, by the monotonic clock.
        earlier: seconds of earlier runs.
    """

    started: float = field(default_factory=time.monotonic)
    earlier: float = 0.0

    def seconds(self) -> float:
        """Return the seconds until now."""
        return self.earlier + time.monotonic() - self.started


@dataclass
class Checkpoints:
    """Where a stage keeps what it can go on from, and when it has to.

    Args:
        folder: the folder of the checkpoints.
        interval: seconds between two checkpoints.
        deadline: when the stage has to have stopped, by the monotonic clock; None if it may go on.
        clock: how long the stage has worked.
        kept: whether they stay when a training is done, as what was trained has still to be kept itself.
    """

    folder: Path
    interval: float = 600.0
    deadline: float | None = None
    clock: Clock = field(default_factory=Clock)
    kept: bool = False

    def latest(self) -> Path | None:
        """Return the newest checkpoint that is whole, and count the time that it took."""
        steps = sorted(self.folder.glob("step-*"), key=lambda path: int(path.name[5:]), reverse=True)
        for path in steps:
            try:
                verify(path)
            except KdpipeError:
                continue
            self.clock.earlier = json.loads((path / SECONDS).read_text(encoding="utf-8"))
            return path
        return None

    @contextmanager
    def write(self, step: int) -> Iterator[Path]:
        """Write a checkpoint: yields a folder for it, and removes older ones when it is whole."""
        path = self.folder / f"step-{step}"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        try:
            yield path
            (path / SECONDS).write_text(json.dumps(self.clock.seconds()), encoding="utf-8")
            write_sums(path)
        except BaseException:
            # On a full disk the older one counts, and this one takes room.
            shutil.rmtree(path, ignore_errors=True)
            raise
        for other in self.folder.glob("step-*"):
            if other != path:
                # Without its sums a folder that is half removed is no checkpoint.
                (other / SUMS).unlink(missing_ok=True)
                shutil.rmtree(other)

    def clear(self) -> None:
        """Remove all checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)
