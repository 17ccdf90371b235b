"""Commands run in this process; a stage runs in a process forked off a server, which has done all imports."""

import io
import multiprocessing
import resource
import shlex
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import islice
from pathlib import Path

from kdpipe.adapters.sources import source_of
from kdpipe.cli import main
from kdpipe.errors import EXIT_STATUS, KdpipeError
from kdpipe.plan.graph import Graph
from kdpipe.plan.stage import Job, definition
from kdpipe.plan.stages.preprocess import preprocess_settings
from tests.forked import be_stage

MEMORY, MOST_EXAMPLES = 12 << 30, 300
SERVER = multiprocessing.get_context("forkserver")


class SlowError(BaseException):
    """A draw took too long; no `except Exception` catches this error."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt the block after some seconds."""

    def stop(*_: object) -> None:
        raise SlowError(f"not done after {seconds} s")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def run_command(arguments: Sequence[str]) -> tuple[int, str]:
    """Run `kdpipe` with some arguments; return its exit status (1 for an error) and its output."""
    with redirect_stdout(io.StringIO()) as output, redirect_stderr(output):
        try:
            main([*arguments])
        except SystemExit as end:
            return int(end.code or 0), output.getvalue()
        except (Exception, SlowError):
            return 1, output.getvalue() + traceback.format_exc()
    return 0, output.getvalue()


def has_small_data(graph: Graph, dataset: str) -> bool:
    """Tell whether a dataset is small: the docstrings of all default packages take a minute."""
    sources = graph.datasets[dataset].sources
    return all(source.source != "pydoc" or source.options.get("packages") for source in sources)


def read_dataset(graph: Graph, dataset: str) -> tuple[int, str]:
    """Read the first examples of each split; return an exit status and the text of an error."""
    try:
        source = source_of(preprocess_settings(graph, dataset))
        for split in source.splits():
            for _ in islice(source.read(split), MOST_EXAMPLES):
                pass
    except KdpipeError as error:
        return EXIT_STATUS, str(error)
    except Exception:
        return 1, traceback.format_exc()
    return 0, ""


def run_stage(graph: Graph, job: Job, config: Path, seconds: float) -> tuple[int, str]:
    """Run the stage of a job as its rule does; return its exit status, its output and its log.

    Args:
        graph: the graph.
        job: the job.
        config: the file of the whole config, which the report and the cards read.
        seconds: the time after which the stage is killed.
    """
    log = graph.layout.results / "logs" / f"{job.stage}.log"
    arguments = [*_arguments(graph, job, config), "--log", str(log)]
    console = config.with_name("console")
    # What the server imports is said here: other tests, which say something else, may be imported later.
    SERVER.set_forkserver_preload(["tests.preloaded"])
    process = SERVER.Process(target=_run, args=(job.stage, arguments, console, Path.cwd()))
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
    said = [file.read_text(errors="replace") for file in (log, console) if file.is_file()]
    return process.exitcode or 0, "\n".join([f"{job.stage} {shlex.join(arguments)}", *said])


def _arguments(graph: Graph, job: Job, config: Path) -> list[str]:
    """Return the command line that the rule of a job gives its stage."""
    told: dict[str, Sequence[str]] = {
        "output": [str(job.folder)],
        "state": [str(definition(job.stage).state(graph))],
    }
    if job.stage in ("report", "card"):
        told["config"] = [str(config)]
    else:
        told |= {option: [text] for option, text in job.arguments().items()}
        told |= {option: [*map(str, folders)] for option, folders in job.inputs.items() if folders}
    if job.stage == "cache_teacher":
        told["limit-gb"] = [str(graph.document.cache_limit_gb)]
    told |= {"code": job.modules, "threads": ["1"]}
    return [word for option, words in told.items() for word in (f"--{option}", *words)]


def _run(stage: str, arguments: Sequence[str], console: Path, folder: Path) -> None:
    """Be the process of a stage."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    be_stage(stage, arguments, console, folder)
