"""`kdpipe test`: a small chain of models, made with what is installed; the folder stays where it fails."""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter

from kdpipe.durations import duration
from kdpipe.errors import INTERRUPTED_STATUS
from kdpipe.places import PACKAGE

CONFIG = PACKAGE / "recipes" / "test.yaml"
# Seconds in which a run stops that a terminal has told to stop too.
GRACE = 30.0


def run_trial() -> tuple[int, str]:
    """Run the chain, and return the exit status and how it went.

    A run that is stopped with Ctrl-C leaves no folder; a second Ctrl-C does not wait for the run, and the
    folder stays.
    """
    start = perf_counter()
    folder = Path(mkdtemp(prefix="kdpipe-test-"))
    command = [sys.executable, "-m", "kdpipe.cli", "run", str(CONFIG), "--cores", "2"]
    process = subprocess.Popen(command, cwd=folder)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        return INTERRUPTED_STATUS, _stop(process, folder)
    if status:
        status = status if status > 0 else 128 - status
        return status, f"kdpipe does not work here (exit status {status}); results and logs are in {folder}"
    models = len([*folder.glob("results/models/*/SHA256SUMS")])
    shutil.rmtree(folder)
    seconds = round(perf_counter() - start)
    return 0, f"kdpipe works here: {models} models and a report were made in {duration(seconds)}, and removed"


def _stop(process: "subprocess.Popen[bytes]", folder: Path) -> str:
    """Wait for a run that is stopping, remove its folder, and return what to tell."""
    try:
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            # Who stopped this process alone, and not from a terminal, has not told the run.
            process.terminate()
            process.wait()
    except KeyboardInterrupt:
        return f"stopped; its jobs may still write to {folder}, which you may remove when they have ended"
    shutil.rmtree(folder, ignore_errors=True)
    return f"stopped; remove {folder}" if folder.exists() else "stopped; nothing is left"
