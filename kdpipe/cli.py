"""The command line of kdpipe: check, explain and run a config; `_parser` says what each command does.

A command imports what it needs when it runs, so that `kdpipe --help` answers at once.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from kdpipe import catalog
from kdpipe.anatomy.analysis import DEPTH
from kdpipe.commands.recipes import RECIPES
from kdpipe.environment import hush
from kdpipe.errors import EXIT_STATUS, INTERRUPTED_STATUS, ConfigError, KdpipeError, quoted, suggest
from kdpipe.places import (
    CITATION,
    ENDINGS,
    SNAKEFILE,
    default_config,
    default_note,
    find_config,
    shipped_configs,
)

MOST = 10**9
CONFIGS = "config files, merged from left to right (default: config.yaml)"
# How shells complete the names of files, as `shtab.FILE` says.
FILES = {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"}
CONFIG: dict[str, Any] = {"nargs": "*", "metavar": "FILE.yaml", "help": CONFIGS}
NO_DATA: dict[str, Any] = {"dest": "data", "action": "store_false", "help": "do not look at data files"}


def main(arguments: list[str] | None = None) -> None:
    """Run a command and exit, with status 0, 2 for a mistake that the user can mend, or 130 after Ctrl-C."""
    hush()
    command, flags = _split(sys.argv[1:] if arguments is None else arguments)
    options = _options(command, flags)
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
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_STATUS)
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe. Without this, Python would complain at its exit.
        sys.stdout = None
    except OSError as error:
        # The rest of the output would fail again.
        sys.stdout = None
        _fail(f"{error.filename or 'standard output'}: {error.strerror or error}")


def _options(command: list[str], flags: list[str]) -> argparse.Namespace:
    """Return what a command line says; configs and models may stand before and after options."""
    parser = _parser()
    options, more = parser.parse_known_args(command, argparse.Namespace(flags=flags))
    if more and (not hasattr(options, "words") or any(word.startswith("-") for word in more)):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    options.words = [*getattr(options, "words", ()), *more]
    return options


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments of kdpipe, and the arguments that `run` passes on to Snakemake."""
    end = arguments.index("--") if arguments[:1] == ["run"] and "--" in arguments else len(arguments)
    return arguments[:end], arguments[end + 1 :]


def _fail(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(EXIT_STATUS)


def _configs(words: Sequence[str]) -> list[Path]:
    """Return the config files that a command line names; `config.yaml` where it names none."""
    if not words and (note := default_note()):
        print(note, file=sys.stderr)
    return [find_config(Path(word)) for word in words] or [default_config()]


def _apart(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the configs and the models among the words of a command line, in any order."""
    shipped = shipped_configs()
    files = [word for word in words if word.endswith(ENDINGS) or "/" in word or word in shipped]
    return _configs(files), [word for word in words if word not in files]


def _check(options: argparse.Namespace) -> None:
    from kdpipe.commands.describe import summary
    from kdpipe.plan.build import load_graph

    graph = load_graph(_configs(options.words))
    if options.data:
        from kdpipe.commands.check_data import check_data

        check_data(graph)
    print(summary(graph))


def _run(options: argparse.Namespace) -> None:
    from kdpipe.commands.run import start

    configs, models = _apart(options.words)
    how = {"slurm": options.slurm, "dry": options.dry, "data": options.data}
    start(configs, models, options.cores, options.flags, **how)


def _graph(options: argparse.Namespace) -> None:
    from kdpipe.commands.describe import describe_graph, mermaid
    from kdpipe.plan.build import load_graph

    show = mermaid if options.mermaid else describe_graph
    print(show(load_graph(_configs(options.words))))


def _why(options: argparse.Namespace) -> None:
    from kdpipe.commands.changes import explain_changes
    from kdpipe.plan.build import load_graph

    configs, models = _apart(options.words)
    if len(models) != 1:
        raise KdpipeError(f"MODEL: expected the name of a model, found {' and '.join(models) or 'none'}")
    print(explain_changes(load_graph(configs), models[0]))


def _compare(options: argparse.Namespace) -> None:
    from kdpipe.commands.compare import compare_results

    print(compare_results(options.first, options.second))


def _clean(options: argparse.Namespace) -> None:
    from kdpipe.commands.clean import find_leftovers, remove
    from kdpipe.plan.build import load_graph

    graph = load_graph(_configs(options.words))
    leftovers, foreign = find_leftovers(graph)
    for folder, why in foreign.items():
        print(f"foreign: {folder}; {why}, left alone")
    for leftover in leftovers:
        print(f"{leftover.size / 1e6:10.1f} MB  {leftover.folder}  ({leftover.why})")
        if options.yes:
            remove(graph, leftover)
    total = sum(leftover.size for leftover in leftovers) / 1e6
    print(f"{total:10.1f} MB  {'removed' if options.yes else 'may be removed, with --yes'}")


def _new(options: argparse.Namespace) -> None:
    from kdpipe.commands.new import write_new

    said = {name: getattr(options, name) for name in ("text", "text_pair", "label", "delimiter", "encoding")}
    print(*write_new(options.recipe, options.data, options.output, said), sep="\n")


def _test(options: argparse.Namespace) -> None:
    from kdpipe.commands.trial import run_trial

    status, told = run_trial()
    print(told)
    sys.exit(status)


def _shrink(options: argparse.Namespace) -> None:
    from kdpipe.commands.shrunk import write_shrunk

    for line in write_shrunk(_configs(options.words), options.output, dict(options.value)):
        print(line)


def _push(options: argparse.Namespace) -> None:
    from kdpipe.commands.push import push

    configs, how = _configs(options.words), {"private": options.private, "revision": options.revision}
    print(push(options.model, options.repository, configs, **how))


def _describe(options: argparse.Namespace) -> None:
    from kdpipe.commands.describe import describe, names
    from kdpipe.plan.saved.analysis import analyze_folder

    if options.what in names():
        print(describe(options.what))
    elif Path(options.what).is_dir():
        print(analyze_folder(Path(options.what)).as_text(options.depth))
    else:
        hint = "there is no such folder" if "/" in options.what else suggest(options.what, names())
        raise KdpipeError(
            f"{quoted(options.what)} is neither a name of `kdpipe list` nor the folder of a model; {hint}"
        )


def _list(options: argparse.Namespace) -> None:
    from kdpipe.commands.listing import list_kinds, list_names

    print(list_names(options.kind) if options.kind else list_kinds())


def _schema(options: argparse.Namespace) -> None:
    from kdpipe.commands.schema import config_schema

    print(json.dumps(config_schema(), indent=2))


class _Version(argparse.Action):
    """Prints the version, which takes a while to find."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from importlib.metadata import version

        print(f"kdpipe {version('kdpipe')}")
        parser.exit()


def _is_number(text: str) -> bool:
    return text.isdecimal() and 1 <= int(text[:20]) <= MOST


def _completion(options: argparse.Namespace) -> None:
    import shtab

    print(shtab.complete(_parser(), options.shell))


def _cores(text: str) -> str:
    if text != "all" and not _is_number(text):
        what = f"expected a number of processor cores, or all, found {quoted(text)}"
        raise argparse.ArgumentTypeError(what)
    return text


def _depth(text: str) -> int:
    if not _is_number(text):
        raise argparse.ArgumentTypeError(f"expected a number from 1, found {quoted(text)}")
    return int(text)


def _choice(text: str) -> tuple[str, str]:
    variable, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"expected VARIABLE=VALUE, found {text!r}")
    return variable, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("kdpipe", description="Compress language models with a workflow.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(required=True, dest="name", metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], None], text: str) -> Callable[..., Any]:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=run)
        return command.add_argument

    _add_runs(add)
    _add_views(add)
    return parser


def _add_runs(add: Callable[..., Callable[..., Any]]) -> None:
    """Add the commands that run a config, or make or remove files."""
    argument = add("new", _new, "write a short config to start from, for a kind of task and your file")
    argument("recipe", choices=sorted(RECIPES), metavar="RECIPE", help="see kdpipe list recipes")
    argument("--data", type=Path, help="your file; columns of texts and labels are found").complete = FILES
    argument("--text", help="the column of texts, where another one is found")
    text = "the column of second texts, where another one is found; it makes a task of pairs"
    argument("--text-pair", help=text)
    argument("--label", help="the column of labels, where another one is found")
    text = "the character between the cells of CSV or TSV, such as ';' or '\\t', where another one is found"
    argument("--delimiter", type=lambda text: text.replace("\\t", "\t"), help=text)
    argument("--encoding", help="how the text is encoded, such as latin-1, where it is not UTF-8")
    text = "the config (default: config.yaml)"
    argument("--output", type=Path, default=Path("config.yaml"), help=text).complete = FILES
    argument = add("run", _run, "check a config and run the workflow; arguments after `--` go to Snakemake")
    text = f"{CONFIGS}, and the models that are made (default: all, and the report)"
    argument("words", nargs="*", metavar="FILE.yaml or MODEL", help=text).complete = FILES
    argument("--cores", type=_cores, help="processor cores that jobs share (default: all)")
    argument("--slurm", action="store_true", help="run the jobs on a SLURM cluster")
    argument("--dry-run", dest="dry", action="store_true", help="list the jobs, run none")
    argument("--no-data", **NO_DATA)
    add("test", _test, "make a chain of small models with what is installed, in about two minutes")
    argument = add("shrink", _shrink, "write a small copy of a graph, to test it before days of computing")
    argument("words", **CONFIG).complete = FILES
    text = "folder for config.yaml, sample data and results"
    argument("--output", type=Path, default=Path("shrunk"), help=text)
    text = "the value of a matrix variable in the copy (default: its first value)"
    facts: dict[str, Any] = {"default": [], "type": _choice, "metavar": "VARIABLE=VALUE", "help": text}
    argument("--value", action="append", **facts)
    argument = add("push", _push, "put a model on the Hub: its weights, config, tokenizer and card")
    argument("model", metavar="MODEL", help="a model of the config; or the folder of a model, with a slash")
    argument("repository", metavar="REPO", help="OWNER/NAME; the repository is made if there is none")
    argument("words", **CONFIG).complete = FILES
    argument("--private", action="store_true", help="push only to a repository that nobody else sees")
    argument("--revision", metavar="BRANCH", help="the branch that takes the model (default: main)")
    argument = add("clean", _clean, "list the results that can be removed without any job running again")
    argument("words", **CONFIG).complete = FILES
    argument("--yes", action="store_true", help="remove them")


def _add_views(add: Callable[..., Callable[..., Any]]) -> None:
    """Add the commands that print facts of a config, of a model or of kdpipe."""
    text = "find every mistake of a config and of its data's first rows; print shapes and matched layers"
    argument = add("check", _check, text)
    argument("words", **CONFIG).complete = FILES
    argument("--no-data", **NO_DATA)
    argument = add("graph", _graph, "print the models and what they are made from")
    argument("words", **CONFIG).complete = FILES
    argument("--mermaid", action="store_true", help="as a Mermaid diagram")
    text = "print what has changed since a model was made, and the model's inputs"
    argument = add("why", _why, text)
    argument(
        "words", nargs="+", metavar="FILE.yaml or MODEL", help=f"{CONFIGS}, and a model"
    ).complete = FILES
    text = "print the scores of two results side by side, and the settings in which they differ"
    argument = add("compare", _compare, text)
    for name in ("first", "second"):
        argument(name, type=Path, metavar="FOLDER", help="what a config calls `results`").complete = FILES
    text = "print the settings of a stage, a source, a loss or another name; or what a model consists of"
    argument = add("describe", _describe, text)
    argument("what", metavar="NAME", help="see kdpipe list; or the folder of a model")
    text = f"parts of the names of a model's modules that are shown (default: {DEPTH})"
    argument("--depth", type=_depth, default=DEPTH, help=text)
    argument = add("list", _list, "print the names that a config may use, by kind")
    argument("kind", nargs="?", choices=sorted([*catalog.KINDS, "configs", "metrics", "recipes"]))
    add("schema", _schema, "print a JSON Schema for editors")
    text = "print a script with which a shell completes commands and options"
    add("completion", _completion, text)("shell", choices=("bash", "zsh", "tcsh"))
    text = "print how to cite kdpipe"
    add("citation", lambda options: print(CITATION.read_text(encoding="utf-8"), end=""), text)
    text = "print the path of the Snakefile, for `snakemake --snakefile`"
    add("snakefile", lambda options: print(SNAKEFILE), text)


if __name__ == "__main__":
    main()
