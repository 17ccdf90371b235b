"""Which artifacts a workflow makes again: what has changed by its manifest, and what is made from that."""

import shutil
from base64 import urlsafe_b64decode
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from kdpipe.artifacts.artifact import finished
from kdpipe.artifacts.ownership import check_folder
from kdpipe.artifacts.sums import SUMS
from kdpipe.commands.changes import changes, made_again, unseen
from kdpipe.commands.dates import set_back, tell_ahead
from kdpipe.errors import KdpipeError
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import all_jobs
from kdpipe.plan.stage import Job, definition

# Reasons that are told of an artifact at a start, and characters of each.
MOST, LONGEST = 3, 200
# Folders with files of the user's that are told.
FOLDERS = 10


# Where Snakemake has outputs on record whose jobs it did not see end, each by its path in base64.
INCOMPLETE = Path(".snakemake/incomplete")


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
        self._remarks = [remark for job in jobs for remark in unseen(job, self._reasons[job.folder])]
        self._remarks += tell_ahead(file for job in jobs for file in job.files)
        again = made_again(jobs, self._reasons)
        self._states = {job.folder: definition(job.stage).state(graph) for job in jobs}
        self.states = {folder: state for folder, state in self._states.items() if folder in again}

    def __contains__(self, folder: Path) -> bool:
        return folder in self.states

    def lines(self) -> list[str]:
        """Return a line for every artifact that is there and has a reason of its own, and what is odd."""
        there = [folder for folder in self.states if self._reasons[folder] and (folder / SUMS).exists()]
        return [
            *(f"{folder} is made again: {_first(self._reasons[folder])}" for folder in there),
            *self._remarks,
        ]

    def date_back(self) -> None:
        """Date artifacts now that are dated in the future, as Snakemake refuses what is made from them."""
        for folder in self._states:
            set_back(folder / SUMS)

    def forget_killed(self) -> None:
        """Forget what a killed workflow left behind of artifacts, which appear whole or not at all.

        Snakemake would run a job for a record of an incomplete output alone. What depends on the job would
        then be hidden by its `ancient` inputs, and not be made.
        """
        for record in filter(Path.is_file, INCOMPLETE.rglob("*")):
            # Long names are folders in one another, each after an @.
            name = "".join(part.removeprefix("@") for part in record.relative_to(INCOMPLETE).parts)
            # Snakemake has a file of another kind there, too, whose name decodes to nothing.
            with suppress(ValueError):
                if Path(urlsafe_b64decode(name).decode()).parent in self._states:
                    record.unlink()
        for folder, state in self._states.items():
            if folder not in self.states and (folder / SUMS).exists():
                shutil.rmtree(finished(folder, state), ignore_errors=True)

    def check(self) -> None:
        """Look for files in the folders of artifacts that kdpipe did not write.

        Raises:
            KdpipeError: there are such files; one for each folder.
        """
        found = []
        for folder, state in self.states.items():
            try:
                check_folder(folder, state)
            except KdpipeError as error:
                found.append(str(error))
        if found:
            more = [f"and {len(found) - FOLDERS} folders more"] if len(found) > FOLDERS else []
            raise KdpipeError("\n".join([*found[:FOLDERS], *more]))


def _first(reasons: Sequence[str]) -> str:
    more = [f"and {len(reasons) - MOST} more"] if len(reasons) > MOST else []
    return "; ".join([*(reason[:LONGEST] for reason in reasons[:MOST]), *more])


def _is_named(job: Job, names: Collection[str]) -> bool:
    """Tell whether a job is named by its rule or by a file of its artifact."""
    return job.stage in names or any(Path(name).parent == job.folder for name in names)
