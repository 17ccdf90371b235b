"""Run a stage from the command line: its arguments, its log, its threads, its exit status.

Every module of `kdpipe.stages` has a function `run(settings, workspace, *, …)`. The keyword parameters of
this function are the folders that the stage reads. The command line follows from the signature:

    python -m kdpipe.stages.finetune --settings '{…}' --model DIR --data DIR --output DIR
"""

import argparse
import inspect
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO, get_type_hints

from pydantic import BaseModel, ValidationError

from kdpipe import environment, processes
from kdpipe.artifacts.faults import tell_fault
from kdpipe.artifacts.ownership import place_of
from kdpipe.artifacts.sums import SUMS, verify
from kdpipe.config.mistakes import problems_of
from kdpipe.config.settings.base import decisive
from kdpipe.config.settings.bounds import MANY, MOST_THREADS
from kdpipe.errors import EXIT_STATUS, STOPPED_STATUS, ConfigError, KdpipeError, StoppedError, quoted
from kdpipe.plan.identity import code_of, identity, modules_named
from kdpipe.plan.stage import definition
from kdpipe.runner.launch import TEAM, await_others
from kdpipe.runner.logs import MARK, check_log
from kdpipe.runner.progress import is_shown_elsewhere
from kdpipe.runner.workspace import Workspace

LOG = logging.getLogger(__name__)


def main(
    run: Callable[..., None],
    several: bool = False,
    sources: Callable[..., Mapping[str, str]] = lambda **settings: {},
    in_part: Mapping[str, str] | None = None,
) -> None:
    """Run a stage with the arguments of the command line and exit.

    Exit status 0 means that the artifact is there, 2 that the user can mend a mistake, 75 that the stage was
    stopped and goes on when it is run again, and 1 any other error.

    Args:
        run: the stage.
        several: whether the stage can run in several processes.
        sources: takes the settings and returns the SHA-256 of the files that the stage reads besides
            artifacts, by their paths.
        in_part: options with artifacts of which files may be missing if another option is given; the stage
            itself requires the files that it reads.
    """
    stage = Path(inspect.getfile(run)).stem
    parser = _parser(run, stage)
    arguments = parser.parse_args([*_spelled_out(sys.argv[1:], parser)])
    with _logging(None if processes.rank() else arguments.log) as console:
        TEAM.name, TEAM.streams = f"{stage} {_called(arguments)}", {sys.stderr, console}
        try:
            _run(run, stage, arguments, console, several, sources, in_part or {})
            status = 0
        except KdpipeError as error:
            status, message = EXIT_STATUS, str(error)
        except StoppedError as error:
            status, message = STOPPED_STATUS, str(error)
        except KeyboardInterrupt:
            status, message = STOPPED_STATUS, "stopped by hand"
        except Exception as error:
            fault = tell_fault(error, _state(arguments))
            if fault is None:
                traceback.print_exc()
            await_others()
            status, message = (EXIT_STATUS, fault) if fault else (1, f"{type(error).__name__}: {error}")
        if status:
            TEAM.end(f"{TEAM.name}: {message}")
            if processes.rank():
                # Exit at once, so that this message comes before errors of processes that lose this process.
                os._exit(status)
    sys.exit(status)


def _run(
    run: Callable[..., None],
    stage: str,
    arguments: argparse.Namespace,
    console: TextIO,
    several: bool,
    sources: Callable[..., Mapping[str, str]],
    in_part: Mapping[str, str],
) -> None:
    threads = max(1, arguments.threads // processes.count())
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "transformers" in sys.modules:
        # The log takes no progress bars, and no advice on other ways to spread a model over GPUs.
        sys.modules["transformers"].utils.logging.disable_progress_bar()
        logging.getLogger("transformers.distributed").setLevel(logging.ERROR)
    processes.check_tasks()
    if processes.count() > 1:
        if not several:
            raise KdpipeError(f"{stage} runs in one process, found WORLD_SIZE {processes.count()}; unset it")
        processes.join(threads)
    models, inputs = _parameters(run)
    settings = {name: _settings(model, getattr(arguments, name)) for name, model in models.items()}
    paths = {name: getattr(arguments, name) for name in inputs}
    parts = [option for option, other in in_part.items() if paths[other]]
    recorded = {name: decisive(value) for name, value in settings.items()}
    workspace = Workspace(
        output=arguments.output,
        state=_state(arguments),
        threads=threads,
        console=console,
        origin=processes.shared(
            lambda: {
                "settings": {**recorded, "threads": arguments.threads},
                "inputs": _inputs(paths, parts, _state(arguments).parent),
                "code": _code(arguments.code or [definition(stage).module, *modules_named(recorded)]),
            }
        ),
        checkpoint_minutes=arguments.checkpoint_minutes,
        minutes=arguments.minutes,
        sources=partial(sources, **settings),
    )
    with workspace.turn() as needed:
        if needed:
            if environment.removed:
                LOG.info("ignored environment variables: %s", ", ".join(sorted(environment.removed)))
            run(**settings, workspace=workspace, **paths)


def _open_log(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_log(path)
        # An earlier process that still runs goes on writing to its log, which has no name any more.
        path.unlink(missing_ok=True)
        # On a full disk the log stays empty, which is allowed.
        with suppress(OSError):
            path.write_text(f"{MARK}\n", encoding="utf-8")
        return path.open("a", encoding="utf-8")
    except (KdpipeError, OSError) as error:
        sys.stderr.write(f"--log: {tell_fault(error, path) or error}\n")
        sys.exit(EXIT_STATUS)


def _called(arguments: argparse.Namespace) -> str:
    """Return the name of an artifact in messages: the models and datasets in the path of its folder."""
    place = Path(place_of(arguments.output, _state(arguments).parent))
    return place.name if place.is_absolute() else " ".join(place.parts[1:] or place.parts)


def _state(arguments: argparse.Namespace) -> Path:
    state: Path = arguments.state or arguments.output.parent / ".state"
    return state


def _inputs(paths: Mapping[str, Any], parts: Sequence[str], results: Path) -> dict[str, str]:
    """Check the artifacts that a stage reads, and return their digests by their paths below the results.

    Artifacts of the options in `parts` may lack files, and their list of digests as well.
    """
    artifacts = {}
    for role, value in paths.items():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path) and not path.exists():
                raise KdpipeError(f"--{role}: {path} does not exist")
            if isinstance(path, Path) and path.is_dir() and (role not in parts or (path / SUMS).exists()):
                artifacts[place_of(path, results)] = verify(path, whole=role not in parts)
    return artifacts


def _code(roots: Sequence[str]) -> dict[str, Any]:
    """Return the manifest's entry for the code: its identity, its root modules, and all of its modules."""
    try:
        modules = code_of(roots)
    except (ImportError, OSError, ValueError) as error:
        raise KdpipeError(
            f"--code: expected modules of kdpipe, found {quoted(list(roots))} ({error})"
        ) from None
    return {"identity": identity(modules), "roots": list(roots), "modules": modules}


def _settings(model: type[BaseModel], text: str) -> BaseModel:
    try:
        return model.model_validate(json.loads(text))
    except ValidationError as error:
        raise ConfigError(problems_of(error)) from None
    except (RecursionError, ValueError) as error:
        raise KdpipeError(f"--settings: expected JSON, found {quoted(text)} ({error})") from None


def _parameters(run: Callable[..., None]) -> tuple[dict[str, type[BaseModel]], dict[str, inspect.Parameter]]:
    """Return the settings that a stage takes, and its other parameters but the workspace."""
    settings = {
        name: hint
        for name, hint in get_type_hints(run).items()
        if inspect.isclass(hint) and issubclass(hint, BaseModel)
    }
    others = dict(inspect.signature(run).parameters)
    return settings, {name: others[name] for name in others if name not in {"workspace", *settings}}


def _parser(run: Callable[..., None], stage: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(f"python -m kdpipe.stages.{stage}", description=inspect.getdoc(run))
    add = parser.add_argument
    settings, inputs = _parameters(run)
    for name, model in settings.items():
        add(f"--{name}", required=True, metavar="JSON", help=f"{model.__name__} as JSON")
    for name, parameter in inputs.items():
        required = parameter.default is inspect.Parameter.empty
        add(
            f"--{name.replace('_', '-')}",
            type=parameter.annotation if parameter.annotation in (float, str) else _folder,
            nargs="+" if "list" in str(parameter.annotation) else None,
            required=required,
            default=None if required else parameter.default,
        )
    add("--output", type=Path, required=True, help="folder of the artifact")
    add("--state", type=Path, help="folder for half-written state (default: beside the output)")
    add("--log", type=Path, help="file that takes all messages (default: standard error)")
    roots = "root modules of the stage's code (default: its module, and the modules that its settings name)"
    add("--code", nargs="+", metavar="MODULE", help=roots)
    minutes = _within("minutes", float, 0, MANY)
    add("--checkpoint-minutes", type=minutes, default=10, help="minutes of work between two checkpoints")
    add("--minutes", type=minutes, help="minutes after which it will be stopped")
    threads = _within(f"1 to {MOST_THREADS} threads", int, 1, MOST_THREADS)
    add("--threads", type=threads, default=os.cpu_count() or 1)
    return parser


def _spelled_out(words: Sequence[str], parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the words of a command line, and in place of `@FILE` the words of a JSON list in this file.

    One argument of a command line holds 128 KiB on Linux. argparse can read files too, but it decodes them as
    the locale says, and cuts them at all line ends of Unicode, which may occur in names of classes.
    """
    for word in words:
        if not word.startswith("@"):
            yield word
            continue
        try:
            yield from json.loads(Path(word[1:]).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            parser.error(f"{word}: expected a file with arguments as a JSON list, found: {error}")


def _folder(text: str) -> Path:
    """Return the folder of an artifact from the path of the folder or of its SHA256SUMS."""
    path = Path(text)
    return path.parent if path.name == SUMS else path


def _within(expected: str, kind: type[float], low: float, high: float) -> Callable[[str], float]:
    """Return a function that reads a number in a range."""

    def read(text: str) -> float:
        with suppress(ValueError):
            if low <= (number := kind(text)) <= high:
                return number
        raise argparse.ArgumentTypeError(f"expected {expected}, found {text}")

    return read


@contextmanager
def _logging(path: Path | None) -> Iterator[TextIO]:
    """Send all output to the log, and yield the terminal for progress bars and the last message."""
    console = sys.stderr
    if path is not None:
        # The screen of a run draws on the terminal, and tells what the log ends with.
        shown = os.open(os.devnull, os.O_WRONLY) if is_shown_elsewhere() else os.dup(sys.stderr.fileno())
        console = os.fdopen(shown, "w", buffering=1)
        with _open_log(path) as log:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
                os.dup2(log.fileno(), stream.fileno())
    level = logging.ERROR if processes.rank() else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    yield console
