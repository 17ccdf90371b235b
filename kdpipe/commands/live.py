"""The lines at the bottom of a terminal that change while jobs are at work."""

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TextIO

# Seconds between two looks at the jobs.
INTERVAL = 0.5
UP, CLEAR = "\x1b[{}F", "\x1b[J"


class Live:
    """Lines at the bottom of a terminal, which are drawn again and again until `close`.

    Args:
        stream: the terminal.
        lines: returns the lines as they are now.
    """

    def __init__(self, stream: TextIO, lines: Callable[[], Sequence[str]]) -> None:
        self._stream, self._lines = stream, lines
        self._drawn = 0
        self._lock, self._closed = threading.RLock(), threading.Event()
        threading.Thread(target=self._redraw, daemon=True).start()

    def say(self, text: str) -> None:
        """Print text above the lines."""
        with self._lock:
            self._erase()
            self._stream.write(f"{text}\n")
            self._draw()
            self._stream.flush()

    def close(self) -> None:
        """Remove the lines."""
        self._closed.set()
        with self._lock:
            self._erase()
            self._stream.flush()

    def _size(self) -> tuple[int, int]:
        """Return the width and the height of the terminal."""
        with suppress(OSError, ValueError):
            width, height = os.get_terminal_size(self._stream.fileno())
            # A terminal that nobody looks at may have no size.
            if width and height:
                return width, height
        return shutil.get_terminal_size()

    def _redraw(self) -> None:
        while not self._closed.wait(INTERVAL):
            # What the lines tell must not stop a run, and a terminal may be gone.
            with suppress(Exception), self._lock:
                self._erase()
                self._draw()
                self._stream.flush()

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(UP.format(self._drawn) + CLEAR)
            self._drawn = 0

    def _draw(self) -> None:
        if self._closed.is_set():
            return
        width, height = self._size()
        # A line that is cut by the terminal would take two of its lines.
        shown = [line[: width - 1] for line in self._lines()][-max(1, height - 1) :]
        self._stream.write("".join(f"{line}\n" for line in shown))
        self._drawn = len(shown)
