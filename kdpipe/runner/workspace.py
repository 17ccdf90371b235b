"""The workspace of one run of a stage: its output, its threads, and the state of an earlier run."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

from tqdm import tqdm

from kdpipe import processes
from kdpipe.artifacts.artifact import Draft, finished, publish, read_manifest, restore
from kdpipe.artifacts.checkpoints import Checkpoints, Clock
from kdpipe.artifacts.ownership import check_folder, check_place, state_name
from kdpipe.artifacts.shards import Shards
from kdpipe.artifacts.state import discard, open_state
from kdpipe.artifacts.sums import verify
from kdpipe.digest import digest
from kdpipe.errors import KdpipeError
from kdpipe.runner.lock import locked
from kdpipe.runner.progress import progress_bar

LOG = logging.getLogger("kdpipe")


@dataclass
class Workspace:
    """The folders, threads and limits of one run of a stage.

    Args:
        output: folder of its artifact.
        state: folder for half-written and resumable state, on the same file system.
        threads: processor threads that this process may use.
        console: the stream for progress bars.
        origin: the artifact's settings, inputs and code, for its manifest.
        checkpoint_minutes: minutes of work between two checkpoints.
        minutes: minutes that the job may take; None for no limit.
        clock: the working time of the stage.
        sources: returns the SHA-256 of the files that the stage reads besides artifacts, by their paths.
    """

    output: Path
    state: Path
    threads: int = 1
    console: TextIO = field(default_factory=lambda: sys.stderr)
    origin: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_minutes: float = 10.0
    minutes: float | None = None
    clock: Clock = field(default_factory=Clock)
    sources: Callable[[], Mapping[str, str]] = dict

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Wait for other jobs with the same artifact, and yield whether this job has to make it.

        Raises:
            KdpipeError: the folder of the artifact has files that kdpipe did not write.
        """
        if processes.rank():
            yield processes.shared(bool)
            return
        check_place(self.output)
        open_state(self.state)
        with locked(self.state / "locks" / state_name(self.output, self.state)) as waited:
            check_folder(self.output, self.state)
            if done := (waited and self._made_in(self.output) is not None) or self.take_up():
                LOG.info("another process has already made the artifact")
            else:
                self.clear_state(keep=True)
            yield processes.shared(lambda: not done)

    @contextmanager
    def artifact(self) -> Iterator[Draft]:
        """Open the draft of the artifact; when the artifact is there, the resumable state is removed.

        Only the first of several processes writes the artifact. The other processes write drafts that are
        thrown away.
        """
        if processes.rank():
            with TemporaryDirectory() as folder:
                yield Draft(Path(folder))
            return
        with publish(self.output, self.state, self.origin, self.clock) as draft:
            yield draft
        self.clear_state(keep=False)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of an earlier run with the same settings, inputs and code."""
        folder = self.state / "checkpoints" / state_name(self.output, self.state) / digest(dict(self.origin))
        deadline = None if self.minutes is None else self.clock.started + 60 * self.minutes
        return Checkpoints(folder, 60 * self.checkpoint_minutes, deadline, self.clock, persistent=True)

    def checkpoints_of(self, digests: Mapping[str, str]) -> Checkpoints:
        """Return the checkpoints of a stage that reads files with these digests besides artifacts."""
        return replace(self.checkpoints, folder=self.checkpoints.folder / digest(digests))

    def runs(self, digests: Mapping[str, str] | None = None) -> Path:
        """Return the folder of a tracker's files of this training, beside the results of the model.

        Args:
            digests: the SHA-256 of the files that the stage reads besides artifacts, by their paths.
        """
        told = digest({**self.origin, "files": dict(digests or {})})
        return self.state.parent / "runs" / self.output.name / told[:12]

    @cached_property
    def shards(self) -> Shards:
        """The finished tables of an earlier run with the same settings, inputs and code."""
        return Shards(self.checkpoints.folder, self.clock)

    def take_up(self) -> bool:
        """Put the artifact back if an earlier process finished it, and a workflow has removed it since."""
        manifest = self._made_in(finished(self.output, self.state))
        if manifest is None or manifest.get("source_files", {}) != self.sources():
            return False
        restore(self.output, self.state)
        return True

    def _made_in(self, folder: Path) -> dict[str, Any] | None:
        """Return the manifest of a folder's artifact if its settings, inputs and code are the same."""
        try:
            verify(folder)
            manifest = read_manifest(folder)
        except (KdpipeError, OSError):
            return None
        return manifest if all(manifest.get(name) == value for name, value in self.origin.items()) else None

    def clear_state(self, keep: bool) -> None:
        """Remove the resumable state; with `keep`, only the state of other settings, inputs and code."""
        current = self.checkpoints.folder
        if not keep or not current.parent.is_dir():
            discard(current.parent)
        for folder in current.parent.glob("*"):
            if folder != current or not folder.is_dir():
                discard(folder)

    def progress(self, total: int | None, what: str, unit: str = "step") -> "tqdm[Any]":
        """Return a progress bar, which shows nothing where nobody looks."""
        return progress_bar(self.output, self.state, self.console, total, what, unit)
