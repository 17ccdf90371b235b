"""Start a stage in several processes, which train one model together.

    python -m kdpipe.runner.launch 2 finetune --settings '{…}' --model DIR --data DIR --output DIR

This process becomes the first of them: it alone writes, is the one to be signalled, and ends with the stage's
exit status and last word, be that another's; both are lost with torchrun. None outlives the first.
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

# Seconds in which it shows who failed first: what befalls the others follows from that.
GRACE = 2.0


class Team:
    """The other processes, as far as this one has started them.

    Attributes:
        name: what they are called in the last word.
        streams: where that goes.
    """

    def __init__(self) -> None:
        self.name = "kdpipe"
        self.streams: Iterable[TextIO] = (sys.stderr,)
        self._others: list[subprocess.Popen[str]] = []
        self._ending = Lock()

    def start(self, number: int, command: Sequence[str]) -> None:
        """Start one, in a session of its own: what is typed at the terminal is for the first."""
        ranks = {"RANK": str(number), "LOCAL_RANK": str(number)}
        # What all would warn of, the first does.
        environment = {**os.environ, **ranks, "TRANSFORMERS_VERBOSITY": "error"}
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
        """Say the last word, after which none of several processes says anything."""
        if self._others:
            self._ending.acquire()
        for other in self._others:
            other.kill()
        for stream in self.streams:
            # A log on a full disk takes no last line.
            with suppress(OSError):
                print(message, file=stream, flush=True)

    def _watch(self, number: int, other: "subprocess.Popen[str]") -> None:
        """Pass on what another process writes; if it fails, end with its status and its last line."""
        last = ""
        for line in other.stdout or ():
            _pass_on(last)
            last = line
        status = other.wait()
        if status == STOPPED_STATUS:
            return
        if status == 0:
            return _pass_on(last)
        # The first may have failed of the same, and this one may be stuck where Python has no say.
        time.sleep(GRACE / 4)
        if status < 0:
            _pass_on(last)
            place = f"{self.name}: process {number + 1} of {processes.count()}"
            last = f"{place} was ended by {signal.Signals(-status).name}"
        self.end(last.rstrip("\n"))
        os._exit(max(status, 1))


def _pass_on(text: str) -> None:
    # What a full disk does not take is lost, as a process that is not listened to would halt.
    with suppress(OSError):
        sys.stderr.write(text)


TEAM = Team()


def await_others() -> None:
    """Leave the word to another process if its failure is the cause of this one's."""
    if processes.count() > 1:
        time.sleep(GRACE if processes.rank() else 2 * GRACE)


def main() -> None:
    """Run a stage as the first or as another of several processes."""
    forget()
    parser = argparse.ArgumentParser("python -m kdpipe.runner.launch", description=main.__doc__)
    parser.add_argument("processes", type=int, help="how many processes there are")
    parser.add_argument("stage", choices=catalog.STAGES, help="what they run")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what that is told")
    given = parser.parse_args()
    if processes.rank():
        Thread(target=_end_with_first, daemon=True).start()
    elif given.processes > 1 and not processes.is_another_task():
        _lead(given.processes)
    sys.argv[1:] = given.arguments
    runpy.run_module(f"kdpipe.stages.{given.stage}", run_name="__main__", alter_sys=True)


def _lead(number: int) -> None:
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    os.environ |= {"WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": str(number), **address}
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0"}
    for other in range(1, number):
        TEAM.start(other, [sys.executable, "-m", "kdpipe.runner.launch", *sys.argv[1:]])


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _end_with_first() -> None:
    """Wait for the end of the first process, which holds the other end of the standard input."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    # Under its own name, so that the stage finds the same team.
    from kdpipe.runner.launch import main as start

    start()
