"""Commands on a terminal, and what the terminal shows of the bytes that they write."""

import os
import pty
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# The cursor goes up to the begin of a line; all below is removed.
UP, CLEAR = re.compile(r"\x1b\[(\d+)F"), "\x1b[J"


def shown(text: str) -> list[str]:
    """Return the lines of a terminal that is wide and high enough for all of them."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[\d*[A-Z]|\x1b\[[\d;]*m|[\r\n]|[^\x1b\r\n]+", text):
        if up := UP.fullmatch(part):
            row, column = row - int(up[1]), 0
        elif part == CLEAR:
            lines[row:] = [lines[row][:column]]
        elif part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\r":
            column = 0
        elif not part.startswith("\x1b"):
            lines[row] = lines[row][:column] + part + lines[row][column + len(part) :]
            column += len(part)
    return lines


def run_on_terminal(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    output: int | None = None,
) -> tuple[int, str]:
    """Run a command in a folder, and return its exit status and what it writes to its terminal.

    Args:
        command: the command.
        folder: the folder.
        environment: further variables.
        output: a file for its standard output.
    """
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **(environment or {})}, stdout=output or theirs, stderr=theirs
    )
    os.close(theirs)
    text = b""
    # The terminal is at its end when no process has it open.
    with suppress(OSError):
        while part := os.read(terminal, 65536):
            text += part
    os.close(terminal)
    return process.wait(60), text.decode()
