"""How far a stage has come: a bar on its terminal, or a file for the screen of the run that it belongs to."""

import io
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from kdpipe import processes
from kdpipe.artifacts.ownership import state_name

# A run that shows the progress of all its jobs sets this variable.
VARIABLE = "KDPIPE_PROGRESS"
# Seconds between two writes.
INTERVAL = 0.5


def is_shown_elsewhere() -> bool:
    """Tell whether the screen of a run shows the progress and the errors of this stage."""
    return VARIABLE in os.environ


def progress_file(output: Path, state: Path) -> Path:
    """Return the file that tells how far the stage of an artifact has come, in a folder of its own."""
    return state / "progress" / state_name(output, state) / "progress.json"


class FileBar(tqdm):  # type: ignore[misc]
    """A progress bar that writes to a file, which it removes with its folder at its end.

    Args:
        place: the file.
        options: as of `tqdm`.
    """

    def __init__(self, place: Path, **options: Any) -> None:
        self.place = place
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(file=io.StringIO(), mininterval=INTERVAL, miniters=1, leave=False, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write the progress, or remove the file at the end, where the message is empty."""
        # Progress is no result: a full disk stops no stage because of it.
        with suppress(OSError):
            if msg == "":
                self.place.unlink(missing_ok=True)
                self.place.parent.rmdir()
                return
            names = ("n", "total", "initial", "elapsed", "unit", "prefix")
            facts = {name: self.format_dict[name] for name in names}
            part = self.place.with_suffix(".part")
            part.write_text(json.dumps(facts), encoding="utf-8")
            part.replace(self.place)


def progress_bar(
    output: Path, state: Path, console: TextIO, total: int | None, what: str, unit: str
) -> "tqdm[Any]":
    """Return a progress bar; where the console is no terminal, it shows nothing."""
    options: dict[str, Any] = {"desc": what, "total": total, "unit": unit}
    if is_shown_elsewhere() and not processes.rank():
        return FileBar(progress_file(output, state), **options)
    hidden = bool(processes.rank()) or not console.isatty()
    return tqdm(file=console, disable=hidden, leave=False, **options)
