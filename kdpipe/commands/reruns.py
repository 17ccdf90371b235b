"""The artifacts that a workflow makes again: artifacts whose manifests say so, and their readers.

Some files are dated in the future, by another machine's clock or by an archive. The contents of a file decide
here, and not its date; but Snakemake refuses to make anything from such a file.
"""

import os
import shutil
import time
from base64 import urlsafe_b64decode
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from kdpipe.artifacts.artifact import finished
from kdpipe.artifacts.ownership import check_folder
from kdpipe.artifacts.sums import SUMS
from kdpipe.commands.changes import changes, made_again, unseen
from kdpipe.errors import KdpipeError
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import all_jobs
from kdpipe.plan.stage import Job, definition

# The largest numbers of reasons that are shown of an artifact, and of characters of a reason.
MOST, LONGEST = 3, 200
# The largest number of folders that are shown with files of the user's.
FOLDERS = 10
# Where Snakemake records outputs of jobs whose end it did not see, each by its path in base64.
INCOMPLETE = Path(".snakemake/incomplete")
# Seconds by which clocks may differ.
SLACK = 1.0


class Reruns:
    """The artifacts of a graph that are made again.

    Args:
        graph: the graph.
        asked: what the user wants to be made again: rules, and files of artifacts.

    Attributes:
        states: the artifacts, each with its folder of state.
    """

    def __init__(self, graph: Graph, asked: Collection[str] = ()) -> None:
        jobs = all_jobs(graph)
        self._reasons = changes(graph, jobs, {job.folder for job in jobs if _is_named(job, asked)})
        self._notes = [note for job in jobs for note in unseen(job, self._reasons[job.folder])]
        files = dict.fromkeys(file for job in jobs for file in job.files)
        self._notes += [_ahead(file) for file in files if is_ahead(file)]
        again = made_again(jobs, self._reasons)
        self._states = {job.folder: definition(job.stage).state(graph) for job in jobs}
        self.states = {folder: state for folder, state in self._states.items() if folder in again}

    def __contains__(self, folder: Path) -> bool:
        return folder in self.states

    def lines(self) -> list[str]:
        """Return a line for each artifact that is there and has a reason of its own, and notes on others."""
        there = [folder for folder in self.states if self._reasons[folder] and (folder / SUMS).exists()]
        return [
            *(f"{folder} is made again: {_first(self._reasons[folder])}" for folder in there),
            *self._notes,
        ]

    def date_back(self) -> None:
        """Give artifacts the present date if their date lies in the future and they may be written."""
        for folder in self._states:
            if is_ahead(folder / SUMS):
                with suppress(OSError):
                    os.utime(folder / SUMS)

    def forget_killed(self) -> None:
        """Remove what a killed workflow left behind: records and copies of artifacts, which appear whole.

        Snakemake would run a job again because of such a record alone. The `ancient` inputs of its readers
        would then hide the readers, and they would not be made.
        """
        for record in filter(Path.is_file, INCOMPLETE.rglob("*")):
            # A long name is spread over folders in one another, each after an @.
            name = "".join(part.removeprefix("@") for part in record.relative_to(INCOMPLETE).parts)
            # The folder also holds a file of Snakemake's whose name is no path.
            with suppress(ValueError):
                if Path(urlsafe_b64decode(name).decode()).parent in self._states:
                    record.unlink()
        for folder, state in self._states.items():
            if folder not in self.states and (folder / SUMS).exists():
                shutil.rmtree(finished(folder, state), ignore_errors=True)

    def check(self) -> None:
        """Look for files in the folders of artifacts that kdpipe did not write.

        Raises:
            KdpipeError: some folders have such files.
        """
        faults = []
        for folder, state in self.states.items():
            try:
                check_folder(folder, state)
            except KdpipeError as error:
                faults.append(str(error))
        if faults:
            more = [f"and {len(faults) - FOLDERS} folders more"] if len(faults) > FOLDERS else []
            raise KdpipeError("\n".join([*faults[:FOLDERS], *more]))


def is_ahead(path: Path) -> bool:
    """Tell whether a file is dated in the future."""
    with suppress(OSError):
        return path.stat().st_mtime > time.time() + SLACK
    return False


def _ahead(file: Path) -> str:
    date = datetime.fromtimestamp(file.stat().st_mtime)
    return f"{file} is dated in the future ({date:%Y-%m-%d %H:%M}), which changes nothing; `touch` it"


def _first(reasons: Sequence[str]) -> str:
    more = [f"and {len(reasons) - MOST} more"] if len(reasons) > MOST else []
    return "; ".join([*(reason[:LONGEST] for reason in reasons[:MOST]), *more])


def _is_named(job: Job, names: Collection[str]) -> bool:
    """Tell whether a job is named by its rule or by a file of its artifact."""
    return job.stage in names or any(Path(name).parent == job.folder for name in names)
