"""`kdpipe test`: a small chain of models, made with what is installed, in a folder that is removed again."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from kdpipe.places import PACKAGE

CONFIG = PACKAGE / "recipes" / "test.yaml"


def run_trial() -> tuple[int, str]:
    """Run the chain, and return its exit status and how it went."""
    start = perf_counter()
    with TemporaryDirectory(prefix="kdpipe-test-") as folder:
        command = [sys.executable, "-m", "kdpipe.cli", "run", str(CONFIG), "--cores", "2"]
        status = subprocess.run(command, cwd=folder).returncode
        models = [*Path(folder).glob("results/models/*/SHA256SUMS")]
        pages = [*Path(folder).glob("results/report/report.html")]
    words = "kdpipe works here" if status == 0 else f"kdpipe does not work here (exit status {status})"
    seconds = perf_counter() - start
    made = f"{len(models)} models and {len(pages)} report were made in {seconds:.0f} s, and removed"
    return status, f"{words}: {made}"
