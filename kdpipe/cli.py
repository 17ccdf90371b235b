"""The command line of kdpipe: check, explain and run a config; `_parser` says what each command does."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from kdpipe import catalog
from kdpipe.anatomy.analysis import DEPTH
from kdpipe.commands.describe import describable, describe, describe_graph, list_names, mermaid, summary
from kdpipe.commands.schema import config_schema
from kdpipe.commands.shrink import shrink
from kdpipe.config.document import read_config
from kdpipe.config.paths import folder_fault
from kdpipe.config.settings.bounds import MANY
from kdpipe.errors import EXIT_STATUS, ConfigError, KdpipeError, quoted, suggest
from kdpipe.plan.build import load_graph
from kdpipe.plan.saved.analysis import analyze_folder


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit, with status 0, or 2 for a mistake that the user can mend."""
    command, flags = _split(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(command, argparse.Namespace(flags=flags))
    try:
        Path.cwd()
    except FileNotFoundError:
        _fail("the working folder has been removed; change to another folder")
    try:
        options.command(options)
        sys.stdout.flush()
    except ConfigError as error:
        count = len(error.problems)
        _fail(f"{error}\n{count} mistake{'s' if count > 1 else ''} found")
    except KdpipeError as error:
        _fail(str(error))
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe. Without this, Python would complain at its exit.
        sys.stdout = None
    except OSError as error:
        # The rest of the output would fail again.
        sys.stdout = None
        _fail(f"{error.filename or 'standard output'}: {error.strerror or error}")


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments of kdpipe, and the arguments that `run` passes on to Snakemake."""
    end = arguments.index("--") if arguments[:1] == ["run"] and "--" in arguments else len(arguments)
    return arguments[:end], arguments[end + 1 :]


def _cores(text: str) -> str:
    if text != "all" and not (text.isdecimal() and 1 <= int(text[:20]) <= MANY):
        what = f"expected a number of processor cores, or all, found {quoted(text)}"
        raise argparse.ArgumentTypeError(what)
    return text


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(EXIT_STATUS)


def _check(options: argparse.Namespace) -> None:
    graph = load_graph(options.config)
    if options.data:
        # This import takes longer than the check of a config.
        from kdpipe.commands.check_data import check_data

        check_data(graph)
    print(summary(graph))


def _run(options: argparse.Namespace) -> None:
    from kdpipe.commands.run import start

    start(options.config, options.cores, options.flags, options.data)


def _why(options: argparse.Namespace) -> None:
    from kdpipe.commands.changes import explain_changes

    print(explain_changes(load_graph(options.config), options.node))


def _clean(options: argparse.Namespace) -> None:
    from kdpipe.commands.clean import find_leftovers, remove

    graph = load_graph(options.config)
    leftovers, foreign = find_leftovers(graph)
    for folder, why in foreign.items():
        print(f"foreign: {folder}; {why}, left alone")
    for leftover in leftovers:
        print(f"{leftover.size / 1e6:10.1f} MB  {leftover.folder}  ({leftover.why})")
        if options.yes:
            remove(graph, leftover)
    total = sum(leftover.size for leftover in leftovers) / 1e6
    print(f"{total:10.1f} MB  {'removed' if options.yes else 'may be removed, with --yes'}")


def _shrink(options: argparse.Namespace) -> None:
    from kdpipe.adapters.sources import source_of
    from kdpipe.artifacts.faults import tell_fault
    from kdpipe.commands.samples import write_model, write_sample
    from kdpipe.commands.shrunk import rewritten

    if fault := folder_fault(options.output / "results"):
        raise KdpipeError(f"--output: {fault}")
    config, values = read_config(options.config), dict(options.value)
    small = shrink(config, options.output, values, lambda settings: source_of(settings).splits())
    file = options.output / "config.yaml"
    try:
        with rewritten(options.output, options.config):
            for dataset in small.datasets:
                write_sample(dataset.sources[0], dataset.task)
            for model in small.models:
                write_model(model)
            text = yaml.safe_dump(small.config, sort_keys=False, allow_unicode=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        what = f"expected a folder, or a path where one can be made: {error}"
        raise KdpipeError(f"--output: {tell_fault(error, file) or what}") from None
    graph = load_graph([file])
    samples = [f"dataset {dataset.name}" for dataset in small.datasets]
    samples += [f"model {model.name}" for model in small.models]
    print(f"made up: {', '.join(samples) or 'nothing'}")
    print(f"report: {graph.layout.report / 'report.html'}, after this command:")
    print(f"snakemake --cores 2 --configfile {file}")


def _describe(options: argparse.Namespace) -> None:
    if options.what in describable():
        print(describe(options.what))
    elif Path(options.what).is_dir():
        print(analyze_folder(Path(options.what)).as_text(options.depth))
    else:
        hint = suggest(options.what, describable())
        raise KdpipeError(
            f"{quoted(options.what)} is neither a name of the catalog nor the folder of a model; {hint}"
        )


def _depth(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:20]) <= MANY:
        raise argparse.ArgumentTypeError(f"expected a number from 1, found {quoted(text)}")
    return int(text)


def _choice(text: str) -> tuple[str, str]:
    variable, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected VARIABLE=VALUE, found {text!r}")
    return variable, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("kdpipe", description="Compress language models with a workflow.")
    commands = parser.add_subparsers(required=True, dest="name")

    def add(
        name: str, run: Callable[[argparse.Namespace], None], text: str, *nodes: str, configs: str = "+"
    ) -> Callable[..., Any]:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=run)
        for node in nodes:
            command.add_argument(node, help="name of the model")
        if configs:
            files = f"config files, merged from left to right{' (default: config.yaml)' * (configs == '*')}"
            command.add_argument("config", nargs=configs, type=Path, help=files)
        return command.add_argument

    no_data: dict[str, Any] = {"dest": "data", "action": "store_false", "help": "do not look at data files"}
    text = "find every mistake of a config and of its data's first rows; print shapes and matched layers"
    add("check", _check, text)("--no-data", **no_data)
    text = "check a config and run the workflow; arguments after `--` go to Snakemake"
    argument = add("run", _run, text, configs="*")
    argument("--no-data", **no_data)
    argument("--cores", type=_cores, default="all", help="processor cores that jobs share (default: all)")
    text = "print the models and what they are made from"
    argument = add("graph", lambda options: print(options.form(load_graph(options.config))), text)
    facts = {"action": "store_const", "const": mermaid, "default": describe_graph}
    argument("--mermaid", dest="form", help="as a Mermaid diagram", **facts)
    add("why", _why, "print what has changed since a model was made, and the model's inputs", "node")
    argument = add("clean", _clean, "list the results that can be removed without any job running again")
    argument("--yes", action="store_true", help="remove them")
    argument = add("shrink", _shrink, "write a small copy of a graph, to test it before days of computing")
    text = "folder for config.yaml, sample data and results"
    argument("--output", type=Path, default=Path("shrunk"), help=text)
    text = "the value of a matrix variable in the copy (default: its first value)"
    facts = {"default": [], "type": _choice, "metavar": "VARIABLE=VALUE", "help": text}
    argument("--value", action="append", **facts)
    text = "print the settings of a stage, a source, a loss, or `importance`; or what a model consists of"
    argument = add("describe", _describe, text, configs="")
    argument("what", metavar="NAME", help="see kdpipe list; or the folder of a model")
    text = f"parts of the names of a model's modules that are shown (default: {DEPTH})"
    argument("--depth", type=_depth, default=DEPTH, help=text)
    text = "print the names that a config may use"
    argument = add("list", lambda options: print(list_names(options.kind)), text, configs="")
    argument("kind", choices=sorted(catalog.KINDS))
    text = "print a JSON Schema for editors"
    add("schema", lambda options: print(json.dumps(config_schema(), indent=2)), text, configs="")
    return parser


if __name__ == "__main__":
    main()
