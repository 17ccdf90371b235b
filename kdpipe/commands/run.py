"""Start the workflow, once it is known that Snakemake will come as far as to read it.

Before Snakemake reads the Snakefile it reads config files and makes folders, and ends in a traceback where it
cannot.
"""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

from platformdirs import user_cache_path

from kdpipe.artifacts.faults import tell_fault
from kdpipe.errors import KdpipeError
from kdpipe.plan.build import load_graph

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / "config.yaml"
# How flags of Snakemake begin, also when they are cut short, that say what kdpipe says itself.
OWN_FLAGS = ("--configf", "--dir", "--snakef", "-d", "-s")


def start(configs: Sequence[Path], cores: str, flags: Sequence[str], data: bool = True) -> None:
    """Become Snakemake, which runs the workflow.

    Args:
        configs: config files, merged from left to right; none for config.yaml.
        cores: the number of processor cores that jobs share, or `all`.
        flags: what else Snakemake is told.
        data: whether data files are looked at first.

    Raises:
        KdpipeError: the config has mistakes, its data are not as it says, or Snakemake could not write where
            it has to.
    """
    for flag in flags:
        if flag.startswith(OWN_FLAGS):
            raise KdpipeError(f"{flag}: give configs before `--`, and start in the folder to work in")
    graph = load_graph(configs or [DEFAULT])
    if data:
        # Takes longer to import than a config to check.
        from kdpipe.commands.check_data import check_data

        check_data(graph)
    _check_places()
    given = ["--configfile", *map(str, configs)] if configs else []
    command = ["snakemake", *given, "--snakefile", str(ROOT / "Snakefile"), "--cores", cores, *flags]
    print(shlex.join(command), file=sys.stderr, flush=True)
    os.execv(sys.executable, [sys.executable, "-m", *command])


def _check_places() -> None:
    places: Mapping[str, Path] = {
        "the working folder": Path.cwd(),
        "Snakemake's folder": Path(".snakemake"),
        "the user's cache (HOME, XDG_CACHE_HOME)": user_cache_path("snakemake"),
        "the folder of temporary files (TMPDIR)": Path(_temporary()),
    }
    for name, place in places.items():
        try:
            place.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=place):
                pass
        except OSError as error:
            raise KdpipeError(f"{name}: {tell_fault(error, place) or f'{place}: {error.strerror}'}") from None


def _temporary() -> str:
    try:
        return gettempdir()
    except FileNotFoundError as error:
        raise KdpipeError(f"TMPDIR: {error.strerror}; give a folder that can be written") from None
