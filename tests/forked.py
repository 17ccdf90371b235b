"""Stages in processes that are forked off a server, which has done the imports."""

import os
import runpy
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path


def be_stage(stage: str, arguments: Sequence[str], console: Path, folder: Path) -> None:
    """Be the process of a stage, as its command line starts it.

    Args:
        stage: its name.
        arguments: what its command line says.
        console: takes what it prints.
        folder: where it works.
    """
    with console.open("w") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
    os.chdir(folder)
    # Each stage is the main module, as on the command line, though its imports are done.
    warnings.filterwarnings("ignore", message=".*found in sys.modules", category=RuntimeWarning)
    sys.argv = [stage, *arguments]
    runpy.run_module(f"kdpipe.stages.{stage}", run_name="__main__", alter_sys=True)
