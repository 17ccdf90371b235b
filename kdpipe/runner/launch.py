"""Start a stage in several processes that train one model together.

    python -m kdpipe.runner.launch 2 finetune --settings '{…}' --model DIR --data DIR --output DIR

The launcher itself becomes the first process, starts the others, and ends them when it ends. Only the first
process writes files and takes signals. If another process fails, the first process ends with the exit status
and the last message of that process. (torchrun loses both.)
"""

import argparse
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from threading import Lock, Thread
from typing import TextIO

from kdpipe import catalog, processes
from kdpipe.environment import forget
from kdpipe.errors import STOPPED_STATUS
from kdpipe.plan.stage import definition

# Seconds to wait for an error of another process, which may be the cause of this process's error.
GRACE = 2.0


class Team:
    """The processes that this process has started, and the name and the streams of the last message."""

    def __init__(self) -> None:
        self.name = "kdpipe"
        self.streams: Iterable[TextIO] = (sys.stderr,)
        self._others: list[subprocess.Popen[str]] = []
        self._ending = Lock()

    def start(self, number: int, command: Sequence[str]) -> None:
        """Start a process in a session of its own, so that Ctrl-C reaches only the first process."""
        environment = {**os.environ, "RANK": str(number), "LOCAL_RANK": str(number)}
        # The first process gives the warnings for all.
        environment["TRANSFORMERS_VERBOSITY"] = "error"
        other = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._others.append(other)
        Thread(target=self._watch, args=(number, other), daemon=True).start()

    def end(self, message: str) -> None:
        """End the other processes and print the last message; no process prints anything after it."""
        if self._others:
            self._ending.acquire()
        for other in self._others:
            other.kill()
        for stream in self.streams:
            # A log on a full disk takes no last line.
            with suppress(OSError):
                print(message, file=stream, flush=True)

    def _watch(self, number: int, other: "subprocess.Popen[str]") -> None:
        """Pass on the output of another process; if it fails, end with its status and its last line."""
        last = ""
        for line in other.stdout or ():
            _pass_on(last)
            last = line
        status = other.wait()
        if status == STOPPED_STATUS:
            return
        if status == 0:
            return _pass_on(last)
        # If the first process failed of the same cause, its message comes first. If it hangs in native code,
        # only `os._exit` ends it.
        time.sleep(GRACE / 4)
        if status < 0:
            _pass_on(last)
            place = f"{self.name}: process {number + 1} of {processes.count()}"
            last = f"{place} was ended by {signal.Signals(-status).name}"
        self.end(last.rstrip("\n"))
        os._exit(max(status, 1))


def _pass_on(text: str) -> None:
    # On a full disk the text is lost: a process whose output nobody reads would halt.
    with suppress(OSError):
        sys.stderr.write(text)


TEAM = Team()


def await_others() -> None:
    """Wait for another process to report its error first, as it may be the cause of this process's error."""
    if processes.count() > 1:
        time.sleep(GRACE if processes.rank() else 2 * GRACE)


def main() -> None:
    """Run a stage in several processes, as the first process or as another."""
    forget()
    parser = argparse.ArgumentParser("python -m kdpipe.runner.launch", description=main.__doc__)
    parser.add_argument("processes", type=int, help="number of processes")
    parser.add_argument("stage", choices=catalog.STAGES, help="stage that the processes run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the stage")
    options = parser.parse_args()
    if processes.rank():
        Thread(target=_end_with_first, daemon=True).start()
    elif options.processes > 1 and not processes.is_another_task():
        _lead(options.processes)
    sys.argv[1:] = options.arguments
    runpy.run_module(definition(options.stage).module, run_name="__main__", alter_sys=True)


def _lead(number: int) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
    os.environ |= {"WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": str(number), "RANK": "0", "LOCAL_RANK": "0"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for other in range(1, number):
        TEAM.start(other, [sys.executable, "-m", "kdpipe.runner.launch", *sys.argv[1:]])


def _end_with_first() -> None:
    """Wait for the end of the first process, which holds the other end of the standard input."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    # The import gives this module its own name, so that the stage finds the same `TEAM`.
    from kdpipe.runner.launch import main as start

    start()
