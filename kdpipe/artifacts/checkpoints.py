"""The resumable state of a stage: the newest checkpoint that is whole counts, and is kept alone."""

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
        found = ((STEP.fullmatch(path.name), path) for path in self.folder.glob("step-*"))
        steps = {int(match[1]): path for match, path in found if match}
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
        """Write a checkpoint: yields a folder for it, and removes older ones when it is whole."""
        path = self.folder / f"step-{step}"
        make_folder(self.folder)
        discard(path)
        path.mkdir()
        try:
            yield path
            (path / SECONDS).write_text(json.dumps(self.clock.seconds()), encoding="utf-8")
            write_sums(path)
        except BaseException:
            # On a full disk the older one counts, and this one takes room.
            discard(path)
            raise
        for other in self.folder.glob("step-*"):
            if other != path:
                discard(other)

    def clear(self) -> None:
        """Remove all checkpoints."""
        discard(self.folder)


def read_seconds(folder: Path) -> float:
    """Return the seconds of earlier runs that are kept in a folder; 0 where that does not say."""
    try:
        return _SECONDS.validate_json(read_listing(folder / SECONDS))
    except (KdpipeError, OSError, ValueError):
        return 0.0
