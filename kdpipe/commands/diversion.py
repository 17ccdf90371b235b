"""What processes write to a terminal whose last lines change: it is led above these lines.

The lines are removed before they are drawn again, and would take away what somebody else has written below
them, such as the traceback of a stage that fails before it has opened its log.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import TextIO

# Seconds to wait for the rest of what was written; a process that outlives its run may keep the pipe open.
GRACE = 2.0


class Diversion:
    """Hands on what this process and the processes that it starts write to the terminal, until `close`.

    Args:
        say: takes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        terminal = sys.stderr.fileno()
        outputs = {stream.fileno() for stream in filter(None, (sys.stdout, sys.stderr))}
        outputs = {number for number in outputs if os.path.sameopenfile(number, terminal)}
        self._kept = {number: os.dup(number) for number in outputs}
        self._end, pipe = os.pipe()
        for number in outputs:
            os.dup2(pipe, number)
        os.close(pipe)
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Let all write to the terminal again, and hand on what was written before."""
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        while self._kept:
            number, kept = self._kept.popitem()
            os.dup2(kept, number)
            os.close(kept)
        self._reader.join(GRACE)

    def _read(self) -> None:
        with os.fdopen(self._end, encoding="utf-8", errors="replace", newline="\n") as lines:
            for line in lines:
                # A terminal may be gone, and a process whose output nobody reads would halt.
                with suppress(Exception):
                    # A bar of progress that draws itself again shows as it ended.
                    self._say(line.rstrip("\r\n").rpartition("\r")[2])


def copy_of(stream: TextIO) -> TextIO:
    """Return another stream to the same terminal, which stays there when the first is led elsewhere."""
    return os.fdopen(os.dup(stream.fileno()), "w", encoding=stream.encoding, errors="backslashreplace")
