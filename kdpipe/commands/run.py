"""The start of the workflow, after a check of what Snakemake needs before it reads the Snakefile.

Snakemake reads config files and makes folders first, and a fault there would end in a traceback.
"""

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import NoReturn

from platformdirs import user_cache_path

from kdpipe.artifacts.faults import tell_fault
from kdpipe.errors import KdpipeError, quoted, suggest
from kdpipe.places import SNAKEFILE, WORKFLOW, shipped_configs
from kdpipe.plan.build import load_graph
from kdpipe.plan.graph import Graph
from kdpipe.plan.jobs import result_jobs
from kdpipe.plan.stages.report import COMMAND

# The flags of Snakemake that kdpipe sets.
RESERVED = ("--configfile", "--configfiles", "--directory", "--snakefile", "-d", "-s")


def start(
    configs: Sequence[Path],
    models: Sequence[str],
    cores: str | None,
    flags: Sequence[str],
    *,
    slurm: bool = False,
    dry: bool = False,
    data: bool = True,
) -> None:
    """Become Snakemake, which runs the workflow.

    Args:
        configs: config files, merged from left to right.
        models: the models that are made and scored, or templates of models; [] for all, and the report.
        cores: the number of processor cores that jobs share, or `all`; None for the usual number.
        flags: further flags for Snakemake.
        slurm: whether jobs run on a SLURM cluster, with the profile that comes with kdpipe.
        dry: whether jobs are listed and not run.
        data: whether to check data files first.

    Raises:
        KdpipeError: the config has mistakes, its data differ from it, or Snakemake could not write its files.
    """
    for flag in flags:
        if _is_reserved(flag):
            raise KdpipeError(f"{flag}: give configs before `--`, and start in the folder to work in")
    _warn_of_cores(cores, slurm)
    graph = load_graph(configs)
    targets = [str(path / "SHA256SUMS") for path in _targets(graph, models)]
    if data and not dry:
        # This import takes longer than the check of a config.
        from kdpipe.commands.check_data import check_data

        check_data(graph)
    _check_places()
    where = ["--workflow-profile", str(WORKFLOW / "profiles" / "slurm")] if slurm else []
    number = cores or (None if slurm else "all")
    command = ["snakemake", *targets, "--configfile", *map(str, configs), "--snakefile", str(SNAKEFILE)]
    command += [*where, *(["--cores", number] if number else []), *(["--dry-run"] if dry else []), *flags]
    print(shlex.join(command), file=sys.stderr, flush=True)
    os.environ[COMMAND] = shlex.join(["kdpipe", *sys.argv[1:]])
    if dry:
        _list_jobs(command)
    # A run may take days, and gives back the memory of the check.
    os.execv(sys.executable, [sys.executable, "-m", *command])


def _is_reserved(flag: str) -> bool:
    """Tell whether kdpipe sets a flag itself; a user may shorten a flag, or write its value into the flag."""
    name = flag.partition("=")[0]
    if not name.startswith("--"):
        return name.startswith(RESERVED)
    # `--config` is a flag of its own.
    return name not in ("--", "--config") and any(known.startswith(name) for known in RESERVED)


def _warn_of_cores(cores: str | None, slurm: bool) -> None:
    """Say it if jobs would share more processor cores than this machine has."""
    there = os.cpu_count() or 1
    if cores and cores.isdecimal() and int(cores) > there and not slurm:
        print(
            f"--cores {cores}: this machine has {there}, so that jobs will slow each other down",
            file=sys.stderr,
        )


def _list_jobs(command: Sequence[str]) -> NoReturn:
    """Let Snakemake list the jobs here, which is faster than another process that imports the same again."""
    from snakemake.cli import main

    from kdpipe.commands.screen import LISTED

    os.environ[LISTED] = "1"
    sys.argv = [*command]
    sys.exit(main())


def _targets(graph: Graph, names: Sequence[str]) -> Iterator[Path]:
    """Yield the folders of models, and of their exports, evaluations, submissions and measurements.

    Raises:
        KdpipeError: the config has no such model.
    """
    templates = {node.template for node in graph.nodes.values()}
    # A word that names no file may be a misspelt config that comes with kdpipe.
    known = {*graph.nodes, *templates, *shipped_configs()}
    for name in names:
        models = [model for model, node in graph.nodes.items() if name in (model, node.template)]
        if not models:
            raise KdpipeError(f"{quoted(name)}: there is no such model; {suggest(name, known)}")
        for model in models:
            yield from (job.folder for job in result_jobs(graph, model))


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
            # The name of a temporary file would say nothing.
            error.filename = str(place)
            raise KdpipeError(f"{name}: {tell_fault(error, place) or f'{place}: {error.strerror}'}") from None
