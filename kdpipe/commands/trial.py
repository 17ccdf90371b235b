"""`kdpipe test`: a small chain of models, made with what is installed; the folder stays where it fails."""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter

from kdpipe.durations import duration
from kdpipe.places import PACKAGE

CONFIG = PACKAGE / "recipes" / "test.yaml"


def run_trial() -> tuple[int, str]:
    """Run the chain, and return its exit status and how it went."""
    start = perf_counter()
    folder = Path(mkdtemp(prefix="kdpipe-test-"))
    command = [sys.executable, "-m", "kdpipe.cli", "run", str(CONFIG), "--cores", "2"]
    status = subprocess.run(command, cwd=folder).returncode
    if status:
        return abs(
            status
        ), f"kdpipe does not work here (exit status {status}); results and logs are in {folder}"
    models = len([*folder.glob("results/models/*/SHA256SUMS")])
    shutil.rmtree(folder)
    seconds = round(perf_counter() - start)
    return 0, f"kdpipe works here: {models} models and a report were made in {duration(seconds)}, and removed"
