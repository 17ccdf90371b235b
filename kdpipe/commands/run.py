"""The start of the workflow, after a check of what Snakemake needs before it reads the Snakefile.

Snakemake reads config files and makes folders first, and a fault there would end in a traceback.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

from platformdirs import user_cache_path

from kdpipe.artifacts.faults import tell_fault
from kdpipe.errors import KdpipeError
from kdpipe.plan.build import load_graph

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / "config.yaml"
# The beginnings of flags of Snakemake that kdpipe sets; a user may shorten a flag.
RESERVED = ("--configf", "--dir", "--snakef", "-d", "-s")


def start(configs: Sequence[Path], cores: str, flags: Sequence[str], data: bool = True) -> None:
    """Become Snakemake, which runs the workflow.

    Args:
        configs: config files, merged from left to right; none for config.yaml.
        cores: the number of processor cores that jobs share, or `all`.
        flags: further flags for Snakemake.
        data: whether to check data files first.

    Raises:
        KdpipeError: the config has mistakes, its data differ from it, or Snakemake could not write its files.
    """
    for flag in flags:
        if flag.startswith(RESERVED):
            raise KdpipeError(f"{flag}: give configs before `--`, and start in the folder to work in")
    graph = load_graph(configs or [DEFAULT])
    if data:
        # This import takes longer than the check of a config.
        from kdpipe.commands.check_data import check_data

        check_data(graph)
    _check_places()
    files = ["--configfile", *map(str, configs)] if configs else []
    command = ["snakemake", *files, "--snakefile", str(ROOT / "Snakefile"), "--cores", cores, *flags]
    print(shlex.join(command), file=sys.stderr, flush=True)
    os.execv(sys.executable, [sys.executable, "-m", *command])


def _check_places() -> None:
    try:
        temporary = gettempdir()
    except FileNotFoundError as error:
        raise KdpipeError(f"TMPDIR: {error.strerror}; give a folder that can be written") from None
    places = {
        "the working folder": Path.cwd(),
        "Snakemake's folder": Path(".snakemake"),
        "the user's cache (HOME, XDG_CACHE_HOME)": user_cache_path("snakemake"),
        "the folder of temporary files (TMPDIR)": Path(temporary),
    }
    for name, place in places.items():
        try:
            place.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=place):
                pass
        except OSError as error:
            raise KdpipeError(f"{name}: {tell_fault(error, place) or f'{place}: {error.strerror}'}") from None
