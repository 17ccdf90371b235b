"""The page `docs/cli.md`: every command, from the parser of the command line."""

import argparse
from collections.abc import Iterator

HEADER = """# Commands

`make reference` writes this page from the parser of `kdpipe`. `kdpipe COMMAND --help` prints the same.
"""


def manual(parser: argparse.ArgumentParser) -> str:
    """Return the page: a section for each command, with a table of its arguments."""
    [commands] = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    lines = [HEADER]
    for name, command in commands.choices.items():
        lines += [f"## `{name}`\n", f"{_sentence(command.description or '')}\n", *_arguments(command)]
    return "\n".join(lines).rstrip()


def _arguments(command: argparse.ArgumentParser) -> Iterator[str]:
    """Yield a table of the arguments of a command, if it takes any."""
    actions = [action for action in command._actions if action.dest != "help"]
    if actions:
        yield "| argument | meaning |\n|---|---|"
        yield from (f"| {_written(action)} | {_meaning(action)} |" for action in actions)
        yield ""


def _written(action: argparse.Action) -> str:
    """Return how an argument is written, such as `--cores CORES`."""
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    return f"`{' '.join(filter(None, (', '.join(action.option_strings), value)))}`"


def _meaning(action: argparse.Action) -> str:
    choices = ", ".join(f"`{choice}`" for choice in action.choices or ())
    return "; ".join(filter(None, (action.help, f"one of {choices}" if choices else "")))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
