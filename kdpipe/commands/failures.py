"""What the log of a job says of its failure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The number of bytes at the end of a log that are searched for its last line.
LAST = 10_000
# Seconds by which the clocks of two machines may differ.
CLOCKS = 60
# What is told of a job that has written no log, such as a job whose imports fail.
UNOPENED = "it ended before it opened its log"


def logs_of(job: Any) -> list[Path]:
    """Return the logs that a job has written since it began.

    Args:
        job: Snakemake's record of the begin of the job.
    """
    files = filter(Path.is_file, map(Path, job.log))
    return [log for log in files if log.stat().st_mtime > job.created - CLOCKS]


def last_line(logs: Sequence[Path]) -> str:
    """Return the last line of the last log that has a line; "" without such a log."""
    return next((line for log in reversed(logs) for line in reversed(_lines(log))), "")


def where(logs: Sequence[object]) -> str:
    """Return where to read about a failure."""
    return f"its log is {', '.join(map(str, logs))}" if logs else "it has no log"


def _lines(log: Path) -> list[str]:
    """Return the last lines of a log, but not its first line, which marks every log."""
    with log.open("rb") as stream:
        stream.readline()
        stream.seek(max(stream.tell(), log.stat().st_size - LAST))
        return [line for line in stream.read().decode(errors="replace").splitlines() if line.strip()]
